//! The constant schedule.

use serde::{Deserialize, Serialize};

use super::{Place, Rates, ScheduleOptions};
use crate::validity::Validity;

/// `lr` throughout. It has no keys of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ConstantConfig {}

impl ScheduleOptions for ConstantConfig {
    fn validate(&self) -> Validity {
        Ok(())
    }

    fn rates(&self, lr: f64, _: Place) -> Rates {
        Rates::new(lr)
    }
}
