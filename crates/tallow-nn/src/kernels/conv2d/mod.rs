//! 2-D convolution: any kernel, stride, padding, dilation and groups, with both gradients.
//!
//! Indirect convolution (Dukhan 2019, "The Indirect Convolution Algorithm"): images lie
//! channels-last, so that every (pixel, tap) is a pointer to a run of channels, or to zeros outside
//! the image, and the micro-kernel of a matrix product runs straight over the pointers; nothing is
//! unfolded in memory.
//!
//! - `gather`: the product. Forward, and the input's gradient as the same product on transposed
//!   weights (for a stride s: s² of them, one a phase, without inserted zeros).
//! - `unfold`: the exception, for images of few channels.
//! - `kept`: packed weights that inference keeps.
//! - `weight_grad`: the weights' gradient, with pixels as the contraction.
//! - `depthwise`: all three for one channel a group.
//! - `bf16`: all three under `Precision::Bf16`, where the machine has units for it.
//!
//! The order of every sum is fixed by the shapes alone: results do not depend on the thread count.

use candle_core::Tensor;
use rayon::prelude::*;

use super::activation::{Activation, activate};
use super::bf16::Unit;
use super::memory::{self, SharedMut};
use super::simd::Isa;
use crate::error::{Error, Result};
use crate::graph::{self, Op, record};
use crate::macs;
use crate::precision::{self, Precision};
use crate::tape::{self, Backward, Output};

mod bf16;
mod depthwise;
mod gather;
mod kept;
mod pack;
mod unfold;
mod weight_grad;

pub(super) use kept::Filters;
pub(crate) use kept::forget;
pub use kept::{KeepPackedWeights, keep_packed_weights};

#[cfg(test)]
mod tests;

/// How the kernel moves over the image: (vertical, horizontal) each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvConfig {
    /// Pixels between outputs.
    pub stride: (usize, usize),
    /// Zeros around the image, on both sides.
    pub padding: (usize, usize),
    /// Pixels between taps.
    pub dilation: (usize, usize),
    /// Channels are divided in this many groups that do not see each other.
    pub groups: usize,
}

