//! The `[model]` section.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tallow_models::ModelConfig;

/// The `[model]` section: a `name`, and beside it the keys of [`ModelConfig`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelChoice {
    /// The architecture, by timm's name.
    pub name: String,
    /// Its configuration. Training sets `num_classes`, `in_chans` and `input_size` from the data.
    #[serde(flatten)]
    pub config: ModelConfig,
}

impl Default for ModelChoice {
    fn default() -> Self {
        Self { name: "resnet9".to_owned(), config: ModelConfig::default() }
    }
}

impl<'de> Deserialize<'de> for ModelChoice {
    // Serde's `flatten` cannot tell a misspelt key from one of the other part.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = ModelChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table with the name of a model")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModelChoice, A::Error> {
                let mut name = None;
                let rest = WithoutName { map, name: &mut name };
                let config = ModelConfig::deserialize(MapAccessDeserializer::new(rest))?;
                Ok(ModelChoice { name: name.unwrap_or_else(|| ModelChoice::default().name), config })
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// The entries of a map without `name`, which is kept aside.
struct WithoutName<'a, A> {
    map: A,
    name: &'a mut Option<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutName<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if key != "name" {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            *self.name = Some(self.map.next_value()?);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
