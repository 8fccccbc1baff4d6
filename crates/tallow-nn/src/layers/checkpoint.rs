//! Activation checkpointing: the backward pass computes a layer's activations again instead of keeping them.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use tallow_nn::layers::{Linear, checkpoint};
//! use tallow_nn::{Init, Mode, ParamStore, Tape};
//! # fn main() -> tallow_nn::Result<()> {
//! let (layer, store) = ParamStore::build(0, &Device::Cpu, |b| Linear::new(3, 2, true, Init::Normal(1.0), &b.pp("fc")))?;
//! let x = Tensor::ones((4, 3), DType::F32, &Device::Cpu)?;
//! let tape = Tape::start();
//! let y = checkpoint(&layer, &x, &Mode::train(0, 0), |layer, x, _| layer.forward(x))?;
//! let grads = tape.backward(&y.sum_all()?)?;
//! assert!(store.parameters().all(|(_, parameter)| grads.get(parameter).is_some()));
//! # Ok(()) }
//! ```

use candle_core::Tensor;

use crate::error::Result;
use crate::mode::Mode;
use crate::tape;

/// Computes `forward(layer, x, mode)` and keeps only `x` for the backward pass, which computes the layer a second time,
/// with the same random numbers and without moving running statistics. `layer` is cloned; clones share their
/// parameters.
///
/// # Errors
/// Errors of `forward`.
///
/// # Source
/// As [`tape::replayed`].
pub fn checkpoint<L: Clone + 'static>(
    layer: &L,
    x: &Tensor,
    mode: &Mode,
    forward: fn(&L, &Tensor, &Mode) -> Result<Tensor>,
) -> Result<Tensor> {
    let again = {
        let (layer, from) = (layer.clone(), mode.replay());
        move |x: &Tensor| forward(&layer, x, &from.replay())
    };
    tape::replayed(x, |x| forward(layer, x, mode), Box::new(again))
}
