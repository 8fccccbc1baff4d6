//! From a model's graph to ONNX's: each op of ours becomes one or more operators of the standard. A new op does not compile
//! until [`Lowering::node`] has its rule.

use std::collections::HashMap;

use candle_core::TensorId;
use tallow_nn::graph::{Graph, Node, Op, Value};

use super::layers::convolution;
use super::lowering::{IMAGES, Lowering};
use super::proto;
use super::shape::sizes;
use super::writer::Attr;
use crate::error::Result;
use crate::int8::{Int8, product};

/// The output's name.
pub(super) const LOGITS: &str = "logits";

/// Nodes and initialisers. Constants that are parameters keep the names they have in `names`.
pub(super) fn lower(graph: &Graph, names: &HashMap<TensorId, &str>, int8: Option<&Int8>) -> Result<proto::Graph> {
    let mut lowering = Lowering::new(graph, names, int8);
    lowering.images = lowering.rounded(Value::Images, IMAGES.to_owned());
    for (i, node) in graph.nodes.iter().enumerate() {
        let result = lowering.node(node)?;
        let result = lowering.rounded(Value::Node(i), result);
        lowering.results.push(result);
    }
    let result = lowering.value(graph.output)?;
    Ok(lowering.writer.finish(&result, LOGITS))
}

impl Lowering<'_> {
    /// Writes the operators that compute a node; gives the name of the result.
    fn node(&mut self, node: &Node) -> Result<String> {
        if let Some((product, input, _)) = product(&node.op, &node.inputs)
            && let Some(levels) = self.levels.and_then(|levels| levels.get(&input)).copied()
        {
            return self.in_8_bits(node, product, levels);
        }
        match &node.op {
            Op::Conv2d(config) => {
                let kernel = self.fixed(node.inputs[1], 2);
                self.operator("Conv", node, convolution(*config, kernel))
            }
            Op::Conv2dFolded(config) => self.folded_convolution(node, *config),
            Op::Linear => self.linear(node),
            Op::Matmul => self.operator("MatMul", node, vec![]),
            Op::BatchNorm { eps } => self.operator("BatchNormalization", node, vec![("epsilon", Attr::Float(*eps))]),
            Op::LayerNorm { eps } => {
                let attributes = vec![("axis", Attr::Int(-1)), ("epsilon", Attr::Float(*eps))];
                self.operator("LayerNormalization", node, attributes)
            }
            Op::Softmax => self.operator("Softmax", node, vec![("axis", Attr::Int(-1))]),
            Op::Attention { heads, scale, packed, bias } => self.attention(node, *heads, *scale, *packed, *bias),
            Op::Activate(activation) => self.of_first(node, |this, x| this.activate(x, *activation)),
            Op::Add => self.operator("Add", node, vec![]),
            Op::Subtract => self.operator("Sub", node, vec![]),
            Op::Multiply => self.operator("Mul", node, vec![]),
            Op::Divide => self.operator("Div", node, vec![]),
            Op::Affine { factor, summand } => {
                self.of_first(node, |this, x| this.affine(x, *factor as f32, *summand as f32))
            }
            Op::Square => self.of_first(node, |this, x| this.writer.node("Mul", &[x, x], vec![])),
            Op::Sqrt => self.operator("Sqrt", node, vec![]),
            Op::Log => self.operator("Log", node, vec![]),
            Op::MeanLast => self.operator("ReduceMean", node, vec![("axes", Attr::Ints(vec![-1]))]),
            Op::ScaleChannels => self.scale_channels(node),
            Op::MaxPool(config) => self.max_pool(node, *config),
            Op::AvgPool { config, count_include_pad } => self.average_pool(node, *config, *count_include_pad),
            Op::GlobalAvgPool => self.global_pool("GlobalAveragePool", node),
            Op::GlobalMaxPool => self.global_pool("GlobalMaxPool", node),
            Op::Reshape => self.of_first(node, |this, x| this.reshape(x, &sizes(&node.shape))),
            Op::Permute(dims) => self.of_first(node, |this, x| this.permute(x, dims)),
            Op::Narrow { dim, start, len } => self.narrow(node, *dim, *start, *len),
            Op::Select { dim, places } => self.select(node, *dim, places),
            Op::Concat(dim) => self.concat(node, *dim),
            Op::Expand => self.of_first(node, |this, x| this.expand(x, &node.shape)),
            Op::Pad(zeros) => self.of_first(node, |this, x| {
                let sides = zeros.iter().map(|zeros| zeros.0).chain(zeros.iter().map(|zeros| zeros.1));
                this.pad(x, &sides.map(|zeros| zeros as i64).collect::<Vec<_>>())
            }),
        }
    }
}
