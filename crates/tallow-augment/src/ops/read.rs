//! Reads the parameters of an op; unknown names are errors that suggest the closest match.

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde_json::{Map, Value};
use tallow_base::nearest::nearest;

use crate::{Error, Result};

/// Reads an op's config struct from its table. Unknown keys are reported first.
pub(super) fn read_op<T: DeserializeOwned>(op: &'static str, table: Map<String, Value>) -> Result<T> {
    let keys = field_names::<T>();
    if let Some(key) = table.keys().find(|key| !keys.contains(&key.as_str())) {
        let nearest = nearest(key, keys.iter().copied());
        return Err(Error::UnknownKey { op, key: key.clone(), nearest, valid: keys.join(", ") });
    }
    serde_json::from_value(Value::Object(table)).map_err(|error| Error::Parse { op, message: error.to_string() })
}

/// The error for an unknown op.
pub(super) fn unknown_op(name: &str, names: &[&'static str]) -> Error {
    if matches!(name, "Normalize" | "ToTensor" | "ToImage" | "ToDtype") {
        return Error::ImplicitOp { name: name.into() };
    }
    Error::UnknownOp { name: name.into(), nearest: nearest(name, names.iter().copied()), valid: names.join(", ") }
}

/// The field names of a struct, which its derived `Deserialize` passes to the format.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // Always an error, because `FieldNames` has no content.
    let _ = T::deserialize(FieldNames(&mut fields));
    fields
}

/// A serde format without content that records the field names of a struct.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
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
