//! Layers with weights, and attention, in ONNX's operators.

use candle_core::Tensor;
use tallow_nn::graph::{Node, Value};
use tallow_nn::op::ConvConfig;

use super::lowering::{Form, Lowering};
use super::shape::sizes;
use super::writer::{Attr, Attributes};
use crate::error::Result;

impl Lowering<'_> {
    pub(super) fn folded_convolution(&mut self, node: &Node, config: ConvConfig) -> Result<String> {
        let x = self.value(node.inputs[0])?;
        let kernel = self.fixed(node.inputs[1], 2);
        let (weight, shift) = (self.scaled(node.inputs[1], node.inputs[2])?, self.value(node.inputs[3])?);
        Ok(self.writer.node("Conv", &[&x, &weight, &shift], convolution(config, kernel)))
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

    /// Gemm takes the weight as it is, but only two dimensions.
    pub(super) fn linear(&mut self, node: &Node) -> Result<String> {
        let x = self.value(node.inputs[0])?;
        let bias = node.inputs.get(2).map(|&bias| self.value(bias)).transpose()?;
        if self.rank(node.inputs[0]) == 2 {
            let weight = self.value(node.inputs[1])?;
            let mut inputs = vec![x.as_str(), &weight];
            inputs.extend(bias.as_deref());
            return Ok(self.writer.node("Gemm", &inputs, vec![("transB", Attr::Int(1))]));
        }
        let weight = match node.inputs[1] {
            Value::Constant(constant) => self.constant(constant, Form::Transposed, |weight| weight.t())?,
            computed @ (Value::Images | Value::Node(_)) => {
                let weight = self.value(computed)?;
                self.permute(&weight, &[1, 0])
            }
        };
        let y = self.writer.node("MatMul", &[&x, &weight], vec![]);
        Ok(match bias {
            Some(bias) => self.writer.node("Add", &[&y, &bias], vec![]),
            None => y,
        })
    }

    pub(super) fn attention(
        &mut self,
        node: &Node,
        heads: usize,
        scale: f32,
        packed: bool,
        bias: bool,
    ) -> Result<String> {
        let inputs = self.inputs(node)?;
        let heads = heads as i64;
        let width = |value: usize, parts: i64| self.fixed(node.inputs[value], 2)[0] / parts;
        let [q, k, v] = if packed {
            let (tokens, each) = (self.fixed(node.inputs[0], 1)[0], width(0, 3 * heads));
            let split = self.reshape(&inputs[0], &[-1, tokens, 3, heads, each]);
            let split = self.permute(&split, &[2, 0, 3, 1, 4]);
            [0, 1, 2].map(|part| {
                let part = self.writer.integer(part);
                self.writer.node("Gather", &[&split, &part], vec![("axis", Attr::Int(0))])
            })
        } else {
            let parts = [0, 1, 2].map(|i| (&inputs[i], self.fixed(node.inputs[i], 1)[0], width(i, heads)));
            parts.map(|(x, tokens, each)| {
                let split = self.reshape(x, &[-1, tokens, heads, each]);
                self.permute(&split, &[0, 2, 1, 3])
            })
        };
        let keys = self.permute(&k, &[0, 1, 3, 2]);
        let scores = self.writer.node("MatMul", &[&q, &keys], vec![]);
        let mut scores = self.affine(&scores, scale, 0.0);
        if let (true, Some((bias, &value))) = (bias, inputs.last().zip(node.inputs.last())) {
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
        Ok(self.reshape(&y, &sizes(&node.shape)))
    }

    /// `x · factor + summand`, without the steps that change nothing.
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

    /// Feature maps `[n, c, h, w]` times gates `[n, c]`.
    pub(super) fn scale_channels(&mut self, node: &Node) -> Result<String> {
        let inputs = self.inputs(node)?;
        let channels = self.fixed(node.inputs[1], 1)[0];
        let gates = self.reshape(&inputs[1], &[-1, channels, 1, 1]);
        Ok(self.writer.node("Mul", &[&inputs[0], &gates], vec![]))
    }
}

/// The attributes of Conv.
pub(super) fn convolution(config: ConvConfig, kernel: Vec<i64>) -> Attributes {
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
