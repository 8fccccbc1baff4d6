//! From a model's graph to ONNX's: each of our ops as one or more of the standard's.

use std::collections::HashMap;

use candle_core::{Tensor, TensorId};
use tallow_nn::graph::{Dim, Graph, Node, Op, Value};
use tallow_nn::op::{ConvConfig, PoolConfig};

use super::proto;
use super::writer::{Attr, Writer};
use crate::error::Result;
use crate::int8::{Int8, Levels, product};

/// The input's name.
pub(super) const IMAGES: &str = "images";
/// The output's name.
pub(super) const LOGITS: &str = "logits";

/// Nodes and initialisers. Constants that are parameters keep the names they have in `names`.
pub(super) fn lower(graph: &Graph, names: &HashMap<TensorId, &str>, int8: Option<&Int8>) -> Result<proto::Graph> {
    let mut lowering = Lowering {
        graph,
        names,
        levels: int8.map(|int8| &int8.levels),
        writer: Writer::default(),
        images: IMAGES.to_owned(),
        results: Vec::new(),
        constants: HashMap::new(),
    };
    lowering.images = lowering.kept(Value::Images, IMAGES.to_owned());
    for (i, node) in graph.nodes.iter().enumerate() {
        let result = lowering.node(node)?;
        let result = lowering.kept(Value::Node(i), result);
        lowering.results.push(result);
    }
    let result = lowering.value(graph.output)?;
    Ok(lowering.writer.finish(&result, LOGITS))
}

/// What an initialiser is of its constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    AsIs,
    Transposed,
    /// Each row times its value in this constant.
    Scaled(usize),
}

pub(super) struct Lowering<'a> {
    pub(super) graph: &'a Graph,
    names: &'a HashMap<TensorId, &'a str>,
    /// How values are kept in 8 bits, if any are.
    pub(super) levels: Option<&'a HashMap<Value, Levels>>,
    pub(super) writer: Writer,
    /// The name of the input, or of what 8 bits hold of it.
    images: String,
    /// The names of what the nodes so far compute.
    results: Vec<String>,
    /// Initialisers by constant and what was done to it.
    constants: HashMap<(usize, Form), String>,
}

