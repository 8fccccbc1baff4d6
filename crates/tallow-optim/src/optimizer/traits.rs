//! The traits of optimisers and of their configs.

use std::collections::HashMap;

use candle_core::Tensor;
use tallow_nn::Gradients;

use super::Param;
use crate::validity::Validity;
use crate::{Rates, Result};

/// Changes parameters by their gradients.
pub trait Optimizer {
    /// Takes one step. A parameter without a gradient does not change.
    ///
    /// # Errors
    /// A parameter or gradient that is not f32, or whose shapes differ.
    fn step(&mut self, grads: &Gradients, rates: Rates) -> Result<()>;

    /// The state to save, by name: copies, not views.
    ///
    /// # Errors
    /// An error of Candle.
    fn state(&self) -> Result<Vec<(String, Tensor)>>;

    /// Restores the state that [`state`](Self::state) returned.
    ///
    /// # Errors
    /// A missing name or another shape: the state is of another optimiser or model.
    fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<()>;
}

/// The config of an optimiser: the keys of the `optim` table that it has for itself.
pub trait OptimizerOptions {
    /// The default learning rate.
    fn lr(&self) -> f64;

    /// The default weight decay.
    fn weight_decay(&self) -> f64 {
        0.0
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first key whose value is out of range.
    fn validate(&self) -> Validity;

    /// Builds the optimiser of these parameters.
    fn build(&self, params: Vec<Param>) -> Box<dyn Optimizer>;
}
