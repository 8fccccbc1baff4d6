//! 2-D convolution: any kernel, stride, padding, dilation and groups, with both gradients. A linear layer is a
//! convolution over images of one pixel.
//!
//! Indirect convolution (Dukhan 2019, "The Indirect Convolution Algorithm"): images lie channels-last, so that every
//! (pixel, tap) is a pointer to a run of channels, or to zeros outside the image. The micro-kernel of a matrix product
//! runs straight over the pointers; nothing is unfolded in memory.
//!
//! - `gather`: the product. It computes the forward pass, and the input's gradient as the same product on transposed
//!   weights (for a stride s: s² of them, one for each phase, without inserted zeros).
//! - `unfold`: the exception, for images of few channels.
//! - `pack`: weights in the order in which the product reads them.
//! - `weight_grad`: the weights' gradient, with pixels as the contraction.
//! - `depthwise`: all three for one channel a group.
//! - `bf16`: all three under [`Precision::Bf16`], where the machine has a unit for it.
//!
//! The order of every sum is fixed by the shapes alone: results do not depend on the thread count.

use rayon::prelude::*;

use super::activation::Activation;
use super::bf16::{Precision, Unit};
use super::isa::Isa;
use geometry::Geometry;
use pack::Columns;
use walk::{Image, Target, Walk};

mod bf16;
mod depthwise;
mod gather;
mod geometry;
mod pack;
mod unfold;
mod walk;
mod weight_grad;

pub use geometry::ConvConfig;
pub use pack::PackedWeights;

#[cfg(test)]
mod tests;

/// One convolution: its sizes, and the arithmetic that computes it.
#[derive(Debug, Clone, Copy)]
pub struct Convolution {
    geometry: Geometry,
    arithmetic: Arithmetic,
}

/// The arithmetic of a convolution.
#[derive(Debug, Clone, Copy)]
enum Arithmetic {
    F32(Isa),
    Bf16(Unit),
}

/// The weights of a forward pass.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    /// Filters `[o, c/groups, kh, kw]`, each multiplied by its output's `scale` if there is one.
    Filters {
        /// The filters.
        values: &'a [f32],
        /// One factor for each output channel.
        scale: Option<&'a [f32]>,
    },
    /// The result of [`Convolution::pack`].
    Packed(&'a PackedWeights),
}

/// The tail of a convolution: `activation(y + shift)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// One summand for each output channel.
    pub shift: Option<&'a [f32]>,
    /// The activation.
    pub activation: Activation,
}