impl Default for ConvConfig {
    fn default() -> Self {
        ConvConfig { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

/// Every size of one convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Geometry {
    n: usize,
    /// Input: height, width, channels.
    h: usize,
    w: usize,
    c: usize,
    /// Output: height, width, channels.
    oh: usize,
    ow: usize,
    o: usize,
    kh: usize,
    kw: usize,
    config: ConvConfig,
}

impl Geometry {
    fn new(x: &Tensor, weight: &Tensor, config: ConvConfig) -> Result<Self> {
        const OP: &str = "conv2d";
        let found = || format!("x {:?}, weight {:?}, {config:?}", x.dims(), weight.dims());
        let (Ok((n, c, h, w)), Ok((o, cg, kh, kw))) = (x.dims4(), weight.dims4()) else {
            return Err(Error::input(OP, "x [n, c, h, w] and weight [o, c/groups, kh, kw]", found()));
        };
        let ConvConfig { stride, padding, dilation, groups } = config;
        if groups == 0 || cg * groups != c || o % groups != 0 || o == 0 || c == 0 {
            return Err(Error::input(
                OP,
                "channels and outputs, of which there are some, that the groups divide",
                found(),
            ));
        }
        if [stride.0, stride.1, dilation.0, dilation.1, kh, kw].contains(&0) {
            return Err(Error::input(OP, "a stride, dilation and kernel of at least 1", found()));
        }
        let out = |size: usize, pad: usize, k: usize, d: usize, s: usize| {
            (size + 2 * pad).checked_sub(d * (k - 1) + 1).map(|room| room / s + 1)
        };
        let oh = out(h, padding.0, kh, dilation.0, stride.0);
        let ow = out(w, padding.1, kw, dilation.1, stride.1);
        let (Some(oh), Some(ow)) = (oh, ow) else {
            return Err(Error::input(OP, "an image at least as large as the kernel", found()));
        };
        Ok(Geometry { n, h, w, c, oh, ow, o, kh, kw, config })
    }

    fn taps(&self) -> usize {
        self.kh * self.kw
    }

    /// Input channels of a group.
    fn cg(&self) -> usize {
        self.c / self.config.groups
    }

    /// Output channels of a group.
    fn og(&self) -> usize {
        self.o / self.config.groups
    }

    fn is_depthwise(&self) -> bool {
        self.cg() == 1 && self.og() == 1
    }

    /// Where tap (ky, kx) looks, relative to the pixel at output × stride.
    fn tap_offset(&self, tap: usize) -> (isize, isize) {
        let ConvConfig { padding, dilation, .. } = self.config;
        let (ky, kx) = (tap / self.kw, tap % self.kw);
        ((ky * dilation.0) as isize - padding.0 as isize, (kx * dilation.1) as isize - padding.1 as isize)
    }
}

/// The cross-correlation of a batch of images with a bank of filters, as `torch.nn.functional.conv2d`.
///
/// # Shapes
/// `x [n, c, h, w]`, `weight [o, c/groups, kh, kw]`, `bias [o]` → `[n, o, h', w']` with
/// `h' = (h + 2·padding − dilation·(kh − 1) − 1) / stride + 1`.
///
/// # Errors
/// Shapes that do not fit each other; a tensor that is not f32 on the CPU.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, config: ConvConfig) -> Result<Tensor> {
    let geometry = Geometry::new(x, weight, config)?;
    if let Some(bias) = bias
        && bias.dims() != [geometry.o]
    {
        return Err(Error::input("conv2d", format!("a bias of shape [{}]", geometry.o), format!("{:?}", bias.dims())));
    }
    let input = memory::channels_last("conv2d", x)?;
    let filters = memory::contiguous(weight)?;
    let bias_values = bias.map(memory::contiguous).transpose()?;
    let arithmetic = Arithmetic::new(precision::current(), &geometry);
    let y = {
        let (xs, ws) = (memory::values("conv2d", &input)?, memory::values("conv2d", &filters)?);
        let bs = bias_values.as_ref().map(|b| memory::values("conv2d", b)).transpose()?;
        let after = Epilogue { shift: bs.as_deref(), ..Epilogue::default() };
        forward(arithmetic, &geometry, &xs, Filters::of(weight, &ws), after)
    };
    let output = Output::channels_last(y, (geometry.n, geometry.oh, geometry.ow, geometry.o));
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    let y = if tape::records(&inputs) {
        tape::emit(output, &inputs, Conv2dBackward { arithmetic, geometry, input, filters })?
    } else {
        output.into_tensor()?
    };
    Ok(record(y, &inputs, || Op::Conv2d(config)))
}

/// What a convolution is computed with.
#[derive(Debug, Clone, Copy)]
enum Arithmetic {
    F32(Isa),
    Bf16(Unit),
}

impl Arithmetic {
    fn new(precision: Precision, g: &Geometry) -> Arithmetic {
        match (precision, Unit::best()) {
            (Precision::Bf16, Some(unit)) if bf16::serves(g) => Arithmetic::Bf16(unit),
            _ => Arithmetic::F32(Isa::best()),
        }
    }
}

/// The products of a linear layer: rows are images of one pixel.
pub(super) struct Rows {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub precision: Precision,
}

impl Rows {
    fn geometry(&self) -> (Arithmetic, Geometry) {
        let Rows { rows, inputs, outputs, precision } = *self;
        let config = ConvConfig::default();
        let g = Geometry { n: rows, h: 1, w: 1, c: inputs, oh: 1, ow: 1, o: outputs, kh: 1, kw: 1, config };
        (Arithmetic::new(precision, &g), g)
    }

    /// `x [rows, inputs] · weightᵀ + bias`.
    pub fn forward(&self, x: &[f32], weight: Filters, bias: Option<&[f32]>) -> Vec<f32> {
        let (arithmetic, g) = self.geometry();
        forward(arithmetic, &g, x, weight, Epilogue { shift: bias, ..Epilogue::default() })
    }

    /// `dy [rows, outputs] · weight`.
    pub fn input_grad(&self, dy: &[f32], weight: &[f32]) -> Vec<f32> {
        let (arithmetic, g) = self.geometry();
        input_grad(arithmetic, &g, dy, weight)
    }

