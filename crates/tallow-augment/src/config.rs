//! The config of a pipeline.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Normalization, OpConfig, Pipeline, Result, Size, Stage};

/// The ops of a pipeline in order. In TOML:
/// `[{ op = "RandomCrop", size = 28, padding = 2 }, { op = "RandomHorizontalFlip", p = 0.5 }]`.
///
/// Op and key names are torchvision's. An unknown name is an error that suggests the closest match. There is no
/// `ToTensor` or `Normalize`: pixels are always normalised after the last 8-bit op.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PipelineConfig(pub Vec<OpConfig>);

impl PipelineConfig {
    /// Checks the ops and builds the pipeline for images of any size; `channels` is 1 (grey) or 3 (RGB).
    ///
    /// # Errors
    /// As [`Pipeline::from_stages`].
    pub fn build(&self, channels: usize, norm: &Normalization) -> Result<Pipeline> {
        Pipeline::from_stages(self.stages(), channels, norm, None)
    }

    /// As [`build`](Self::build), for images that all have the size `input`: no op needs to set the size then.
    ///
    /// # Errors
    /// As [`Pipeline::from_stages`].
    pub fn build_for_input(&self, channels: usize, norm: &Normalization, input: Size) -> Result<Pipeline> {
        Pipeline::from_stages(self.stages(), channels, norm, Some(input))
    }

    /// The ops for [`Pipeline::from_stages`], to which custom ops can be added.
    pub fn stages(&self) -> Vec<Stage> {
        self.0.iter().map(OpConfig::stage).collect()
    }
}

impl<'de> Deserialize<'de> for OpConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut table = Map::<String, Value>::deserialize(deserializer)?;
        let name = match table.remove("op") {
            Some(Value::String(name)) => name,
            Some(other) => {
                return Err(D::Error::custom(format!("`op` must be the name of an op, found {other}")));
            }
            None => {
                return Err(D::Error::custom("every op needs its name: op = \"RandomHorizontalFlip\""));
            }
        };
        Self::from_table(&name, table).map_err(D::Error::custom)
    }
}
