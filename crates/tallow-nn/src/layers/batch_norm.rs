//! BatchNorm: `y = (x − mean) / √(var + eps) · weight + bias`, each channel by its own statistics.
//!
//! Training uses the statistics of the batch, which also move the running statistics by `momentum`. Evaluation, and
//! training with [frozen](Buffer::freeze) statistics, uses the running ones. Names are PyTorch's: parameters `weight`
//! (γ), `bias` (β), buffers `running_mean`, `running_var`, each `[channels]`.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use tallow_nn::layers::{Activation, BatchNorm2d};
//! use tallow_nn::{Mode, ParamStore};
//! # fn main() -> tallow_nn::Result<()> {
//! let (norm, _store) =
//!     ParamStore::build(0, &Device::Cpu, |b| BatchNorm2d::new(2, Default::default(), &b.pp("bn1")))?;
//! let x = Tensor::randn(3f32, 2f32, (4, 2, 8, 8), &Device::Cpu)?;
//! let y = norm.forward_act(&x, Activation::Relu, &Mode::train(0, 0))?;
//! assert!(y.min_all()?.to_scalar::<f32>()? >= 0.0);
//! # Ok(()) }
//! ```

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::init::Init;
use crate::mode::Mode;
use crate::op::{Activation, BatchStats, batch_norm_eval, batch_norm_train};
use crate::store::{Buffer, Builder};
use crate::tape;

use super::Conv2d;

/// Options of a [`BatchNorm2d`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormOptions {
    /// Added to the variance.
    pub eps: f32,
    /// Share of the batch in the running statistics, as in PyTorch: `running ← (1 − momentum) · running + momentum ·
    /// batch`.
    pub momentum: f32,
    /// Initial γ. With 0 a residual branch starts as zero (`zero_init_last`).
    pub weight_init: f32,
}

impl Default for BatchNormOptions {
    fn default() -> Self {
        BatchNormOptions { eps: 1e-5, momentum: 0.1, weight_init: 1.0 }
    }
}

/// BatchNorm over `[n, c, h, w]`.
///
/// # Source
/// Ioffe & Szegedy 2015; numbers as PyTorch's `nn.BatchNorm2d`. PyTorch refuses a training batch
/// with one value a channel; here its variance is 0 and the running variance stays as it is.
#[derive(Debug, Clone)]
pub struct BatchNorm2d {
    /// γ, `[c]`.
    pub weight: Tensor,
    /// β, `[c]`.
    pub bias: Tensor,
    /// Running mean, `[c]`.
    pub running_mean: Buffer,
    /// Running unbiased variance, `[c]`.
    pub running_var: Buffer,
    eps: f32,
    momentum: f32,
}

impl BatchNorm2d {
    /// Defines the parameters and buffers for `channels` channels.
    ///
    /// # Errors
    /// No channels; an `eps` or `momentum` out of range.
    pub fn new(channels: usize, options: BatchNormOptions, b: &Builder) -> Result<Self> {
        let BatchNormOptions { eps, momentum, weight_init } = options;
        if channels == 0 || !(eps.is_finite() && eps >= 0.0) || !(0.0..=1.0).contains(&momentum) {
            let reason = format!(
                "channels {channels}, eps {eps}, momentum {momentum}: channels must be positive, eps not negative, \
                 momentum within 0 to 1"
            );
            return Err(Error::Config { op: "BatchNorm2d", reason });
        }
        Ok(BatchNorm2d {
            weight: b.param("weight", &[channels], Init::Constant(weight_init))?,
            bias: b.param("bias", &[channels], Init::ZEROS)?,
            running_mean: b.buffer("running_mean", &[channels], 0.0)?,
            running_var: b.buffer("running_var", &[channels], 1.0)?,
            eps,
            momentum,
        })
    }

    /// Normalises an image batch.
    ///
    /// # Shapes
    /// `[n, c, h, w]` → the same, channels-last.
    ///
    /// # Errors
    /// Another channel count; a training batch without values.
    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.forward_act(x, Activation::Identity, mode)
    }

    /// Normalises and applies `activation`, in one pass over memory.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_act(&self, x: &Tensor, activation: Activation, mode: &Mode) -> Result<Tensor> {
        if !mode.is_train() || self.running_mean.is_frozen() {
            let (mean, var) = (self.running_mean.get(), self.running_var.get());
            return batch_norm_eval(x, &self.weight, &self.bias, &mean, &var, self.eps, activation);
        }
        let (y, stats) = batch_norm_train(x, &self.weight, &self.bias, self.eps, activation)?;
        if !mode.is_replay() {
            self.update_running(&stats)?;
        }
        Ok(y)
    }

    /// Applies `conv`, then this norm, then `activation`. An evaluation that records no gradients folds the norm
    /// into the convolution: one pass for all three.
    ///
    /// # Errors
    /// As [`forward`](Self::forward) and [`Conv2d::forward`].
    pub fn forward_conv(&self, conv: &Conv2d, x: &Tensor, activation: Activation, mode: &Mode) -> Result<Tensor> {
        if mode.is_train() || tape::records(&[x, &conv.weight, &self.weight, &self.bias]) {
            return self.forward_act(&conv.forward(x)?, activation, mode);
        }
        let (scale, mut shift) = self.affine()?;
        if let Some(bias) = &conv.bias {
            let bias = bias.to_vec1::<f32>()?;
            shift.iter_mut().zip(bias).zip(&scale).for_each(|((shift, bias), scale)| *shift += bias * scale);
        }
        conv.forward_folded(x, &scale, &shift, activation)
    }

    /// The norm of an evaluation as `y = scale · x + shift`: the scale and the shift of each channel.
    ///
    /// # Errors
    /// Parameters that are not f32.
    pub fn affine(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let (mean, var) = (self.running_mean.get(), self.running_var.get());
        batch_norm_affine(&self.weight, &self.bias, &mean, &var, self.eps)
    }

    fn update_running(&self, stats: &BatchStats) -> Result<()> {
        self.move_towards(&self.running_mean, &stats.mean, 1.0)?;
        if stats.count > 1 {
            let unbiased = stats.count as f64 / (stats.count - 1) as f64;
            self.move_towards(&self.running_var, &stats.var, unbiased)?;
        }
        Ok(())
    }

    fn move_towards(&self, running: &Buffer, batch: &Tensor, factor: f64) -> Result<()> {
        let kept = (running.get() * f64::from(1.0 - self.momentum))?;
        running.set((kept + (batch * (f64::from(self.momentum) * factor))?)?);
        Ok(())
    }
}

/// The scale and the shift of each channel of a BatchNorm in evaluation, `[c]` each.
///
/// # Errors
/// Tensors that are not f32 vectors.
pub fn batch_norm_affine(
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    eps: f32,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let vector = |t: &Tensor| -> Result<Vec<f32>> { Ok(t.to_vec1()?) };
    let (gamma, beta, mean, var) = (vector(weight)?, vector(bias)?, vector(mean)?, vector(var)?);
    let scale: Vec<f32> = gamma.iter().zip(&var).map(|(gamma, var)| gamma / (var + eps).sqrt()).collect();
    let shift = beta.iter().zip(&mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
    Ok((scale, shift))
}
