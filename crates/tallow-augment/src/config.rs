//! A pipeline as written in a config file, and how a misspelt op or key is told from a valid one.

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::suggest::nearest;
use crate::{Error, Normalization, OpConfig, Pipeline, Result, Size, Stage};

/// The ops of a pipeline in order. In TOML:
/// `[{ op = "RandomCrop", size = 28, padding = 2 }, { op = "RandomHorizontalFlip", p = 0.5 }]`.
///
/// Op and key names are torchvision's; an unknown one is an error that names the nearest. There is no `ToTensor` or
/// `Normalize`: pixels are always normalised behind the last 8-bit op.
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

    /// Like [`build`](Self::build) for images that all have the size `input`: no op then needs to set the size.
    ///
    /// # Errors
    /// As [`Pipeline::from_stages`].
    pub fn build_for_input(&self, channels: usize, norm: &Normalization, input: Size) -> Result<Pipeline> {
        Pipeline::from_stages(self.stages(), channels, norm, Some(input))
    }

    /// The ops, ready for [`Pipeline::from_stages`], where your own can be put between them.
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

/// Reads an op's config struct from its table, keys checked by name first.
pub(crate) fn read_op<T: DeserializeOwned>(op: &'static str, table: Map<String, Value>) -> Result<T> {
    let keys = field_names::<T>();
    if let Some(key) = table.keys().find(|key| !keys.contains(&key.as_str())) {
        let nearest = nearest(key, keys).unwrap_or_default();
        return Err(Error::UnknownKey { op, key: key.clone(), nearest, valid: keys.join(", ") });
    }
    serde_json::from_value(Value::Object(table)).map_err(|error| Error::Parse { op, message: error.to_string() })
}

/// The error for an op that does not exist.
pub(crate) fn unknown_op(name: &str) -> Error {
    if matches!(name, "Normalize" | "ToTensor" | "ToImage" | "ToDtype") {
        return Error::ImplicitOp { name: name.into() };
    }
    Error::UnknownOp {
        name: name.into(),
        nearest: nearest(name, OpConfig::NAMES).unwrap_or_default(),
        valid: OpConfig::NAMES.join(", "),
    }
}

/// The field names of a struct, as its derived `Deserialize` announces them to the format.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // Always an error: FieldSpy only listens.
    let _ = T::deserialize(FieldSpy(&mut fields));
    fields
}

/// A format without content: notes the fields that a struct asks for and stops.
struct FieldSpy<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldSpy<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> std::result::Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(Self::Error::custom("fields noted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, Self::Error> {
        Err(Self::Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
