//! Quantisation after training: convolutions and linear layers in 8 bits, from what a few images show.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use candle_core::Tensor;
use tallow_models::{Built, Model};
use tallow_nn::Mode;
use tallow_nn::graph::{Dim, Graph, Op, Value, observe};
use tallow_nn::layers::Activation;
use tallow_nn::op::{fake_quantize, range};

use crate::error::{Error, Result};
use crate::onnx::graph_of;

/// Which values of a model are kept in 8 bits, and how.
///
/// Activations are unsigned bytes with a scale and a zero point each; the weights of a convolution or linear layer are signed
/// ones with a scale for each output. What lies between (attention, norms, activations other than ReLU) stays in f32.
#[derive(Debug, Clone)]
pub struct Int8 {
    pub(crate) graph: Graph,
    pub(crate) levels: HashMap<Value, Levels>,
}

/// A byte q stands for `scale · (q − zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Levels {
    pub(crate) scale: f32,
    pub(crate) zero_point: u8,
}

impl Levels {
    /// For values from `low` to `high`; zero, which pads images, is one of them.
    fn new(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
        Levels { scale, zero_point: (-low / scale).round_ties_even() as u8 }
    }
}

impl Int8 {
    /// From preprocessed images `[n, c, h, w]`, batch by batch: a value's range is the mean over the batches of its least and of its
    /// greatest in each.
    ///
    /// # Errors
    /// No images; a value that is not finite; a model that cannot be traced; whatever `batches` fail with.
    ///
    /// # Source
    /// Jacob et al. 2017, <https://arxiv.org/abs/1712.05877>; ranges as PyTorch's `MovingAverageMinMaxObserver`, each batch counting alike.
    pub fn calibrate<E>(
        built: &Built,
        batches: impl IntoIterator<Item = std::result::Result<Tensor, E>>,
    ) -> std::result::Result<Self, E>
    where
        E: From<Error>,
    {
        let mut batches = batches.into_iter().peekable();
        let size = match batches.peek() {
            Some(Ok(images)) => {
                let (_, _, h, w) = images.dims4().map_err(|error| Error::from(tallow_nn::Error::from(error)))?;
                (h, w)
            }
            _ => built.info.config.input_size,
        };
        let graph = graph_of(built, size)?;
        let kept = kept(&graph);
        let steps = kept.iter().filter_map(|value| match value {
            Value::Node(node) => Some((graph.nodes[*node].step, *value)),
            _ => None,
        });
        let steps: HashMap<usize, Value> = steps.collect();
        let sums = Rc::new(RefCell::new(HashMap::<Value, (f64, f64)>::new()));
        let mut count = 0;
        for images in batches {
            let images = images?;
            let (steps, sums) = (steps.clone(), sums.clone());
            let add = move |value: Value, tensor: &Tensor| -> tallow_nn::Result<()> {
                let (low, high) = range(tensor)?;
                let mut sums = sums.borrow_mut();
                let sum = sums.entry(value).or_default();
                *sum = (sum.0 + f64::from(low), sum.1 + f64::from(high));
                Ok(())
            };
            if kept.contains(&Value::Images) {
                add(Value::Images, &images).map_err(Error::from)?;
            }
            let see = move |step: usize, tensor: &Tensor| {
                steps.get(&step).map(|value| add(*value, tensor)).transpose().map(|_| None)
            };
            observe(Box::new(see), || built.model.forward(&images, &Mode::eval())).map_err(Error::from)?;
            count += 1;
        }
        if count == 0 {
            return Err(Error::Calibration("there are no images to learn the ranges from".to_owned()).into());
        }
        let mut levels = HashMap::new();
        for (value, (low, high)) in sums.borrow().iter() {
            let (low, high) = ((low / f64::from(count)) as f32, (high / f64::from(count)) as f32);
            if !(low.is_finite() && high.is_finite()) {
                let reason = "a pass gives what is no number: the weights are damaged, or the images".to_owned();
                return Err(Error::Calibration(reason).into());
            }
            levels.insert(*value, Levels::new(low, high));
        }
        Ok(Int8 { graph, levels })
    }

    /// The model with its weights rounded, and its activations as it computes them, to what 8 bits hold: it answers as a runtime does
    /// that computes in integers, up to the rounding of biases and sums, at the speed of f32. Only whole passes
    /// ([`Model::forward`]) are; weights that evaluation computes anew (RepVGG's) stay as they are.
    ///
    /// # Errors
    /// A weight that cannot be set.
    pub fn simulate(&self, built: Built) -> Result<Built> {
        let names: HashMap<_, _> =
            built.store.parameters().map(|(name, var)| (var.as_tensor().id(), name.to_owned())).collect();
        for node in &self.graph.nodes {
            if let Some((input, weight)) = product(&node.op, &node.inputs)
                && self.levels.contains_key(&input)
                && let Some(name) = names.get(&self.graph.constants[weight].id())
            {
                let weight = &self.graph.constants[weight];
                let rounded = rounded(weight).map_err(tallow_nn::Error::from)?;
                built.store.set(name, &rounded)?;
            }
        }
        let steps = self.levels.iter().filter_map(|(value, levels)| match value {
            Value::Node(node) => Some((self.graph.nodes[*node].step, *levels)),
            _ => None,
        });
        let model =
            Simulated { model: built.model, images: self.levels.get(&Value::Images).copied(), steps: steps.collect() };
        Ok(Built { model: Box::new(model), ..built })
    }
}

