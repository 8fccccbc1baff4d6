//! Elementwise sums, in parallel.

use candle_core::Tensor;
use rayon::prelude::*;

use super::memory::{Uninit, values};
use crate::error::Result;
use crate::tape::Output;

/// Values a task works on: large enough to be worth a task, small enough for the L2 cache.
pub(crate) const CHUNK: usize = 16 * 1024;

/// `a + b` for two gradients of one tensor: parallel where both lie alike in memory, Candle's otherwise.
pub fn add_gradients(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.device().is_cpu() && a.dtype() == candle_core::DType::F32 && a.dims() == b.dims() {
        if a.is_contiguous() && b.is_contiguous() {
            return Output::contiguous(add(a, b)?, a.dims()).into_tensor();
        }
        if a.rank() == 4 {
            let (a, b) = (a.permute((0, 2, 3, 1))?, b.permute((0, 2, 3, 1))?);
            if a.is_contiguous() && b.is_contiguous() {
                return Output::channels_last(add(&a, &b)?, a.dims4()?).into_tensor();
            }
        }
    }
    Ok((a.detach() + b.detach())?)
}

fn add(a: &Tensor, b: &Tensor) -> Result<Vec<f32>> {
    let (a, b) = (values("add", a)?, values("add", b)?);
    let mut sum = Uninit::new(a.len());
    // SAFETY: the loop writes every value.
    let out = unsafe { sum.as_mut_slice() };
    out.par_chunks_mut(CHUNK)
        .zip(a.par_chunks(CHUNK))
        .zip(b.par_chunks(CHUNK))
        .for_each(|((out, a), b)| {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = a + b;
            }
        });
    // SAFETY: written above.
    Ok(unsafe { sum.finish() })
}
