//! LayerNorm over the last dimension: `y = (x − mean) / √(var + eps) · weight + bias`.
//!
//! Parameters: `weight` (γ) and `bias` (β), both `[dim]`.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use tallow_nn::{ParamStore, layers::LayerNorm};
//! # fn main() -> tallow_nn::Result<()> {
//! let (norm, _store) = ParamStore::build(0, &Device::Cpu, |b| LayerNorm::new(4, 1e-6, &b.pp("norm")))?;
//! let y = norm.forward(&Tensor::new(&[[1f32, 2.0, 3.0, 4.0]], &Device::Cpu)?)?;
//! assert!(y.sum_all()?.to_scalar::<f32>()?.abs() < 1e-6);
//! # Ok(()) }
//! ```

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::init::Init;
use crate::op::layer_norm;
use crate::store::Builder;

/// LayerNorm over the last dimension.
///
/// # Source
/// Ba, Kiros & Hinton 2016; numbers as PyTorch's `nn.LayerNorm`.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// γ, `[dim]`.
    pub weight: Tensor,
    /// β, `[dim]`.
    pub bias: Tensor,
    eps: f32,
}

impl LayerNorm {
    /// Defines the parameters for rows of `dim` values. timm's transformers use `eps` 1e-6.
    ///
    /// # Errors
    /// `dim` 0; a negative `eps`.
    pub fn new(dim: usize, eps: f32, b: &Builder) -> Result<Self> {
        if dim == 0 || !(eps.is_finite() && eps >= 0.0) {
            let reason = format!("dim {dim}, eps {eps}: dim must be positive, eps not negative");
            return Err(Error::Config { op: "LayerNorm", reason });
        }
        let weight = b.param("weight", &[dim], Init::ONES)?;
        Ok(LayerNorm { weight, bias: b.param("bias", &[dim], Init::ZEROS)?, eps })
    }

    /// Normalises each row.
    ///
    /// # Shapes
    /// `[.., dim]` → the same.
    ///
    /// # Errors
    /// Another last dimension.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}
