//! Activation functions: elementwise, or fused into the operation before them.

pub(crate) mod functions;

use functions::Function;
use rayon::prelude::*;

use super::CHUNK;
use super::isa::vectorised;
use super::memory::{Slot, Uninit};

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

/// Evaluates an expression with a type parameter bound to the [`Function`](functions::Function) of an [`Activation`].
macro_rules! with_function {
    ($activation:expr, $function:ident => $result:expr) => {{
        use $crate::cpu::activation::{Activation, functions};
        match $activation {
            Activation::Identity => {
                type $function = functions::Identity;
                $result
            }
            Activation::Relu => {
                type $function = functions::Relu;
                $result
            }
            Activation::Relu6 => {
                type $function = functions::Relu6;
                $result
            }
            Activation::Gelu => {
                type $function = functions::Gelu;
                $result
            }
            Activation::GeluTanh => {
                type $function = functions::GeluTanh;
                $result
            }
            Activation::Silu => {
                type $function = functions::Silu;
                $result
            }
            Activation::Hardswish => {
                type $function = functions::Hardswish;
                $result
            }
            Activation::Hardsigmoid => {
                type $function = functions::Hardsigmoid;
                $result
            }
            Activation::Sigmoid => {
                type $function = functions::Sigmoid;
                $result
            }
        }
    }};
}
pub(crate) use with_function;

/// `activation(x)`, elementwise.
pub fn forward(x: &[f32], activation: Activation) -> Vec<f32> {
    let mut y = Uninit::new(x.len());
    y.slots().par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
        with_function!(activation, F => values::<F>(y, x));
    });
    // SAFETY: `values` wrote every chunk.
    unsafe { y.finish() }
}

/// The gradient of `x`, from that of the result: `activation′(x) · dy`.
///
/// # Panics
/// If `x` and `dy` differ in length.
pub fn backward(x: &[f32], dy: &[f32], activation: Activation) -> Vec<f32> {
    assert_eq!(x.len(), dy.len(), "one gradient for each value");
    let mut dx = Uninit::new(x.len());
    let tasks = dx.slots().par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(dy.par_chunks(CHUNK));
    tasks.for_each(|((dx, x), dy)| {
        with_function!(activation, F => gradients::<F>(dx, x, dy));
    });
    // SAFETY: `gradients` wrote every chunk.
    unsafe { dx.finish() }
}

/// Replaces each value by its activation.
pub(crate) fn activate_in_place(activation: Activation, values: &mut [f32]) {
    with_function!(activation, F => in_place::<F>(values));
}

vectorised! {
    fn values<F: Function>(y: &mut [Slot], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            y.write(F::value::<M>(*x));
        }
    }
}

vectorised! {
    fn in_place<F: Function>(values: &mut [f32]) {
        for value in values {
            *value = F::value::<M>(*value);
        }
    }
}

vectorised! {
    fn gradients<F: Function>(dx: &mut [Slot], x: &[f32], dy: &[f32]) {
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
            dx.write(F::gradient::<M>(*x, *dy));
        }
    }
}
