//! The fully connected layer: `y = x · weightᵀ + bias`.
//!
//! Parameters: `weight` `[out, in]` and, if asked for, `bias` `[out]`, which starts at zero.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use tallow_nn::{Init, ParamStore, layers::Linear};
//! # fn main() -> tallow_nn::Result<()> {
//! let init = Init::TruncatedNormal { std: 0.02, limit: 2.0 };
//! let (head, _store) = ParamStore::build(0, &Device::Cpu, |b| Linear::new(8, 3, true, init, &b.pp("head")))?;
//! let x = Tensor::ones((2, 5, 8), DType::F32, &Device::Cpu)?;
//! assert_eq!(head.forward(&x)?.dims(), [2, 5, 3]);
//! # Ok(()) }
//! ```

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::init::Init;
use crate::macs;
use crate::op::linear;
use crate::store::Builder;

/// A fully connected layer.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Defines the parameters of a layer from `inputs` to `outputs` values.
    ///
    /// # Errors
    /// A size that is zero.
    pub fn new(inputs: usize, outputs: usize, bias: bool, init: Init, b: &Builder) -> Result<Self> {
        if inputs == 0 || outputs == 0 {
            return Err(Error::Config {
                op: "Linear", reason: format!("{inputs} → {outputs}: both must be positive")
            });
        }
        let weight = b.param("weight", &[outputs, inputs], init)?;
        let bias = if bias { Some(b.param("bias", &[outputs], Init::ZEROS)?) } else { None };
        Ok(Linear { weight, bias })
    }

    /// Applies the layer to the last dimension.
    ///
    /// # Shapes
    /// `[.., in]` → `[.., out]`.
    ///
    /// # Errors
    /// Another last dimension.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = linear(x, &self.weight, self.bias.as_ref())?;
        macs::record(&y, &self.weight);
        Ok(y)
    }
}