impl Convolution {
    /// The convolution of images `[n, c, h, w]` with filters `[o, c/groups, kh, kw]`. Both shapes are in PyTorch's
    /// order; the values of images lie as `[n, h, w, c]`. bf16 is used if `precision` asks for it, the machine has a
    /// unit for it, and it gains.
    ///
    /// # Errors
    /// Shapes that do not fit each other; the text says what would fit.
    pub fn new(
        x: [usize; 4],
        weight: [usize; 4],
        config: ConvConfig,
        precision: Precision,
    ) -> Result<Convolution, &'static str> {
        let geometry = Geometry::new(x, weight, config)?;
        let arithmetic = match (precision, Unit::best()) {
            (Precision::Bf16, Some(unit)) if bf16::serves(&geometry) => Arithmetic::Bf16(unit),
            _ => Arithmetic::F32(Isa::best()),
        };
        Ok(Convolution { geometry, arithmetic })
    }

    /// The linear layer `x [rows, inputs] · weightᵀ` with `weight [outputs, inputs]`.
    ///
    /// # Errors
    /// No inputs or no outputs.
    pub fn linear(
        rows: usize,
        inputs: usize,
        outputs: usize,
        precision: Precision,
    ) -> Result<Convolution, &'static str> {
        Convolution::new([rows, inputs, 1, 1], [outputs, inputs, 1, 1], ConvConfig::default(), precision)
    }

    /// The shape of the input, `(n, h, w, c)`.
    pub fn input_shape(&self) -> (usize, usize, usize, usize) {
        let g = &self.geometry;
        (g.n, g.h, g.w, g.c)
    }

    /// The shape of the result, `(n, h, w, c)`.
    pub fn output_shape(&self) -> (usize, usize, usize, usize) {
        let g = &self.geometry;
        (g.n, g.oh, g.ow, g.o)
    }

    /// The shape of the filters, `[o, c/groups, kh, kw]`.
    pub fn weight_shape(&self) -> [usize; 4] {
        let g = &self.geometry;
        [g.o, g.cg(), g.kh, g.kw]
    }

    /// Packs filters, each multiplied by its output's `scale` if there is one, to be kept from one forward pass to the
    /// next. `None` if this convolution does not pack.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say.
    pub fn pack(&self, filters: &[f32], scale: Option<&[f32]>) -> Option<PackedWeights> {
        let g = &self.geometry;
        match self.arithmetic {
            Arithmetic::F32(isa) if !g.is_depthwise() && g.n > 0 => {
                self.check_filters(filters, scale);
                Some(PackedWeights::new(g, filters, scale, Columns::Outputs, isa.panel_width(g.og())))
            }
            _ => None,
        }
    }

    /// `epilogue(conv2d(x, weights))`: the cross-correlation, as `torch.nn.functional.conv2d`. `x` is `[n, h, w, c]`,
    /// and so is the result.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say, or the weights were packed for a convolution of other sizes.
    pub fn forward(&self, x: &[f32], weights: Weights, epilogue: Epilogue) -> Vec<f32> {
        let g = &self.geometry;
        let [input, output, _] = g.lens();
        assert_eq!(x.len(), input, "the input's length");
        assert!(epilogue.shift.is_none_or(|shift| shift.len() == g.o), "a shift for each output");
        if let Weights::Filters { values, scale } = weights {
            self.check_filters(values, scale);
        }
        if output == 0 {
            return Vec::new();
        }
        match (self.arithmetic, weights) {
            (Arithmetic::F32(isa), Weights::Packed(packed)) => {
                assert!(packed.fits(self), "weights packed for another convolution");
                gather::forward(isa, g, x, packed, epilogue)
            }
            (Arithmetic::F32(isa), Weights::Filters { values, scale }) if g.is_depthwise() => {
                depthwise::forward(isa, g, x, values, scale, epilogue)
            }
            (Arithmetic::F32(isa), Weights::Filters { values, scale }) => {
                let packed = PackedWeights::new(g, values, scale, Columns::Outputs, isa.panel_width(g.og()));
                gather::forward(isa, g, x, &packed, epilogue)
            }
            (Arithmetic::Bf16(unit), Weights::Filters { values, scale }) => {
                bf16::forward(unit, g, x, values, scale, epilogue)
            }
            (Arithmetic::Bf16(_), Weights::Packed(_)) => panic!("packed weights are for f32"),
        }
    }

    /// The gradient of the input, `[n, h, w, c]`, from that of the result, without an epilogue.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say.
    pub fn input_grad(&self, dy: &[f32], filters: &[f32]) -> Vec<f32> {
        let g = &self.geometry;
        assert_eq!(dy.len(), g.lens()[1], "the result's length");
        self.check_filters(filters, None);
        if g.n == 0 {
            return Vec::new();
        }
        match self.arithmetic {
            Arithmetic::F32(isa) if g.is_depthwise() => depthwise::input_grad(isa, g, dy, filters),
            Arithmetic::F32(isa) => gather::input_grad(isa, g, dy, filters),
            Arithmetic::Bf16(unit) => bf16::input_grad(unit, g, dy, filters),
        }
    }

    /// The gradient of the filters, `[o, c/groups, kh, kw]`, from that of the result, without an epilogue.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say.
    pub fn weight_grad(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let g = &self.geometry;
        let [input, output, filters] = g.lens();
        assert_eq!((x.len(), dy.len()), (input, output), "the lengths of input and result");
        if g.n == 0 {
            return vec![0.0; filters];
        }
        match self.arithmetic {
            Arithmetic::F32(isa) if g.is_depthwise() => depthwise::weight_grad(isa, g, x, dy),
            Arithmetic::F32(isa) => weight_grad::weight_grad(isa, g, x, dy),
            Arithmetic::Bf16(unit) => bf16::weight_grad(unit, g, x, dy),
        }
    }

    fn check_filters(&self, filters: &[f32], scale: Option<&[f32]>) {
        let g = &self.geometry;
        assert_eq!(filters.len(), g.lens()[2], "the filters' length");
        assert!(scale.is_none_or(|scale| scale.len() == g.o), "a scale for each output");
    }
}

/// The gradient of a shift, `[o]`, from that of the result, `[pixels, o]`: sums over pixels, in fixed blocks whose sums
/// are added in order.
///
/// # Panics
/// If `o` is 0.
pub fn bias_grad(dy: &[f32], o: usize) -> Vec<f32> {
    assert!(o > 0, "no outputs");
    const PIXELS: usize = 1024;
    let partial: Vec<Vec<f32>> = dy
        .par_chunks(PIXELS * o)
        .map(|block| {
            let mut sum = vec![0f32; o];
            for pixel in block.chunks_exact(o) {
                for (sum, v) in sum.iter_mut().zip(pixel) {
                    *sum += v;
                }
            }
            sum
        })
        .collect();
    let mut total = vec![0f32; o];
    for sum in partial {
        for (total, v) in total.iter_mut().zip(sum) {
            *total += v;
        }
    }
    total
}
