//! Typed values from TOML tables, with errors that name the dotted key.
//!
//! TOML's own deserialiser reports lines, but a config is merged from several texts before it is read: only keys are left.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StringDeserializer, UnitDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use toml::{Table, Value};

/// Why a table could not be read, and at which key.
#[derive(Debug)]
pub struct Failure {
    /// The keys from the root; reversed until the root is reached.
    path: Vec<String>,
    /// The kind of failure.
    pub kind: FailureKind,
}

/// The kind of failure of a table.
#[derive(Debug)]
pub enum FailureKind {
    /// A key that the type does not have.
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that the type has.
        valid: &'static [&'static str],
    },
    /// Anything else, as a message.
    Other(String),
}

impl Failure {
    /// The dotted key of the value (of the table, for an unknown key).
    pub fn path(&self) -> String {
        self.path.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".")
    }

    fn under(mut self, key: String) -> Self {
        self.path.push(key);
        self
    }

    /// The failure as an error of another format, which has no path: the path goes in front of the message, from where the
    /// outer table takes it.
    fn convert<E: de::Error>(self) -> E {
        match (&self.kind, self.path()) {
            (FailureKind::UnknownKey { key, valid }, path) if path.is_empty() => E::unknown_field(key, valid),
            (FailureKind::UnknownKey { key, valid }, path) => {
                E::custom(format!("{path}: unknown key `{key}`; keys here: {}", valid.join(", ")))
            }
            (FailureKind::Other(message), path) if path.is_empty() => E::custom(message),
            (FailureKind::Other(message), path) => E::custom(format!("{path}: {message}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FailureKind::UnknownKey { key, .. } => write!(f, "unknown key {key}"),
            FailureKind::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: Vec::new(), kind: FailureKind::Other(message.to_string()) }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let kind = FailureKind::UnknownKey { key: field.to_owned(), valid: expected };
        Self { path: Vec::new(), kind }
    }
}

/// Reads a typed value from a table.
///
/// # Errors
/// The first key that could not be read.
pub fn from_table<T: DeserializeOwned>(table: Table) -> Result<T, Failure> {
    T::deserialize(Node(Value::Table(table)))
}

/// [`from_table`] within another `Deserialize`.
///
/// # Errors
/// The first key that could not be read.
pub fn from_table_within<T: DeserializeOwned, E: de::Error>(table: Table) -> Result<T, E> {
    from_table(table).map_err(Failure::convert)
}

/// Reads a table of two parts: the keys in `common`, and a `name` with the keys of that kind. `complete` fills in the
/// defaults of the common keys, which may depend on the kind. Serde's `flatten` cannot tell a misspelt key from one of the
/// other part.
///
/// # Errors
/// The first key that could not be read.
pub fn common_and_own<'de, D, Own, Common>(
    deserializer: D,
    common: &[&str],
    complete: impl FnOnce(&Own, &mut Table),
) -> Result<(Own, Common), D::Error>
where
    D: de::Deserializer<'de>,
    Own: DeserializeOwned,
    Common: DeserializeOwned,
{
    let (mut shared, own): (Table, Table) = <Table as de::Deserialize>::deserialize(deserializer)?
        .into_iter()
        .partition(|(key, _)| common.contains(&key.as_str()));
    let own = from_table_within(own)?;
    complete(&own, &mut shared);
    Ok((own, from_table_within(shared)?))
}

struct Node(Value);

impl<'de> de::Deserializer<'de> for Node {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(value) => visitor.visit_bool(value),
            Value::Datetime(time) => visitor.visit_string(time.to_string()),
            Value::Array(values) => visitor.visit_seq(Items { values: values.into_iter(), index: 0 }),
            Value::Table(table) => visitor.visit_map(Entries { entries: table.into_iter(), next: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.0 {
            Value::String(variant) => visitor.visit_enum(BareVariant(variant)),
            // A variant with content: `{ class_weighted = [1.0, 5.0] }`.
            Value::Table(table) if table.len() == 1 => {
                let entries = Entries { entries: table.into_iter(), next: None };
                visitor.visit_enum(MapAccessDeserializer::new(entries))
            }
            other => Err(de::Error::custom(format!("expected one of {}, found {other}", variants.join(", ")))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// A variant of an enum by its name alone.
struct BareVariant(String);

impl BareVariant {
    /// The error for a variant that has content.
    fn needs(&self, what: &str) -> Failure {
        de::Error::custom(format!("`{name}` needs {what}: {{ {name} = … }}", name = self.0))
    }
}

impl<'de> EnumAccess<'de> for BareVariant {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let name: StringDeserializer<Failure> = self.0.clone().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for BareVariant {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        let nothing: UnitDeserializer<Failure> = ().into_deserializer();
        // The type says in its own error what it expects.
        seed.deserialize(nothing).map_err(|failure| {
            let message = failure.to_string();
            self.needs(message.rsplit_once("expected ").map_or("a value", |(_, expected)| expected))
        })
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Failure> {
        Err(self.needs("a list"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Failure> {
        Err(self.needs("a table"))
    }
}

struct Items {
    values: std::vec::IntoIter<Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some(value) = self.values.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Node(value)).map(Some).map_err(|failure| failure.under(index.to_string()))
    }
}

struct Entries {
    entries: toml::map::IntoIter<String, Value>,
    next: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        self.next = self.entries.next();
        let Some((key, _)) = &self.next else {
            return Ok(None);
        };
        let key: StringDeserializer<Failure> = key.clone().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Failure> {
        let (key, value) = self.next.take().ok_or_else(|| de::Error::custom("a value without a key"))?;
        seed.deserialize(Node(value)).map_err(|failure| failure.under(key))
    }
}
