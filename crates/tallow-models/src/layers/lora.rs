//! Low-rank adaptation: a trainable low-rank term beside a frozen linear layer.

use candle_core::Tensor;
use tallow_nn::op::linear;
use tallow_nn::{Builder, Init, Result};

/// `B·(A·x)`, which is added to the output of the layer beside it. `B` starts at zero.
///
/// The names are `lora_A.weight` `[rank, in]` and `lora_B.weight` `[out, rank]` below the layer's own. The export
/// adds `B·A` to the layer's `weight`, so exported weights are those of the model without LoRA.
///
/// # Source
/// Hu et al. 2021 with α = rank: the learning rate sets the scale. Names and initial values are those of PEFT.
#[derive(Debug, Clone)]
pub(crate) struct Lora {
    a: Tensor,
    b: Tensor,
}

impl Lora {
    /// The term of a layer with `inputs` inputs and `outputs` outputs whose builder is `b`; `None` for rank 0.
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
