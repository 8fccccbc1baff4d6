//! Weights in the order in which the micro-kernel reads them.

use std::ops::Range;

use rayon::prelude::*;

use super::{Arithmetic, Convolution, Geometry};

/// Which dimension of the filters becomes the product's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// Output channels: the forward product, contracted over input channels.
    Outputs,
    /// Input channels: the input's gradient, contracted over output channels.
    Inputs,
}

/// The order in which to visit `(contracted channels, column)`: runs of filters as they lie in memory, few enough lines
/// of the panel at a time that they stay in the L1 cache.
pub(super) fn places(side: Columns, k: usize, columns: usize) -> impl Iterator<Item = (Range<usize>, usize)> {
    const RUN: usize = 16;
    let run = if side == Columns::Outputs { RUN } else { 1 };
    (0..k).step_by(run).flat_map(move |first| (0..columns).map(move |column| (first..k.min(first + run), column)))
}

/// Filters in panels of columns: `[group][panel][tap][k][width]`, zeros after the last column.
pub struct PackedWeights {
    values: Vec<f32>,
    /// Columns of a panel.
    pub(super) width: usize,
    /// Columns of a group.
    pub(super) columns: usize,
    /// Panels of a group.
    pub(super) panels: usize,
    /// Length of the contraction at one tap.
    pub(super) k: usize,
    pub(super) taps: usize,
    groups: usize,
}

impl PackedWeights {
    /// Packs filters `[o, c/groups, kh, kw]`, each multiplied by its output's `scale` where there is one.
    pub(super) fn new(
        g: &Geometry,
        weights: &[f32],
        scale: Option<&[f32]>,
        side: Columns,
        width: usize,
    ) -> PackedWeights {
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
            for (at, j) in places(side, k, used) {
                let scale = scale.map_or(1.0, |scale| scale[j]);
                for k_at in at {
                    let taps_of = &weights[(first + j) * column_stride + k_at * k_stride..][..taps];
                    for (tap, weight) in taps_of.iter().enumerate() {
                        panel[(tap * k + k_at) * width + j] = scale * weight;
                    }
                }
            }
        });
        PackedWeights { values, width, columns, panels, k, taps, groups: g.config.groups }
    }

    /// Whether they are packed as the forward pass of `convolution` reads them.
    pub fn fits(&self, convolution: &Convolution) -> bool {
        let g = &convolution.geometry;
        let Arithmetic::F32(isa) = convolution.arithmetic else { return false };
        let sizes = (isa.panel_width(g.og()), g.og(), g.cg(), g.taps(), g.config.groups);
        !g.is_depthwise() && (self.width, self.columns, self.k, self.taps, self.groups) == sizes
    }

    /// The panel of a group: `[tap][k][width]`.
    pub(super) fn panel(&self, group: usize, panel: usize) -> &[f32] {
        let len = self.taps * self.k * self.width;
        &self.values[(group * self.panels + panel) * len..][..len]
    }
}