    /// `dyᵀ · x`.
    pub fn weight_grad(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let (arithmetic, g) = self.geometry();
        weight_gradient(arithmetic, &g, x, dy)
    }
}

/// `activation(scale · conv2d(x, weight) + shift)`, the scale folded into the weights as they are packed:
/// convolution, BatchNorm and activation of inference in one pass. Never recorded.
///
/// # Shapes
/// As [`conv2d`]'s; `scale` and `shift` one value an output channel.
///
/// # Errors
/// As [`conv2d`]'s; a scale or shift of another length.
pub fn conv2d_folded(
    x: &Tensor,
    weight: &Tensor,
    scale: &[f32],
    shift: &[f32],
    activation: Activation,
    config: ConvConfig,
) -> Result<Tensor> {
    if graph::watched() && activation != Activation::Identity {
        return activate(&conv2d_folded(x, weight, scale, shift, Activation::Identity, config)?, activation);
    }
    let geometry = Geometry::new(x, weight, config)?;
    if scale.len() != geometry.o || shift.len() != geometry.o {
        let found = format!("{} and {}", scale.len(), shift.len());
        return Err(Error::input("conv2d_folded", format!("{} scales and shifts", geometry.o), found));
    }
    let (input, filters) = (memory::channels_last("conv2d", x)?, memory::contiguous(weight)?);
    let (xs, ws) = (memory::values("conv2d", &input)?, memory::values("conv2d", &filters)?);
    let arithmetic = Arithmetic::new(precision::current(), &geometry);
    let after = Epilogue { scale: Some(scale), shift: Some(shift), activation };
    let y = forward(arithmetic, &geometry, &xs, Filters::of(weight, &ws), after);
    let y = Output::channels_last(y, (geometry.n, geometry.oh, geometry.ow, geometry.o)).into_tensor()?;
    if !graph::watched() {
        return Ok(y);
    }
    let vector = |values: &[f32]| Tensor::from_slice(values, geometry.o, weight.device());
    Ok(record(y, &[x, weight, &vector(scale)?, &vector(shift)?], || Op::Conv2dFolded(config)))
}

/// What becomes of each output: `activation(scale · y + shift)`.
#[derive(Debug, Clone, Copy, Default)]
struct Epilogue<'a> {
    scale: Option<&'a [f32]>,
    shift: Option<&'a [f32]>,
    activation: Activation,
}

/// What the gradients need: the image (channels-last) and the filters.
struct Conv2dBackward {
    arithmetic: Arithmetic,
    geometry: Geometry,
    input: Tensor,
    filters: Tensor,
}

impl Backward for Conv2dBackward {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let g = &self.geometry;
        let arithmetic = self.arithmetic;
        let grad = memory::channels_last("conv2d backward", grad)?;
        let dy = memory::values("conv2d backward", &grad)?;
        let mut grads = vec![None; needs.len()];
        if needs[0] {
            let ws = memory::values("conv2d backward", &self.filters)?;
            let dx = input_grad(arithmetic, g, &dy, &ws);
            grads[0] = Some(Output::channels_last(dx, (g.n, g.h, g.w, g.c)).into_tensor()?);
        }
        if needs[1] {
            let xs = memory::values("conv2d backward", &self.input)?;
            let dw = weight_gradient(arithmetic, g, &xs, &dy);
            grads[1] = Some(Output::contiguous(dw, &[g.o, g.cg(), g.kh, g.kw]).into_tensor()?);
        }
        if needs.get(2) == Some(&true) {
            grads[2] = Some(Output::contiguous(bias_grad(&dy, g.o), &[g.o]).into_tensor()?);
        }
        Ok(grads)
    }
}

fn forward(arithmetic: Arithmetic, g: &Geometry, x: &[f32], w: Filters, after: Epilogue) -> Vec<f32> {
    if macs::counting() || g.n == 0 {
        return vec![0.0; g.n * g.oh * g.ow * g.o];
    }
    match arithmetic {
        Arithmetic::F32(isa) if g.is_depthwise() => depthwise::forward(isa, g, x, w.values, after),
        Arithmetic::F32(isa) => gather::forward(isa, g, x, w, after),
        Arithmetic::Bf16(unit) => bf16::forward(unit, g, x, w.values, after),
    }
}

