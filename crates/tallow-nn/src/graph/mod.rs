//! The computation of a model as a graph, which an exporter writes for other runtimes.
//!
//! [`trace`] runs a forward pass and notes every operation of [`op`](crate::op) with its inputs. Two passes, over one
//! image and over two, tell values that depend on the images from values that do not. The latter become constants,
//! however they were computed.
//!
//! ```
//! use tallow_nn::graph::{Dim, Op, trace};
//! use tallow_nn::layers::Linear;
//! use tallow_nn::{Init, ParamStore, op::tokens};
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

use tallow_kernels::cpu::activation::Activation;
use tallow_kernels::cpu::conv2d::ConvConfig;
use tallow_kernels::cpu::pool::PoolConfig;

use crate::error::{Error, Result};
use crate::suspended::Suspended;

/// One step of a computation. Inputs are in the order in which the function of that name in [`op`](crate::op) takes
/// them; those with a question mark are optional.
///
/// The enum is exhaustive: an exporter that matches it without a wildcard does not compile until it handles a new step.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `conv2d(x, weight, bias?)`.
    Conv2d(ConvConfig),
    /// `scale · conv2d(x, weight) + shift`, one scale and shift for each output.
    Conv2dFolded(ConvConfig),
    /// `x · weightᵀ + bias?`.
    Linear,
    /// `a · b` over the last two dimensions; those before are broadcast.
    Matmul,
    /// Normalisation by given statistics: `x, weight, bias, mean, var`.
    BatchNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// Normalisation of the last dimension: `x, weight, bias`.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// Softmax over the last dimension.
    Softmax,
    /// `q, k, v, bias?` where `packed` is false, else `qkv, bias?`; see [`attention`](fn@crate::op::attention).
    Attention {
        /// Heads among which the last dimension is divided.
        heads: usize,
        /// The factor of the scores.
        scale: f32,
        /// Whether queries, keys and values are one tensor.
        packed: bool,
        /// Whether the last input is added to the scores.
        bias: bool,
    },
    /// `activation(x)`, elementwise.
    Activate(Activation),
    /// `a + b`, broadcast.
    Add,
    /// `a − b`, broadcast.
    Subtract,
    /// `a · b`, broadcast.
    Multiply,
    /// `a / b`, broadcast.
    Divide,
    /// `factor · x + summand`.
    Affine {
        /// The factor.
        factor: f64,
        /// The summand.
        summand: f64,
    },
    /// `x²`.
    Square,
    /// `√x`.
    Sqrt,
    /// `ln x`.
    Log,
    /// The mean over the last dimension, which becomes 1.
    MeanLast,
    /// `x [n, c, h, w]` times `gates [n, c]`.
    ScaleChannels,
    /// The largest of each window.
    MaxPool(PoolConfig),
    /// The mean of each window.
    AvgPool {
        /// The window.
        config: PoolConfig,
        /// Whether the zeros around the image count as values.
        count_include_pad: bool,
    },
    /// The mean of each channel, `[n, c, h, w]` → `[n, c]`.
    GlobalAvgPool,
    /// The largest value of each channel, `[n, c, h, w]` → `[n, c]`.
    GlobalMaxPool,
    /// The same values in the node's shape.
    Reshape,
    /// Dimension i of the result is this one of the input.
    Permute(Vec<usize>),
    /// A range of one dimension.
    Narrow {
        /// The dimension.
        dim: usize,
        /// The start of the range.
        start: usize,
        /// The length of the range.
        len: usize,
    },
    /// Some indices of one dimension, in a given order.
    Select {
        /// The dimension.
        dim: usize,
        /// The indices.
        places: Vec<usize>,
    },
    /// Concatenation along a dimension; inputs that do not depend on the images are repeated for each.
    Concat(usize),
    /// Repetition to the node's shape.
    Expand,
    /// Zeros before and after each dimension.
    Pad(Vec<(usize, usize)>),
}

/// The source of a node's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    /// The images, `[n, c, h, w]`.
    Images,
    /// One of [`Graph::constants`].
    Constant(usize),
    /// The result of one of [`Graph::nodes`].
    Node(usize),
}

/// One dimension of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// This length, whatever the number of images.
    Fixed(usize),
    /// This length for each image.
    PerImage(usize),
}

