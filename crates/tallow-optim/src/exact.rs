//! A floating-point number that survives JSON to the last bit.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An `f64` that is serialised as its bits, so that it is read back exactly. NaN and infinity included.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Exact(pub f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.to_bits())
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        u64::deserialize(deserializer).map(|bits| Exact(f64::from_bits(bits)))
    }
}
