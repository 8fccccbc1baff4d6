//! The rates of a step, and the trait of learning-rate curves.

use crate::validity::Validity;

/// The rates of one optimiser step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The learning rate.
    pub lr: f64,
    /// The momentum of SGD and RMSprop or the β₁ of Adam, where the schedule sets it.
    pub momentum: Option<f64>,
    /// The factor of every weight decay; 1 where the schedule does not change it.
    pub decay_scale: f64,
}

impl Rates {
    /// A learning rate; momentum and weight decay are the optimiser's own.
    pub fn new(lr: f64) -> Self {
        Self { lr, momentum: None, decay_scale: 1.0 }
    }
}

/// The config of a learning-rate curve: the keys of the `schedule` table that it has for itself.
pub trait ScheduleOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    fn validate(&self) -> Validity;

    /// The rates at a place of the curve, around the learning rate `lr`.
    fn rates(&self, lr: f64, place: Place) -> Rates;

    /// Whether the curve sets the momentum.
    fn moves_momentum(&self) -> bool {
        false
    }
}

/// A place of a curve, which starts after the warm-up.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Optimiser steps since the curve began.
    pub step: u64,
    /// Optimiser steps of the whole curve.
    pub steps: u64,
    /// Optimiser steps of an epoch.
    pub steps_per_epoch: u64,
}

impl Place {
    /// Whole epochs since the curve began.
    pub fn epoch(self) -> u64 {
        self.step / self.steps_per_epoch.max(1)
    }

    /// Epochs since the curve began, with the fraction.
    pub fn epochs(self) -> f64 {
        self.step as f64 / self.steps_per_epoch.max(1) as f64
    }

    /// The fraction of the curve that is done, 0 to 1.
    pub fn done(self) -> f64 {
        (self.step as f64 / self.steps.max(1) as f64).min(1.0)
    }
}
