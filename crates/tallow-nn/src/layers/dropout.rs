//! Dropout, `y = x · mask / (1 − p)`, and drop path, the same for whole samples of a residual branch.
//!
//! Both do nothing in evaluation. No parameters.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use tallow_nn::{Mode, layers::Dropout};
//! # fn main() -> tallow_nn::Result<()> {
//! let dropout = Dropout::new(0.5)?;
//! let x = Tensor::ones(1000, DType::F32, &Device::Cpu)?;
//! let kept = dropout.forward(&x, &Mode::train(0, 0))?.sum_all()?.to_scalar::<f32>()? / 2.0;
//! assert!((400.0..600.0).contains(&kept));
//! assert_eq!(dropout.forward(&x, &Mode::eval())?.to_vec1::<f32>()?, x.to_vec1::<f32>()?);
//! # Ok(()) }
//! ```

use candle_core::Tensor;

use crate::error::Result;
use crate::mode::Mode;
use crate::op::{check_probability, drop_path, dropout};

/// Zeroes single values in training.
///
/// # Source
/// Srivastava et al. 2014.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    p: f32,
}

impl Dropout {
    /// Drops each value with probability `p`.
    ///
    /// # Errors
    /// `p` outside [0, 1].
    pub fn new(p: f32) -> Result<Self> {
        check_probability("Dropout", p)?;
        Ok(Dropout { p })
    }

    /// Drops values of a tensor of any shape. In evaluation, or with `p = 0`, returns `x` itself.
    ///
    /// # Errors
    /// A tensor that is not f32.
    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match mode.next_rng(self.p) {
            Some(rng) => dropout(x, self.p, rng),
            None => Ok(x.clone()),
        }
    }
}

/// Zeroes a residual branch for single samples in training.
///
/// # Source
/// Stochastic depth, Huang et al. 2016; timm's `DropPath`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropPath {
    p: f32,
}

impl DropPath {
    /// Drops each sample with probability `p`.
    ///
    /// # Errors
    /// `p` outside [0, 1].
    pub fn new(p: f32) -> Result<Self> {
        check_probability("DropPath", p)?;
        Ok(DropPath { p })
    }

    /// Drops samples of a batch `[n, ..]`. In evaluation, or with `p = 0`, returns `x` itself.
    ///
    /// # Errors
    /// A scalar; a tensor that is not f32.
    pub fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        match mode.next_rng(self.p) {
            Some(rng) => drop_path(x, self.p, rng),
            None => Ok(x.clone()),
        }
    }
}
