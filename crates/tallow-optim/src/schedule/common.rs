//! The config keys that all schedules have.

use serde::{Deserialize, Serialize};

use crate::validity::{Validity, check};

/// torchvision's `--lr-warmup-decay`.
const WARMUP_START_FACTOR: f64 = 0.01;

/// The keys of the `schedule` table that every schedule has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleCommon {
    /// Epochs of warm-up before the curve; may be a fraction.
    pub warmup_epochs: f64,
    /// The factor of the learning rate at the start of the warm-up, above 0 and at most 1.
    pub warmup_start_factor: f64,
    /// The shape of the warm-up.
    pub warmup: Warmup,
    /// Epochs at the end with the last value of the curve; may be a fraction.
    pub cooldown_epochs: f64,
    /// Whether the learning rate changes only at the beginning of an epoch, not at every step.
    pub per_epoch: bool,
    /// The weight decay at the end of the run: it follows half a cosine from `optim.weight_decay` to this value, as in DINO.
    /// Constant if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay_end: Option<f64>,
    /// The momentum (Adam's β₁) at the beginning and at the end of the run, with half a cosine in between; the optimiser's own
    /// if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<(f64, f64)>,
}

impl Default for ScheduleCommon {
    fn default() -> Self {
        Self {
            warmup_epochs: 0.0,
            warmup_start_factor: WARMUP_START_FACTOR,
            warmup: Warmup::Linear,
            cooldown_epochs: 0.0,
            per_epoch: false,
            weight_decay_end: None,
            momentum: None,
        }
    }
}

/// The shape of a warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    /// A linear rise.
    Linear,
    /// Constant at its start.
    Constant,
}

impl ScheduleCommon {
    /// The keys, for messages.
    pub const KEYS: &'static [&'static str] = &[
        "warmup_epochs",
        "warmup_start_factor",
        "warmup",
        "cooldown_epochs",
        "per_epoch",
        "weight_decay_end",
        "momentum",
    ];

    pub(super) fn validate(&self) -> Validity {
        let not_negative = |x: f64| x >= 0.0 && x.is_finite();
        let factor = self.warmup_start_factor;
        let momentum = |m: f64| (0.0..1.0).contains(&m);
        check(not_negative(self.warmup_epochs), "warmup_epochs", "a number of epochs, 0 or more")
            .and(check(factor > 0.0 && factor <= 1.0, "warmup_start_factor", "a fraction above 0 and at most 1"))
            .and(check(not_negative(self.cooldown_epochs), "cooldown_epochs", "a number of epochs, 0 or more"))
            .and(check(self.weight_decay_end.is_none_or(not_negative), "weight_decay_end", "0 or more"))
            .and(check(
                self.momentum.is_none_or(|(start, end)| momentum(start) && momentum(end)),
                "momentum",
                "two numbers from 0 to below 1",
            ))
    }
}