fn input_grad(arithmetic: Arithmetic, g: &Geometry, dy: &[f32], w: &[f32]) -> Vec<f32> {
    if g.n == 0 {
        return Vec::new();
    }
    match arithmetic {
        Arithmetic::F32(isa) if g.is_depthwise() => depthwise::input_grad(isa, g, dy, w),
        Arithmetic::F32(isa) => gather::input_grad(isa, g, dy, w),
        Arithmetic::Bf16(unit) => bf16::input_grad(unit, g, dy, w),
    }
}

fn weight_gradient(arithmetic: Arithmetic, g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    if g.n == 0 {
        return vec![0.0; g.o * g.cg() * g.taps()];
    }
    match arithmetic {
        Arithmetic::F32(isa) if g.is_depthwise() => depthwise::weight_grad(isa, g, x, dy),
        Arithmetic::F32(isa) => weight_grad::weight_grad(isa, g, x, dy),
        Arithmetic::Bf16(unit) => bf16::weight_grad(unit, g, x, dy),
    }
}

/// Sums over pixels: fixed blocks in parallel, their sums added in order.
fn bias_grad(dy: &[f32], o: usize) -> Vec<f32> {
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

/// Images as they lie, `[n, h, w, c]`.
#[derive(Clone, Copy)]
struct Image<'a> {
    values: &'a [f32],
    h: usize,
    w: usize,
    c: usize,
}

/// Where results go, `[n, h, w, c]`.
#[derive(Clone, Copy)]
struct Target {
    start: SharedMut,
    h: usize,
    w: usize,
    c: usize,
}

/// One position of the filter in a product over an image.
#[derive(Debug, Clone, Copy)]
struct Tap {
    /// Which tap of the filter.
    index: usize,
    /// Where it reads, relative to the pixel of the grid.
    dy: isize,
    dx: isize,
}

/// A product that visits a grid of pixels: what to read for each and where to write the result.
/// The forward pass is one such walk; the input's gradient is one for each phase of the stride.
#[derive(Debug, Clone)]
struct Walk {
    /// Points of the grid (height, width).
    grid: (usize, usize),
    /// Source pixels from one point to the next.
    step: (usize, usize),
    taps: Vec<Tap>,
    /// Target pixel of the first point, and from one point to the next.
    start: (usize, usize),
    spacing: (usize, usize),
    /// Whether what its points see is unfolded first.
    unfolded: bool,
}

impl Walk {
    fn forward(g: &Geometry) -> Walk {
        let taps = (0..g.taps()).map(|index| {
            let (dy, dx) = g.tap_offset(index);
            Tap { index, dy, dx }
        });
        Walk {
            grid: (g.oh, g.ow),
            step: g.config.stride,
            taps: taps.collect(),
            start: (0, 0),
            spacing: (1, 1),
            unfolded: unfold::serves(g),
        }
    }

    /// How far up and down from its pixel's row the taps look: (least, greatest) `dy`.
    fn reach(&self) -> (isize, isize) {
        let rows = || self.taps.iter().map(|tap| tap.dy);
        (rows().min().unwrap_or(0), rows().max().unwrap_or(0))
    }

    /// Input pixel (y, x) received tap k of output pixel (y − offset_k) / stride, where that is whole:
    /// pixels of one residue modulo the stride share their taps.
    fn input_grad(g: &Geometry) -> Vec<Walk> {
        let (sy, sx) = g.config.stride;
        let phases = (0..sy).flat_map(|py| (0..sx).map(move |px| (py, px)));
        phases
            .filter(|&(py, px)| py < g.h && px < g.w)
            .map(|(py, px)| {
                let taps = (0..g.taps()).filter_map(|index| {
                    let (dy, dx) = g.tap_offset(index);
                    let (dy, dx) = (py as isize - dy, px as isize - dx);
                    let whole = dy.rem_euclid(sy as isize) == 0 && dx.rem_euclid(sx as isize) == 0;
                    whole.then(|| Tap { index, dy: dy.div_euclid(sy as isize), dx: dx.div_euclid(sx as isize) })
                });
                Walk {
                    grid: ((g.h - py).div_ceil(sy), (g.w - px).div_ceil(sx)),
                    step: (1, 1),
                    taps: taps.collect(),
                    start: (py, px),
                    spacing: (sy, sx),
                    unfolded: false,
                }
            })
            .collect()
    }
}
