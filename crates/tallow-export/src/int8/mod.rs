//! Quantisation after training: convolutions and linear layers in 8 bits, with ranges from a few images.

mod levels;
mod rules;
mod simulate;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use candle_core::Tensor;
use tallow_models::BuiltModel;
use tallow_nn::Mode;
use tallow_nn::graph::{Dim, Graph, Node, Op, Value, observe};
use tallow_nn::layers::Activation;
use tallow_nn::op::range;

use crate::error::Error;
use crate::graph::graph_of;
pub(crate) use levels::{Levels, to_int8};
pub(crate) use rules::{Product, product};
use rules::{Rule, rule};

/// The values of a model that are kept in 8 bits, and their ranges.
///
/// Activations are unsigned bytes, each tensor with a scale and a zero point; the weights of convolutions and linear layers
/// are signed bytes with a scale for each output. Attention, norms and activations other than ReLU stay in f32.
#[derive(Debug, Clone)]
pub struct Int8 {
    pub(crate) graph: Graph,
    pub(crate) levels: HashMap<Value, Levels>,
}

impl Int8 {
    /// Measures ranges on preprocessed images `[n, c, h, w]`, batch by batch. The range of a value is the mean over the batches
    /// of its smallest and of its largest element. Height and width are those of the first batch.
    ///
    /// # Errors
    /// No images; a value that is not finite; a model that cannot be traced; an error of `batches`.
    ///
    /// # Source
    /// Jacob et al. 2017, <https://arxiv.org/abs/1712.05877>. Ranges as in PyTorch's `MovingAverageMinMaxObserver`, but with
    /// equal weight for each batch.
    pub fn calibrate<E>(
        built: &BuiltModel,
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
            Value::Images | Value::Constant(_) => None,
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
            return Err(Error::Calibration("there are no images to measure ranges on".to_owned()).into());
        }
        let mut levels = HashMap::new();
        for (value, (low, high)) in sums.borrow().iter() {
            let (low, high) = ((low / f64::from(count)) as f32, (high / f64::from(count)) as f32);
            if !(low.is_finite() && high.is_finite()) {
                let reason = "a value is not finite: the weights or the images are damaged".to_owned();
                return Err(Error::Calibration(reason).into());
            }
            levels.insert(*value, Levels::new(low, high));
        }
        Ok(Int8 { graph, levels })
    }
}

/// The values that are kept in 8 bits: the inputs of convolutions and linear layers, and in convolutional networks the
/// results between them, so that a runtime need not leave integers.
fn kept(graph: &Graph) -> HashSet<Value> {
    let mut users: HashMap<Value, Vec<&Op>> = HashMap::new();
    for node in &graph.nodes {
        node.inputs.iter().for_each(|input| users.entry(*input).or_default().push(&node.op));
    }
    let mut kept = HashSet::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        let result = Value::Node(i);
        kept.extend(product(&node.op, &node.inputs).map(|(_, input, _)| input));
        let between = match rule(&node.op) {
            // Runtimes compute a ReLU together with the convolution before it.
            Rule::Product(Product::Convolution(_) | Product::FoldedConvolution(_)) => {
                !matches!(users.get(&result).map(Vec::as_slice), Some([Op::Activate(Activation::Relu)]))
            }
            Rule::Kept => true,
            Rule::KeptOnMaps => is_map(node),
            Rule::Product(Product::Linear) | Rule::Float => false,
        };
        if between {
            kept.insert(result);
        }
    }
    kept.remove(&graph.output);
    kept
}

/// Whether a node's result is a feature map, `[n, c, h, w]`.
fn is_map(node: &Node) -> bool {
    matches!(node.shape[..], [_, Dim::Fixed(_), Dim::Fixed(_), Dim::Fixed(_)])
}
