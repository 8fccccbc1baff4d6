//! Low-rank adaptation: a linear layer of trained weights learns a small change beside them.

use candle_core::Tensor;
use tallow_nn::op::linear;
use tallow_nn::{Builder, Init, Result};

/// `B·(A·x)`, added to what the layer beside it gives; nothing at first, because B starts at zero.
///
/// The names are `lora_A.weight` `[rank, in]` and `lora_B.weight` `[out, rank]` below the layer's own. Exported weights have
/// `B·A` added to the layer's `weight`, so that they are an ordinary model's.
///
/// # Source
/// Hu et al. 2021, with α = rank: the scale is the learning rate's affair. PEFT's names and first values.
#[derive(Debug, Clone)]
pub(crate) struct Lora {
    a: Tensor,
    b: Tensor,
}

impl Lora {
    /// Beside a layer from `inputs` to `outputs` values whose builder is `b`; none for rank 0.
    pub(crate) fn new(inputs: usize, outputs: usize, rank: usize, b: &Builder) -> Result<Option<Self>> {
        if rank == 0 {
            return Ok(None);
        }
        let uniform = Init::Uniform(1.0 / (inputs as f32).sqrt());
        Ok(Some(Lora {
            a: b.pp("lora_A").param("weight", &[rank, inputs], uniform)?,
            b: b.pp("lora_B").param("weight", &[outputs, rank], Init::ZEROS)?,
        }))
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        linear(&linear(x, &self.a, None)?, &self.b, None)
    }
}
