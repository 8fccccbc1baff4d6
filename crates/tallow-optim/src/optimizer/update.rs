//! One parallel pass over a parameter, its gradient and its state, in place.

use std::cell::RefCell;

use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Tensor, bail};
use rayon::prelude::*;

use crate::Result;

/// Values per task. Fixed, so that results do not depend on the number of threads.
const CHUNK: usize = 16 * 1024;

/// Calls `f` on aligned chunks of `target` (changed in place), `source`, and the `state` vectors. A state vector that
/// is empty stays so: `f` gets empty slices of it. Tensors on another device are copied to host memory and back.
///
/// # Shapes
/// `target` and `source` of one shape, `target` contiguous; state vectors with as many values, or none.
///
/// # Errors
/// Tensors of unlike shapes, or other than f32.
pub(crate) fn update<const N: usize>(
    target: &Tensor,
    source: &Tensor,
    state: &mut [Vec<f32>; N],
    f: impl Fn(&mut [f32], &[f32], [&mut [f32]; N]) + Sync,
) -> Result<()> {
    if !target.device().is_cpu() {
        let updated = target.to_device(&Device::Cpu)?;
        update(&updated, &source.to_device(&Device::Cpu)?, state, f)?;
        let updated = updated.flatten_all()?.to_device(target.device())?;
        return Ok(target.flatten_all()?.slice_set(&updated, 0, 0)?);
    }
    let state = RefCell::new(state.each_mut().map(Vec::as_mut_slice));
    let source = source.detach().contiguous()?;
    Ok(target.inplace_op2(&source, &Update { state, f })?)
}

struct Update<'a, F, const N: usize> {
    state: RefCell<[&'a mut [f32]; N]>,
    f: F,
}

impl<F: Fn(&mut [f32], &[f32], [&mut [f32]; N]) + Sync, const N: usize> InplaceOp2 for Update<'_, F, N> {
    fn name(&self) -> &'static str {
        "optimiser update"
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        target_layout: &Layout,
        source: &CpuStorage,
        source_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(target), CpuStorage::F32(source)) = (target, source) else {
            bail!("an optimiser works on f32 parameters and gradients");
        };
        if target_layout.shape() != source_layout.shape() {
            bail!("the parameter has shape {:?}, its gradient {:?}", target_layout.dims(), source_layout.dims());
        }
        let (Some((start, end)), Some((from, to))) =
            (target_layout.contiguous_offsets(), source_layout.contiguous_offsets())
        else {
            bail!("an optimiser works on contiguous parameters");
        };
        let mut state = self.state.borrow_mut();
        let mut state_chunks = state.each_mut().map(|values| values.chunks_mut(CHUNK));
        let mut tasks: Vec<_> = target[start..end]
            .chunks_mut(CHUNK)
            .zip(source[from..to].chunks(CHUNK))
            .map(|(target, source)| (target, source, state_chunks.each_mut().map(|c| c.next().unwrap_or_default())))
            .collect();
        let f = &self.f;
        let run = |(target, source, state): (&mut [f32], &[f32], _)| f(target, source, state);
        match tasks.len() {
            0 | 1 => tasks.into_iter().for_each(run),
            _ => tasks.par_drain(..).for_each(run),
        }
        Ok(())
    }
}

/// The L2 norm of a tensor, in double precision and in order, so that it does not depend on the number of threads.
pub(crate) fn norm(tensor: &Tensor) -> Result<f64> {
    let values = tensor.detach().flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt())
}
