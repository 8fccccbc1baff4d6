//! BatchNorm's running statistics for averaged weights, which no training step has run with.

use candle_core::Tensor;
use tallow_data::Loader;
use tallow_models::Model;
use tallow_nn::{Buffer, Mode, ParamStore};

use crate::Result;
use crate::batch::images;

/// Sets every running mean and variance to the mean of the batch statistics over one pass of `loader`, without training.
/// Frozen statistics, and those that no batch changes, stay as they are.
///
/// # Errors
/// An image that cannot be read; an error of the model.
///
/// # Source
/// Izmailov et al. 2018 (SWA); PyTorch's `update_bn`.
pub fn reestimate_batch_norm(
    model: &dyn Model,
    store: &ParamStore,
    loader: &Loader,
    (seed, epoch): (u64, u64),
) -> Result<()> {
    let is_statistic = |name: &str| name.ends_with("running_mean") || name.ends_with("running_var");
    let buffers: Vec<&Buffer> =
        store.buffers().filter(|(name, buffer)| is_statistic(name) && !buffer.is_frozen()).map(|(_, b)| b).collect();
    if buffers.is_empty() {
        return Ok(());
    }
    let before: Vec<Tensor> = buffers.iter().map(|buffer| buffer.get()).collect();
    // A layer moves a statistic by r ← (1 − m)·r + m·batch with an m of its own: from 0 it comes to m·batch, from 1 to
    // 1 − m more.
    let run = |input: &Tensor, step: u64, from: f64| -> Result<Vec<Tensor>> {
        for buffer in &buffers {
            buffer.set(buffer.get().zeros_like()?.affine(1.0, from)?);
        }
        model.forward(input, &Mode::train(seed, step))?;
        Ok(buffers.iter().map(|buffer| buffer.get()).collect())
    };
    let mut sums: Vec<Tensor> = Vec::new();
    let mut momenta: Vec<f64> = Vec::new();
    let mut batches = 0;
    for batch in loader.epoch(epoch, 0) {
        let batch = batch?;
        let step = epoch * loader.batches() as u64 + batches;
        let input = images(batch.pixels, batch.shape)?;
        let moved = run(&input, step, 0.0)?;
        if batches == 0 {
            for (one, zero) in run(&input, step, 1.0)?.iter().zip(&moved) {
                momenta.push(1.0 - f64::from((one - zero)?.mean_all()?.to_scalar::<f32>()?));
            }
            sums = moved;
        } else {
            sums = sums.iter().zip(&moved).map(|(sum, moved)| sum + moved).collect::<candle_core::Result<_>>()?;
        }
        batches += 1;
    }
    for (i, buffer) in buffers.iter().enumerate() {
        match (sums.get(i), momenta.get(i)) {
            (Some(sum), Some(&momentum)) if momentum > 1e-6 => buffer.set((sum / (momentum * batches as f64))?),
            _ => buffer.set(before[i].clone()),
        }
    }
    Ok(())
}
