//! Activation functions, alone or fused into the op before them.

pub(crate) mod curves;

use candle_core::Tensor;
use curves::Curve;
use rayon::prelude::*;

use super::elementwise::CHUNK;
use super::map::Laid;
use super::memory::{Uninit, values};
use super::vectorised::vectorised;
use crate::error::Result;
use crate::graph::{Op, record};
use crate::tape::{Backward, emit};

/// An elementwise activation function. Formulas and names are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x · Φ(x)`, Φ the normal distribution function (Hendrycks & Gimpel 2016): `nn.GELU()`.
    Gelu,
    /// Its approximation by tanh: `nn.GELU(approximate="tanh")`.
    GeluTanh,
    /// `x · σ(x)`, also called Swish.
    Silu,
    /// `x · min(max(x + 3, 0), 6) / 6` (MobileNetV3).
    Hardswish,
    /// `min(max(x + 3, 0), 6) / 6`.
    Hardsigmoid,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
}

/// Evaluates an expression with a type parameter bound to the [`Curve`] of an [`Activation`].
macro_rules! with_curve {
    ($activation:expr, $curve:ident => $result:expr) => {{
        use $crate::kernels::activation::{Activation, curves};
        match $activation {
            Activation::Identity => {
                type $curve = curves::Identity;
                $result
            }
            Activation::Relu => {
                type $curve = curves::Relu;
                $result
            }
            Activation::Relu6 => {
                type $curve = curves::Relu6;
                $result
            }
            Activation::Gelu => {
                type $curve = curves::Gelu;
                $result
            }
            Activation::GeluTanh => {
                type $curve = curves::GeluTanh;
                $result
            }
            Activation::Silu => {
                type $curve = curves::Silu;
                $result
            }
            Activation::Hardswish => {
                type $curve = curves::Hardswish;
                $result
            }
            Activation::Hardsigmoid => {
                type $curve = curves::Hardsigmoid;
                $result
            }
            Activation::Sigmoid => {
                type $curve = curves::Sigmoid;
                $result
            }
        }
    }};
}
pub(crate) use with_curve;

/// `activation(x)`, elementwise, for a tensor of any shape. [`Activation::Identity`] gives `x` itself.
///
/// # Errors
/// A tensor that is not f32 on the CPU.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if activation == Activation::Identity {
        return Ok(x.clone());
    }
    let laid = Laid::new(x)?;
    let data = {
        let values = values("activation", &laid.memory)?;
        let mut data = Uninit::new(values.len());
        // SAFETY: `forward` writes every value.
        let out = unsafe { data.as_mut_slice() };
        out.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(y, x)| {
            with_curve!(activation, C => forward::<C>(y, x));
        });
        // SAFETY: written above.
        unsafe { data.finish() }
    };
    let output = laid.output(data)?;
    Ok(record(emit(output, &[x], Activate { x: laid, activation })?, &[x], || Op::Activate(activation)))
}

/// The activation of each value, in its place.
pub(crate) fn activate_in_place(activation: Activation, values: &mut [f32]) {
    with_curve!(activation, C => in_place::<C>(values));
}

struct Activate {
    x: Laid,
    activation: Activation,
}

impl Backward for Activate {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = self.x.alike(grad)?;
        let (x, grad) = (values("activation", &self.x.memory)?, values("activation", &grad)?);
        let mut data = Uninit::new(x.len());
        // SAFETY: `backward` writes every value.
        let out = unsafe { data.as_mut_slice() };
        let tasks = out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(grad.par_chunks(CHUNK));
        tasks.for_each(|((dx, x), dy)| {
            with_curve!(self.activation, C => backward::<C>(dx, x, dy));
        });
        // SAFETY: written above.
        let data = unsafe { data.finish() };
        Ok(vec![Some(self.x.output(data)?.into_tensor()?)])
    }
}

vectorised! {
    fn forward<C: Curve>(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = C::value::<M>(*x);
        }
    }
}

vectorised! {
    fn in_place<C: Curve>(values: &mut [f32]) {
        for value in values {
            *value = C::value::<M>(*value);
        }
    }
}

vectorised! {
    fn backward<C: Curve>(dx: &mut [f32], x: &[f32], dy: &[f32]) {
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
            *dx = C::pull::<M>(*x, *dy);
        }
    }
}