impl Lowering<'_> {
    /// The nodes that compute one of ours; gives the name of the result.
    fn node(&mut self, node: &Node) -> Result<String> {
        if let Some((input, _)) = product(&node.op, &node.inputs)
            && let Some(levels) = self.levels.and_then(|levels| levels.get(&input)).copied()
        {
            return self.in_8_bits(node, levels);
        }
        let inputs = match node.op {
            // Their weights are not taken as they are.
            Op::Linear | Op::Conv2dFolded(_) => vec![self.value(node.inputs[0])?],
            _ => node.inputs.iter().map(|&input| self.value(input)).collect::<Result<Vec<_>>>()?,
        };
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let x = inputs[0];
        Ok(match &node.op {
            Op::Conv2d(config) => {
                let kernel = self.fixed(node.inputs[1], 2);
                self.writer.node("Conv", &inputs, convolution(*config, kernel))
            }
            Op::Conv2dFolded(config) => {
                let kernel = self.fixed(node.inputs[1], 2);
                let (weight, shift) = (self.scaled(node.inputs[1], node.inputs[2])?, self.value(node.inputs[3])?);
                self.writer.node("Conv", &[x, &weight, &shift], convolution(*config, kernel))
            }
            Op::Linear => return self.linear(node, x),
            Op::Matmul => self.writer.node("MatMul", &inputs, vec![]),
            Op::BatchNorm { eps } => {
                self.writer.node("BatchNormalization", &inputs, vec![("epsilon", Attr::Float(*eps))])
            }
            Op::LayerNorm { eps } => {
                let attributes = vec![("axis", Attr::Int(-1)), ("epsilon", Attr::Float(*eps))];
                self.writer.node("LayerNormalization", &inputs, attributes)
            }
            Op::Softmax => self.writer.node("Softmax", &inputs, vec![("axis", Attr::Int(-1))]),
            Op::Attention { .. } => self.attention(node, &inputs),
            Op::Activate(activation) => self.activate(x, *activation),
            Op::Add => self.writer.node("Add", &inputs, vec![]),
            Op::Subtract => self.writer.node("Sub", &inputs, vec![]),
            Op::Multiply => self.writer.node("Mul", &inputs, vec![]),
            Op::Divide => self.writer.node("Div", &inputs, vec![]),
            Op::Affine { factor, summand } => self.affine(x, *factor as f32, *summand as f32),
            Op::Square => self.writer.node("Mul", &[x, x], vec![]),
            Op::Sqrt => self.writer.node("Sqrt", &inputs, vec![]),
            Op::Log => self.writer.node("Log", &inputs, vec![]),
            Op::MeanLast => self.writer.node("ReduceMean", &inputs, vec![("axes", Attr::Ints(vec![-1]))]),
            Op::ScaleChannels => {
                let channels = self.fixed(node.inputs[1], 1)[0];
                let gates = self.reshape(inputs[1], &[-1, channels, 1, 1]);
                self.writer.node("Mul", &[x, &gates], vec![])
            }
            Op::MaxPool(config) => {
                let (begin, end) = self.padding(node, *config);
                self.writer.node("MaxPool", &inputs, window(*config, begin, end))
            }
            Op::AvgPool { config, count_include_pad } => self.average(node, x, *config, *count_include_pad),
            Op::GlobalAvgPool | Op::GlobalMaxPool => {
                let op = if node.op == Op::GlobalAvgPool { "GlobalAveragePool" } else { "GlobalMaxPool" };
                let pixel = self.writer.node(op, &inputs, vec![]);
                self.reshape(&pixel, &sizes(&node.shape))
            }
            Op::Reshape => self.reshape(x, &sizes(&node.shape)),
            Op::Permute(dims) => self.permute(x, dims),
            Op::Narrow { dim, start, len } => {
                let [start, end, axis] = [*start, start + len, *dim].map(|i| self.writer.integers(&[i as i64]));
                self.writer.node("Slice", &[x, &start, &end, &axis], vec![])
            }
            Op::Select { dim, places } => {
                let places = self.writer.integers(&places.iter().map(|&place| place as i64).collect::<Vec<_>>());
                self.writer.node("Gather", &[x, &places], vec![("axis", Attr::Int(*dim as i64))])
            }
            Op::Concat(dim) => self.concat(node, &inputs, *dim),
            Op::Expand => self.expand(x, &node.shape),
            Op::Pad(zeros) => {
                let sides = zeros.iter().map(|zeros| zeros.0).chain(zeros.iter().map(|zeros| zeros.1));
                self.pad(x, &sides.map(|zeros| zeros as i64).collect::<Vec<_>>())
            }
        })
    }

    /// The name of a value; a constant becomes an initialiser where it is first used.
    pub(super) fn value(&mut self, value: Value) -> Result<String> {
        match value {
            Value::Images => Ok(self.images.clone()),
            Value::Node(node) => Ok(self.results[node].clone()),
            Value::Constant(constant) => self.constant(constant, Form::AsIs, Ok),
        }
    }

    /// The initialiser of a constant in one form, which `change` makes of it.
    fn constant(
        &mut self,
        constant: usize,
        form: Form,
        change: impl FnOnce(Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<String> {
        if let Some(name) = self.constants.get(&(constant, form)) {
            return Ok(name.clone());
        }
        let tensor = &self.graph.constants[constant];
        let name = self.name(constant);
        let name = match form {
            Form::AsIs => name,
            Form::Transposed => format!("{name}.T"),
            Form::Scaled(_) => format!("{name}.folded"),
        };
        let tensor = change(tensor.clone()).map_err(tallow_nn::Error::from)?;
        let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).map_err(tallow_nn::Error::from)?;
        let name = self.writer.floats(name, tensor.dims(), &values);
        self.constants.insert((constant, form), name.clone());
        Ok(name)
    }

    /// The filters of a convolution, each times its scale.
    fn scaled(&mut self, weight: Value, scale: Value) -> Result<String> {
        if let (Value::Constant(weight), Value::Constant(scale)) = (weight, scale) {
            let factors = self.graph.constants[scale].clone();
            let change = |weight: Tensor| weight.broadcast_mul(&factors.reshape(((), 1, 1, 1))?);
            return self.constant(weight, Form::Scaled(scale), change);
        }
        let (weight, scale) = (self.value(weight)?, self.value(scale)?);
        let scale = self.reshape(&scale, &[-1, 1, 1, 1]);
        Ok(self.writer.node("Mul", &[&weight, &scale], vec![]))
    }

    /// The dimensions of a value, from the `first` on, which do not depend on the number of images.
    pub(super) fn fixed(&self, value: Value, first: usize) -> Vec<i64> {
        let shape = match value {
            Value::Images => {
                let (c, h, w) = self.graph.image;
                return [1, c, h, w][first..].iter().map(|&len| len as i64).collect();
            }
            Value::Constant(constant) => {
                return self.graph.constants[constant].dims()[first..].iter().map(|&len| len as i64).collect();
            }
            Value::Node(node) => &self.graph.nodes[node].shape,
        };
        sizes(&shape[first..])
    }

    pub(super) fn rank(&self, value: Value) -> usize {
        match value {
            Value::Images => 4,
            Value::Constant(constant) => self.graph.constants[constant].rank(),
            Value::Node(node) => self.graph.nodes[node].shape.len(),
        }
    }

    /// A constant's name as a parameter, else one of its own.
    pub(super) fn name(&self, constant: usize) -> String {
        match self.names.get(&self.graph.constants[constant].id()) {
            Some(&name) => name.to_owned(),
            None => format!("constant_{constant}"),
        }
    }

    fn linear(&mut self, node: &Node, x: &str) -> Result<String> {
        let bias = node.inputs.get(2).map(|&bias| self.value(bias)).transpose()?;
        if self.rank(node.inputs[0]) == 2 {
            let weight = self.value(node.inputs[1])?;
            let mut inputs = vec![x, &weight];
            inputs.extend(bias.as_deref());
            return Ok(self.writer.node("Gemm", &inputs, vec![("transB", Attr::Int(1))]));
        }
        let weight = match node.inputs[1] {
            Value::Constant(constant) => self.constant(constant, Form::Transposed, |weight| weight.t())?,
            computed => {
                let weight = self.value(computed)?;
                self.permute(&weight, &[1, 0])
            }
        };
        let y = self.writer.node("MatMul", &[x, &weight], vec![]);
        Ok(match bias {
            Some(bias) => self.writer.node("Add", &[&y, &bias], vec![]),
            None => y,
        })
    }

    fn attention(&mut self, node: &Node, inputs: &[&str]) -> String {
        let Op::Attention { heads, scale, packed, bias } = node.op else { return String::new() };
        let heads = heads as i64;
        let width = |value: usize, parts: i64| self.fixed(node.inputs[value], 2)[0] / parts;
        let [q, k, v] = if packed {
            let (tokens, each) = (self.fixed(node.inputs[0], 1)[0], width(0, 3 * heads));
            let split = self.reshape(inputs[0], &[-1, tokens, 3, heads, each]);
            let split = self.permute(&split, &[2, 0, 3, 1, 4]);
            [0, 1, 2].map(|part| {
                let part = self.writer.integer(part);
                self.writer.node("Gather", &[&split, &part], vec![("axis", Attr::Int(0))])
            })
        } else {
            let parts = [0, 1, 2].map(|i| (inputs[i], self.fixed(node.inputs[i], 1)[0], width(i, heads)));
            parts.map(|(x, tokens, each)| {
                let split = self.reshape(x, &[-1, tokens, heads, each]);
                self.permute(&split, &[0, 2, 1, 3])
            })
        };
        let keys = self.permute(&k, &[0, 1, 3, 2]);
        let scores = self.writer.node("MatMul", &[&q, &keys], vec![]);
        let mut scores = self.affine(&scores, scale, 0.0);
        if let (true, Some((&bias, &value))) = (bias, inputs.last().zip(node.inputs.last())) {
            let dims = self.fixed(value, self.rank(value) - 3);
            scores = if self.rank(value) == 3 {
                self.writer.node("Add", &[&scores, bias], vec![])
            } else {
                // One bias for each of a period of windows.
                let period = self.fixed(value, 0)[0];
                let windows = self.reshape(&scores, &[-1, period, dims[0], dims[1], dims[2]]);
                let sum = self.writer.node("Add", &[&windows, bias], vec![]);
                self.reshape(&sum, &[-1, dims[0], dims[1], dims[2]])
            };
        }
        let weights = self.writer.node("Softmax", &[&scores], vec![("axis", Attr::Int(-1))]);
        let y = self.writer.node("MatMul", &[&weights, &v], vec![]);
        let y = self.permute(&y, &[0, 2, 1, 3]);
        self.reshape(&y, &sizes(&node.shape))
    }

    pub(super) fn affine(&mut self, x: &str, factor: f32, summand: f32) -> String {
        let mut y = x.to_owned();
        if factor != 1.0 {
            let factor = self.writer.number(factor);
            y = self.writer.node("Mul", &[&y, &factor], vec![]);
        }
        if summand != 0.0 {
            let summand = self.writer.number(summand);
            y = self.writer.node("Add", &[&y, &summand], vec![]);
        }
        y
    }

    fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let shape = self.writer.integers(shape);
        self.writer.node("Reshape", &[x, &shape], vec![])
    }

    fn permute(&mut self, x: &str, dims: &[usize]) -> String {
        let perm = dims.iter().map(|&dim| dim as i64).collect();
        self.writer.node("Transpose", &[x], vec![("perm", Attr::Ints(perm))])
    }

    /// Zeros before each dimension, then behind each.
    fn pad(&mut self, x: &str, sides: &[i64]) -> String {
        let sides = self.writer.integers(sides);
        self.writer.node("Pad", &[x, &sides], vec![])
    }

    /// Zeros that count are put around the image first: ONNX would count those of a last window beyond them as well, which PyTorch
    /// and we do not.
    fn average(&mut self, node: &Node, x: &str, config: PoolConfig, count_include_pad: bool) -> String {
        let (begin, end) = self.padding(node, config);
        if !count_include_pad || config.padding == (0, 0) {
            return self.writer.node("AveragePool", &[x], window(config, begin, end));
        }
        let (h, w) = (begin[0], begin[1]);
        let padded = self.pad(x, &[0, 0, h, w, 0, 0, h, w]);
        let beyond = [(end[0] - h).max(0), (end[1] - w).max(0)];
        self.writer.node("AveragePool", &[&padded], window(config, [0, 0], beyond))
    }

    /// Pixels around the image, above and to the left, below and to the right, so that there are as many windows as the node has
    /// without ONNX's `ceil_mode`, which runtimes read differently.
    fn padding(&self, node: &Node, config: PoolConfig) -> ([i64; 2], [i64; 2]) {
        let PoolConfig { kernel, stride, padding, .. } = config;
        let (input, output) = (self.fixed(node.inputs[0], 2), sizes(&node.shape[2..]));
        let end = |i: usize, kernel: usize, stride: usize, padding: usize| {
            let reach = (output[i] - 1) * stride as i64 + kernel as i64 - padding as i64;
            (reach - input[i]).max(padding as i64)
        };
        let begin = [padding.0 as i64, padding.1 as i64];
        (begin, [end(0, kernel.0, stride.0, padding.0), end(1, kernel.1, stride.1, padding.1)])
    }

    fn concat(&mut self, node: &Node, inputs: &[&str], dim: usize) -> String {
        let parts: Vec<String> = inputs
            .iter()
            .zip(&node.inputs)
            .map(|(&name, &value)| {
                let one = matches!(value, Value::Constant(_)) && matches!(node.shape[0], Dim::PerImage(_));
                if !one {
                    return name.to_owned();
                }
                let rest = self.fixed(value, 1).into_iter().map(|len| Dim::Fixed(len as usize));
                let shape: Vec<Dim> = std::iter::once(node.shape[0]).chain(rest).collect();
                self.expand(name, &shape)
            })
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.writer.node("Concat", &parts, vec![("axis", Attr::Int(dim as i64))])
    }

    /// Repeats `x` to a shape, whose lengths that depend on the number of images are computed from the input's.
    fn expand(&mut self, x: &str, shape: &[Dim]) -> String {
        let lengths: Vec<String> = shape
            .iter()
            .map(|dim| match *dim {
                Dim::Fixed(len) => self.writer.integers(&[len as i64]),
                Dim::PerImage(times) => {
                    let range = vec![("start", Attr::Int(0)), ("end", Attr::Int(1))];
                    let images = self.writer.node("Shape", &[IMAGES], range);
                    let times = self.writer.integers(&[times as i64]);
                    self.writer.node("Mul", &[&images, &times], vec![])
                }
            })
            .collect();
        let lengths: Vec<&str> = lengths.iter().map(String::as_str).collect();
        let shape = self.writer.node("Concat", &lengths, vec![("axis", Attr::Int(0))]);
        self.writer.node("Expand", &[x, &shape], vec![])
    }
}

