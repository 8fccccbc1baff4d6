//! The `[model]` section.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tallow_models::ModelConfig;

/// The `[model]` section: a `name`, and beside it the keys of [`ModelConfig`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields))]
pub struct ModelChoice {
    /// The architecture, by timm's name.
    pub name: String,
    /// Its configuration. `num_classes`, `in_chans` and `input_size` are 0 until training takes them from the data.
    #[serde(flatten)]
    pub config: ModelConfig,
}

impl Default for ModelChoice {
    fn default() -> Self {
        let mut config = ModelConfig::default();
        FROM_DATA.iter().for_each(|(_, unset, _)| unset(&mut config));
        Self { name: "resnet9".to_owned(), config }
    }
}

/// A key that follows from the data: its name, how it is unset, and whether a config leaves it unset.
type FromData = (&'static str, fn(&mut ModelConfig), fn(&ModelConfig) -> bool);

/// The keys that follow from the data. A file that does not set one leaves it at 0, and training completes it.
const FROM_DATA: [FromData; 3] = [
    ("num_classes", |config| config.num_classes = 0, |config| config.num_classes == 0),
    ("in_chans", |config| config.in_chans = 0, |config| config.in_chans == 0),
    ("input_size", |config| config.input_size = (0, 0), |config| config.input_size.0 == 0 || config.input_size.1 == 0),
];

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
                let (mut name, mut set) = (None, Vec::new());
                let rest = WithoutName { map, name: &mut name, set: &mut set };
                let mut config = ModelConfig::deserialize(MapAccessDeserializer::new(rest))?;
                for (key, unset, is_unset) in FROM_DATA {
                    match set.iter().any(|name| name == key) {
                        // 0 would be taken for unset.
                        true if is_unset(&config) => {
                            return Err(A::Error::custom(format!("{key}: expected 1 or more")));
                        }
                        true => {}
                        false => unset(&mut config),
                    }
                }
                Ok(ModelChoice { name: name.unwrap_or_else(|| ModelChoice::default().name), config })
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// The entries of a map without `name`, which is kept aside; the keys of the others are noted.
struct WithoutName<'a, A> {
    map: A,
    name: &'a mut Option<String>,
    set: &'a mut Vec<String>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutName<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<String>()? {
            if key != "name" {
                self.set.push(key.clone());
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
