//! Products of a tensor with a vector over its channels: squeeze-excite's gates and LayerScale.

use candle_core::Tensor;
use rayon::prelude::*;

use super::elementwise::CHUNK;
use super::memory::{self, Uninit, contiguous, values};
use super::vectorised::vectorised;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::tape::{Backward, Output, emit};

/// Each image's channels times that image's `gates`: the last step of squeeze-excite.
///
/// # Shapes
/// `x` `[n, c, h, w]`, `gates` `[n, c]` → `[n, c, h, w]`, channels-last.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
///
/// # Source
/// Hu et al. 2017, "Squeeze-and-Excitation Networks".
pub fn scale_channels(x: &Tensor, gates: &Tensor) -> Result<Tensor> {
    let images = memory::channels_last("scale_channels", x)?;
    let (n, _, _, c) = images.dims4()?;
    if gates.dims() != [n, c] {
        return Err(Error::input(
            "scale_channels",
            format!("gates of shape [{n}, {c}]"),
            format!("{:?}", gates.dims()),
        ));
    }
    scale(x, gates, Scale { x: images, scales: contiguous(gates)?, groups: n, channels_last: true })
}

/// The last dimension times `gamma`: LayerScale.
///
/// # Shapes
/// `x` `[.., c]`, `gamma` `[c]` → as `x`, contiguous.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
///
/// # Source
/// Touvron et al. 2021, "Going deeper with Image Transformers".
pub fn scale_last(x: &Tensor, gamma: &Tensor) -> Result<Tensor> {
    if x.rank() == 0 || x.dims().last() != gamma.dims().first() || gamma.rank() != 1 {
        let found = format!("x {:?}, gamma {:?}", x.dims(), gamma.dims());
        return Err(Error::input("scale_last", "x [.., c] and gamma [c]", found));
    }
    scale(x, gamma, Scale { x: contiguous(x)?, scales: contiguous(gamma)?, groups: 1, channels_last: false })
}

fn scale(x: &Tensor, scales: &Tensor, op: Scale) -> Result<Tensor> {
    let data = {
        let (x, s) = (values("scale", &op.x)?, values("scale", &op.scales)?);
        op.multiply(&x, &s)
    };
    let step = if op.channels_last { Op::ScaleChannels } else { Op::Multiply };
    Ok(record(emit(op.output(data)?, &[x, scales], op)?, &[x, scales], || step))
}

/// `x` as `[groups, rows, c]` in memory, and the scales `[groups, c]`.
struct Scale {
    x: Tensor,
    scales: Tensor,
    groups: usize,
    channels_last: bool,
}

impl Scale {
    fn channels(&self) -> usize {
        self.scales.elem_count().checked_div(self.groups).unwrap_or(0)
    }

    /// Values of a group, and how many of them a task works on: whole rows.
    fn blocks(&self) -> (usize, usize) {
        let group = self.x.elem_count().checked_div(self.groups).unwrap_or(0).max(1);
        let c = self.channels().max(1);
        (group, ((CHUNK / c).max(1) * c).min(group))
    }

    fn multiply(&self, x: &[f32], scales: &[f32]) -> Vec<f32> {
        let c = self.channels().max(1);
        let (group, block) = self.blocks();
        let mut data = Uninit::new(x.len());
        // SAFETY: `scale_rows` writes every value.
        let out = unsafe { data.as_mut_slice() };
        let groups = out.par_chunks_mut(group).zip(x.par_chunks(group)).zip(scales.par_chunks(c));
        groups.for_each(|((y, x), s)| {
            y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| scale_rows(y, x, s));
        });
        // SAFETY: written above.
        unsafe { data.finish() }
    }

    fn output(&self, data: Vec<f32>) -> Result<Output> {
        Ok(if self.channels_last {
            Output::channels_last(data, self.x.dims4()?)
        } else {
            Output::contiguous(data, self.x.dims())
        })
    }
}

impl Backward for Scale {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = if self.channels_last { memory::channels_last("scale", grad)? } else { contiguous(grad)? };
        let (dy, x, s) = (values("scale", &grad)?, values("scale", &self.x)?, values("scale", &self.scales)?);
        let dx = needs[0].then(|| self.output(self.multiply(&dy, &s))?.into_tensor());
        let ds = needs[1].then(|| {
            let c = self.channels().max(1);
            let (group, block) = self.blocks();
            let mut sums = vec![0f32; self.scales.elem_count()];
            // Blocks of fixed size, their sums added in order: threads change nothing.
            let groups = sums.par_chunks_mut(c).zip(dy.par_chunks(group)).zip(x.par_chunks(group));
            groups.for_each(|((sum, dy), x)| {
                let part = |(dy, x): (&[f32], &[f32])| {
                    let mut part = vec![0f32; c];
                    add_products(&mut part, dy, x);
                    part
                };
                let parts: Vec<_> = dy.par_chunks(block).zip(x.par_chunks(block)).map(part).collect();
                for part in parts {
                    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                }
            });
            Output::contiguous(sums, self.scales.dims()).into_tensor()
        });
        Ok(vec![dx.transpose()?, ds.transpose()?])
    }
}

vectorised! {
    fn scale_rows(y: &mut [f32], x: &[f32], scales: &[f32]) {
        let c = scales.len();
        for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for i in 0..c {
                y[i] = x[i] * scales[i];
            }
        }
    }
}

vectorised! {
    fn add_products(sum: &mut [f32], a: &[f32], b: &[f32]) {
        let c = sum.len();
        for (a, b) in a.chunks_exact(c).zip(b.chunks_exact(c)) {
            for i in 0..c {
                sum[i] += a[i] * b[i];
            }
        }
    }
}