/// A shape as Reshape takes it: −1 for the one length that depends on the number of images.
fn sizes(shape: &[Dim]) -> Vec<i64> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(len) => *len as i64,
        Dim::PerImage(_) => -1,
    };
    shape.iter().map(size).collect()
}

pub(super) fn convolution(config: ConvConfig, kernel: Vec<i64>) -> Vec<(&'static str, Attr)> {
    let ConvConfig { stride, padding, dilation, groups } = config;
    let pair = |(a, b): (usize, usize)| Attr::Ints(vec![a as i64, b as i64]);
    let (h, w) = (padding.0 as i64, padding.1 as i64);
    vec![
        ("kernel_shape", Attr::Ints(kernel)),
        ("strides", pair(stride)),
        ("pads", Attr::Ints(vec![h, w, h, w])),
        ("dilations", pair(dilation)),
        ("group", Attr::Int(groups as i64)),
    ]
}

fn window(config: PoolConfig, begin: [i64; 2], end: [i64; 2]) -> Vec<(&'static str, Attr)> {
    let pair = |(a, b): (usize, usize)| Attr::Ints(vec![a as i64, b as i64]);
    vec![
        ("kernel_shape", pair(config.kernel)),
        ("strides", pair(config.stride)),
        ("pads", Attr::Ints([begin, end].concat())),
    ]
}
