//! The MLP of a transformer block: two linear layers with an activation between them.

use candle_core::Tensor;
use tallow_nn::layers::{Dropout, Linear};
use tallow_nn::op::{Activation, activate};
use tallow_nn::{Builder, Mode, Result};

use super::TRUNCATED;

/// `fc2(activation(fc1(x)))`, dropout after each.
///
/// # Source
/// timm's `Mlp`.
#[derive(Debug, Clone)]
pub(crate) struct Mlp {
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
    dropout: Dropout,
}

impl Mlp {
    /// An MLP from `dim` to `hidden` and back to `dim` channels.
    pub(crate) fn new(dim: usize, hidden: usize, activation: Activation, drop_rate: f32, b: &Builder) -> Result<Self> {
        Ok(Mlp {
            fc1: Linear::new(dim, hidden, true, TRUNCATED, &b.pp("fc1"))?,
            fc2: Linear::new(hidden, dim, true, TRUNCATED, &b.pp("fc2"))?,
            activation,
            dropout: Dropout::new(drop_rate)?,
        })
    }

    /// `[.., dim]` → the same.
    pub(crate) fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let x = activate(&self.fc1.forward(x)?, self.activation)?;
        let x = self.fc2.forward(&self.dropout.forward(&x, mode)?)?;
        self.dropout.forward(&x, mode)
    }
}
