//! The tail of a residual block: branch + shortcut, then the activation.
//!
//! The one place where models add feature maps, so that a fused kernel can take over here.

use candle_core::Tensor;
use tallow_nn::Result;
use tallow_nn::kernels::activation::{Activation, activate};

/// `activation(branch + shortcut)`, of two feature maps `[n, c, h, w]` of one shape.
pub(crate) fn add(branch: &Tensor, shortcut: &Tensor, activation: Activation) -> Result<Tensor> {
    // Both lie channels-last: added in that order Candle walks them once, front to back.
    let [branch, shortcut] = [branch, shortcut].map(|map| map.permute((0, 2, 3, 1)));
    let sum = (branch? + shortcut?)?.permute((0, 3, 1, 2))?;
    match activation {
        Activation::Identity => Ok(sum),
        activation => activate(&sum, activation),
    }
}
