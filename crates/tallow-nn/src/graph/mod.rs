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

use crate::error::{Error, Result};
use crate::kernels::activation::Activation;
use crate::kernels::conv2d::ConvConfig;
use crate::kernels::pool::PoolConfig;

/// One step of a computation. Inputs are in the order in which the function of that name takes them; those with a
/// question mark can be left out.
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
    /// With the given statistics: `x, weight, bias, mean, var`.
    BatchNorm {
        /// Added to the variance.
        eps: f32,
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
        /// The first.
        factor: f64,
        /// The second.
        summand: f64,
    },
    /// `x²`.
    Square,
    /// `√x`.
    Sqrt,
    /// `ln x`.
    Log,
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
    /// Places of one dimension, in this order.
    Select {
        /// The dimension.
        dim: usize,
        /// The places.
        places: Vec<usize>,
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
    /// Which of the ops of a pass it is, counted from 0: what [`observe`] says.
    pub step: usize,
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

/// What is done with the ops that run on this thread.
#[derive(Default)]
enum Watch {
    #[default]
    Nothing,
    Trace(Vec<Record>),
    Observe {
        see: Box<See>,
        step: usize,
        failure: Option<Error>,
    },
}

/// Takes the number of an op and what it gave; may give another tensor in its place.
pub type See = dyn FnMut(usize, &Tensor) -> Result<Option<Tensor>>;

thread_local! {
    static WATCH: RefCell<Watch> = const { RefCell::new(Watch::Nothing) };
}

/// Notes that `output` is `op` of `inputs`, while a trace runs on this thread; gives `output` back, or what an observer put in its
/// place. Every op of this crate calls it. One of your own need not, if it is made of those and of [`ops`](crate::ops).
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

/// Whether a trace or an observer runs on this thread: ops that do several things at once then do one after the other.
pub(crate) fn watched() -> bool {
    WATCH.with_borrow(|watch| !matches!(watch, Watch::Nothing))
}

/// Runs `forward` and shows `see` what each op gives, in the order of [`Node::step`]; a tensor that it gives back takes the place of that one.
///
/// # Errors
/// Whatever `forward` or `see` fails with.
pub fn observe<T>(see: Box<See>, forward: impl FnOnce() -> Result<T>) -> Result<T> {
    let outer = WATCH.replace(Watch::Observe { see, step: 0, failure: None });
    let result = forward();
    match WATCH.replace(outer) {
        Watch::Observe { failure: Some(error), .. } => Err(error),
        _ => result,
    }
}

/// The graph of `forward` for images of this size. `forward` must be the same each time: an evaluation.
///
/// # Errors
/// [`Error::NotTraced`] if a value that depends on the images is the result of one of Candle's own ops, which leave no trace:
/// [`ops`](crate::ops) has those that do. Whatever `forward` fails with.
pub fn trace(image: (usize, usize, usize), forward: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Graph> {
    let pass = |n: usize| -> Result<build::Pass> {
        let (c, h, w) = image;
        let values: Vec<f32> = (0..n * c * h * w).map(|i| (i as f32 * 0.37).sin()).collect();
        let images = Tensor::from_vec(values, (n, c, h, w), &Device::Cpu)?;
        let outer = WATCH.replace(Watch::Trace(Vec::new()));
        let output = forward(&images);
        match WATCH.replace(outer) {
            Watch::Trace(records) => Ok(build::Pass { images, records, output: output? }),
            _ => Err(Error::Config { op: "trace", reason: "`forward` traces, which cannot be traced".to_owned() }),
        }
    };
    build::build(image, &pass(1)?, &pass(2)?)
}
