//! What a model computes, as a graph: what an exporter writes for other runtimes.
//!
//! [`trace`] runs a forward pass and notes every op of ours with its inputs. Two passes, over one image and over two,
//! tell what depends on the images from what does not: the latter is kept as constants, however it was computed.
//!
//! ```
//! use tallow_nn::graph::{Dim, Op, trace};
//! use tallow_nn::layers::Linear;
//! use tallow_nn::{Init, ParamStore, kernels::tokens::tokens};
//! # fn main() -> tallow_nn::Result<()> {
//! let cpu = candle_core::Device::Cpu;
//! let (head, _store) = ParamStore::build(0, &cpu, |b| Linear::new(3, 5, true, Init::ONES, &b.pp("head")))?;
//! let graph = trace((3, 4, 4), |images| head.forward(&tokens(images)?))?;
//! let last = graph.nodes.last().unwrap();
//! assert_eq!((&last.op, &last.shape[..]), (&Op::Linear, &[Dim::PerImage(1), Dim::Fixed(16), Dim::Fixed(5)][..]));
//! # Ok(()) }
//! ```

mod build;

use std::cell::RefCell;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::kernels::activation::Activation;
use crate::kernels::conv2d::ConvConfig;
use crate::kernels::pool::PoolConfig;

/// One step of a computation. Inputs are in the order in which the function of that name takes them; those with a
/// question mark can be left out.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `conv2d(x, weight, bias?)`.
    Conv2d(ConvConfig),
    /// `activation(scale · conv2d(x, weight) + shift)`, one scale and shift for each output.
    Conv2dFolded {
        /// Stride, padding, dilation, groups.
        config: ConvConfig,
        /// What is done to each output.
        activation: Activation,
    },
    /// `x · weightᵀ + bias?`.
    Linear,
    /// `a · b` over the last two dimensions; those before are broadcast.
    Matmul,
    /// With the given statistics: `x, weight, bias, mean, var`.
    BatchNorm {
        /// Added to the variance.
        eps: f32,
        /// What is done to each output.
        activation: Activation,
    },
    /// Over the last dimension: `x, weight, bias`.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// Over the last dimension.
    Softmax,
    /// `q, k, v, bias?` where `packed` is false, else `qkv, bias?`; see [`attention`](crate::kernels::attention).
    Attention {
        /// Heads that the last dimension is divided among.
        heads: usize,
        /// What the scores are multiplied with.
        scale: f32,
        /// Whether queries, keys and values are one tensor.
        packed: bool,
        /// Whether the last input is added to the scores.
        bias: bool,
    },
    /// Elementwise.
    Activate(Activation),
    /// `activation(a + b)`, broadcast.
    Add(Activation),
    /// `a − b`, broadcast.
    Subtract,
    /// `a · b`, broadcast.
    Multiply,
    /// `a / b`, broadcast.
    Divide,
    /// `factor · x + summand`.
    Affine {
        /// The first.
        factor: f64,
        /// The second.
        summand: f64,
    },
    /// `x²`.
    Square,
    /// `√x`.
    Sqrt,
    /// The mean over the last dimension, which stays as 1.
    MeanLast,
    /// `x [n, c, h, w]` times `gates [n, c]`.
    ScaleChannels,
    /// The largest of each window.
    MaxPool(PoolConfig),
    /// The mean of each window.
    AvgPool {
        /// The window.
        config: PoolConfig,
        /// Whether the zeros around the image count.
        count_include_pad: bool,
    },
    /// `[n, c, h, w]` → `[n, c]`.
    GlobalAvgPool,
    /// `[n, c, h, w]` → `[n, c]`.
    GlobalMaxPool,
    /// To the node's shape.
    Reshape,
    /// Dimension i of the result is this one of the input.
    Permute(Vec<usize>),
    /// A range of one dimension.
    Narrow {
        /// The dimension.
        dim: usize,
        /// Where the range starts.
        start: usize,
        /// How long it is.
        len: usize,
    },
    /// Along a dimension; inputs that do not depend on the images are repeated for each.
    Concat(usize),
    /// Repeated to the node's shape.
    Expand,
    /// Zeros before and behind each dimension.
    Pad(Vec<(usize, usize)>),
}

/// Where an input of a node comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// The images, `[n, c, h, w]`.
    Images,
    /// One of [`Graph::constants`].
    Constant(usize),
    /// What one of [`Graph::nodes`] computes.
    Node(usize),
}

/// One dimension of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// As long whatever the number of images.
    Fixed(usize),
    /// So long for each image.
    PerImage(usize),
}

/// One step of a [`Graph`].
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Of what.
    pub inputs: Vec<Value>,
    /// The shape of the result.
    pub shape: Vec<Dim>,
}

/// What a model computes of a batch of images.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Channels, height and width of the images.
    pub image: (usize, usize, usize),
    /// Each after those that it needs; all of them are needed.
    pub nodes: Vec<Node>,
    /// What does not depend on the images: parameters, and what was computed of them.
    pub constants: Vec<Tensor>,
    /// The result.
    pub output: Value,
}

struct Record {
    op: Op,
    inputs: Vec<Tensor>,
    output: Tensor,
}

thread_local! {
    static RECORDS: RefCell<Option<Vec<Record>>> = const { RefCell::new(None) };
}

/// Notes that `output` is `op` of `inputs`, while a trace runs on this thread; gives `output` back. Every op of this crate calls
/// it. One of your own need not, if it is made of those and of [`ops`](crate::ops).
pub fn record(output: Tensor, inputs: &[&Tensor], op: impl FnOnce() -> Op) -> Tensor {
    RECORDS.with_borrow_mut(|records| {
        if let Some(records) = records {
            let inputs = inputs.iter().map(|&input| input.clone()).collect();
            records.push(Record { op: op(), inputs, output: output.clone() });
        }
    });
    output
}

/// Whether a trace runs on this thread.
pub(crate) fn tracing() -> bool {
    RECORDS.with_borrow(Option::is_some)
}

/// The graph of `forward` for images of this size. `forward` must be the same each time: an evaluation.
///
/// # Errors
/// [`Error::NotTraced`](crate::Error::NotTraced) if a value that depends on the images is the result of one of Candle's own
/// ops, which leave no trace: [`ops`](crate::ops) has those that do. Whatever `forward` fails with.
pub fn trace(image: (usize, usize, usize), forward: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Graph> {
    let passes = [1, 2].map(|n| -> Result<build::Pass> {
        let (c, h, w) = image;
        let values: Vec<f32> = (0..n * c * h * w).map(|i| (i as f32 * 0.37).sin()).collect();
        let images = Tensor::from_vec(values, (n, c, h, w), &Device::Cpu)?;
        let outer = RECORDS.replace(Some(Vec::new()));
        let output = forward(&images);
        let records = RECORDS.replace(outer).unwrap_or_default();
        Ok(build::Pass { images, records, output: output? })
    });
    let [one, two] = passes;
    build::build(image, &one?, &two?)
}
