//! Weights in the order in which the micro-kernel reads them.

use rayon::prelude::*;

use super::Geometry;

/// Which dimension of the filters becomes the product's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Output channels: the forward product, contracted over input channels.
    Outputs,
    /// Input channels: the input's gradient, contracted over output channels.
    Inputs,
}

/// Panels of `width` columns: `[group][panel][tap][k][width]`, zeros after the last column.
pub struct Packed {
    pub values: Vec<f32>,
    pub width: usize,
    /// Columns of a group.
    pub columns: usize,
    /// Panels of a group.
    pub panels: usize,
    /// Length of the contraction at one tap.
    pub k: usize,
    pub taps: usize,
}

impl Packed {
    /// Packs filters `[o, c/groups, kh, kw]`, each multiplied by its output's `scale` where there is one.
    pub fn new(g: &Geometry, weights: &[f32], scale: Option<&[f32]>, side: Columns, width: usize) -> Packed {
        let taps = g.taps();
        // Strides of a column and of a contracted channel in `weights`.
        let (columns, k, column_stride, k_stride) = match side {
            Columns::Outputs => (g.og(), g.cg(), g.cg() * taps, taps),
            Columns::Inputs => (g.cg(), g.og(), taps, g.cg() * taps),
        };
        let panels = columns.div_ceil(width);
        let mut values = vec![0f32; g.config.groups * panels * taps * k * width];
        let group_len = columns * k * taps;
        values.par_chunks_mut(taps * k * width).enumerate().for_each(|(index, panel)| {
            let (group, first) = (index / panels, index % panels * width);
            let weights = &weights[group * group_len..][..group_len];
            let used = width.min(columns - first);
            let scale = scale.map(|scale| &scale[group * columns + first..][..used]);
            for (row, out) in panel.chunks_exact_mut(width).enumerate() {
                let (tap, k) = (row / k, row % k);
                for (j, out) in out[..used].iter_mut().enumerate() {
                    *out = weights[(first + j) * column_stride + k * k_stride + tap];
                }
                if let Some(scale) = scale {
                    out.iter_mut().zip(scale).for_each(|(out, scale)| *out *= scale);
                }
            }
        });
        Packed { values, width, columns, panels, k, taps }
    }

    /// The panel of a group: `[tap][k][width]`.
    pub fn panel(&self, group: usize, panel: usize) -> &[f32] {
        let len = self.taps * self.k * self.width;
        &self.values[(group * self.panels + panel) * len..][..len]
    }
}