/// The input of a convolution or linear layer and its constant weights.
pub(crate) fn product(op: &Op, inputs: &[Value]) -> Option<(Value, usize)> {
    match (op, inputs) {
        (Op::Conv2d(_) | Op::Conv2dFolded(_) | Op::Linear, [input, Value::Constant(weight), ..]) => {
            (!matches!(input, Value::Constant(_))).then_some((*input, *weight))
        }
        _ => None,
    }
}

/// The values that are kept in 8 bits: what convolutions and linear layers take, and in convolutional networks whatever lies between
/// them, so that a runtime need not leave integers.
fn kept(graph: &Graph) -> HashSet<Value> {
    let mut users: HashMap<Value, Vec<&Op>> = HashMap::new();
    for node in &graph.nodes {
        node.inputs.iter().for_each(|input| users.entry(*input).or_default().push(&node.op));
    }
    let mut kept = HashSet::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        let result = Value::Node(i);
        kept.extend(product(&node.op, &node.inputs).map(|(input, _)| input));
        let map = matches!(node.shape[..], [_, Dim::Fixed(_), Dim::Fixed(_), Dim::Fixed(_)]);
        let between = match &node.op {
            // Runtimes compute a ReLU with the layer before it.
            Op::Conv2d(_) | Op::Conv2dFolded(_) => {
                !matches!(users.get(&result).map(Vec::as_slice), Some([Op::Activate(Activation::Relu)]))
            }
            Op::Activate(Activation::Relu) | Op::Add | Op::Concat(_) => map,
            Op::MaxPool(_) | Op::AvgPool { .. } | Op::GlobalAvgPool => true,
            _ => false,
        };
        if between {
            kept.insert(result);
        }
    }
    kept.remove(&graph.output);
    kept
}

/// Weights `[out, …]` as signed bytes, and the scale of each output: the largest of its weights is 127, unless `least` asks for a
/// larger scale.
pub(crate) fn to_int8(weight: &Tensor, least: impl Fn(usize) -> f32) -> candle_core::Result<(Vec<i8>, Vec<f32>)> {
    let outputs = weight.dims()[0];
    let values = weight.flatten_all()?.to_vec1::<f32>()?;
    let each = (values.len() / outputs.max(1)).max(1);
    let scales: Vec<f32> = values
        .chunks_exact(each)
        .map(|row| row.iter().fold(0f32, |largest, value| largest.max(value.abs())) / 127.0)
        .enumerate()
        .map(|(output, scale)| scale.max(least(output)))
        .map(|scale| if scale > 0.0 { scale } else { 1.0 })
        .collect();
    let bytes = values.iter().enumerate().map(|(i, value)| (value / scales[i / each]).round_ties_even() as i8);
    Ok((bytes.collect(), scales))
}

fn rounded(weight: &Tensor) -> candle_core::Result<Tensor> {
    let (bytes, scales) = to_int8(weight, |_| 0.0)?;
    let each = (bytes.len() / scales.len().max(1)).max(1);
    let values: Vec<f32> = bytes.iter().enumerate().map(|(i, byte)| f32::from(*byte) * scales[i / each]).collect();
    Tensor::from_vec(values, weight.dims(), weight.device())
}

/// A model whose activations are rounded on the way.
struct Simulated {
    model: Box<dyn Model>,
    images: Option<Levels>,
    steps: HashMap<usize, Levels>,
}

impl Model for Simulated {
    fn forward(&self, images: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        let images = match self.images {
            Some(levels) => fake_quantize(images, levels.scale, levels.zero_point)?,
            None => images.clone(),
        };
        let steps = self.steps.clone();
        let see = move |step: usize, tensor: &Tensor| {
            let levels = steps.get(&step);
            levels.map(|levels| fake_quantize(tensor, levels.scale, levels.zero_point)).transpose()
        };
        observe(Box::new(see), || self.model.forward(&images, mode))
    }

    fn forward_features(&self, images: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        self.model.forward_features(images, mode)
    }

    fn pool(&self, features: &Tensor) -> tallow_nn::Result<Tensor> {
        self.model.pool(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        self.model.forward_head(features, mode)
    }
}