/// One step of a [`Graph`].
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Its inputs.
    pub inputs: Vec<Value>,
    /// The shape of the result.
    pub shape: Vec<Dim>,
    /// The number of the operation in a pass, counted from 0, as in [`observe`].
    pub step: usize,
}

/// The computation of a model on a batch of images.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Channels, height and width of the images.
    pub image: (usize, usize, usize),
    /// The nodes, each after those that it needs. The output needs all of them.
    pub nodes: Vec<Node>,
    /// Tensors that do not depend on the images: parameters, and results of parameters.
    pub constants: Vec<Tensor>,
    /// The result.
    pub output: Value,
}

pub(crate) struct Record {
    op: Op,
    inputs: Vec<Tensor>,
    output: Tensor,
}

/// The treatment of the operations that run on this thread.
#[derive(Default)]
pub(crate) enum Watch {
    #[default]
    Nothing,
    Trace(Vec<Record>),
    Observe {
        see: Box<See>,
        step: usize,
        failure: Option<Error>,
    },
}

/// Takes the number of an operation and its result; may return another tensor in its place.
pub type See = dyn FnMut(usize, &Tensor) -> Result<Option<Tensor>>;

thread_local! {
    static WATCH: RefCell<Watch> = const { RefCell::new(Watch::Nothing) };
}

/// Notes that `output` is `op` of `inputs`, while a trace runs on this thread. Returns `output`, or the tensor that an
/// observer put in its place. Every operation of [`op`](crate::op) calls it; a layer that is made of those need not.
pub fn record(output: Tensor, inputs: &[&Tensor], op: impl FnOnce() -> Op) -> Tensor {
    if !watched() {
        return output;
    }
    // Taken out meanwhile: an observer's own ops are not watched.
    let mut watch = WATCH.take();
    let mut result = output;
    match &mut watch {
        Watch::Nothing => {}
        Watch::Trace(records) => {
            let inputs = inputs.iter().map(|&input| input.clone()).collect();
            records.push(Record { op: op(), inputs, output: result.clone() });
        }
        Watch::Observe { see, step, failure } => {
            match see(*step, &result) {
                Ok(Some(other)) => result = other,
                Ok(None) => {}
                Err(error) => *failure = failure.take().or(Some(error)),
            }
            *step += 1;
        }
    }
    WATCH.set(watch);
    result
}

/// Whether a trace or an observer runs on this thread. Fused operations then run as their parts.
pub(crate) fn watched() -> bool {
    WATCH.with_borrow(|watch| !matches!(watch, Watch::Nothing))
}

/// Hides a trace or an observer until the guard is dropped.
pub(crate) fn suspend() -> Suspended<RefCell<Watch>> {
    Suspended::new(&WATCH)
}

/// Runs `forward` and shows `see` the result of each operation, in the order of [`Node::step`]. A tensor that `see`
/// returns replaces the result.
///
/// # Errors
/// Errors of `forward` or `see`.
pub fn observe<T>(see: Box<See>, forward: impl FnOnce() -> Result<T>) -> Result<T> {
    let outer = WATCH.replace(Watch::Observe { see, step: 0, failure: None });
    let result = forward();
    match WATCH.replace(outer) {
        Watch::Observe { failure: Some(error), .. } => Err(error),
        _ => result,
    }
}

/// The graph of `forward` for images of this size (channels, height, width). `forward` must compute the same each time:
/// an evaluation.
///
/// # Errors
/// [`Error::NotTraced`] if a value that depends on the images is the result of one of Candle's own operations, which
/// leave no trace: those of [`op`](crate::op) do. Errors of `forward`.
pub fn trace(image: (usize, usize, usize), forward: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Graph> {
    let pass = |n: usize| -> Result<build::Pass> {
        let (c, h, w) = image;
        let values: Vec<f32> = (0..n * c * h * w).map(|i| (i as f32 * 0.37).sin()).collect();
        let images = Tensor::from_vec(values, (n, c, h, w), &Device::Cpu)?;
        let outer = WATCH.replace(Watch::Trace(Vec::new()));
        let output = forward(&images);
        match WATCH.replace(outer) {
            Watch::Trace(records) => Ok(build::Pass { images, records, output: output? }),
            _ => Err(Error::Config {
                op: "trace",
                reason: "`forward` itself calls trace or observe, which cannot be nested in a trace".to_owned(),
            }),
        }
    };
    build::build(image, &pass(1)?, &pass(2)?)
}
