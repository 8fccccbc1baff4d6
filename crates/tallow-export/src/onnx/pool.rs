//! Pooling in ONNX's operators.

use tallow_nn::graph::Node;
use tallow_nn::op::PoolConfig;

use super::lowering::Lowering;
use super::shape::sizes;
use super::writer::{Attr, Attributes};
use crate::error::Result;

impl Lowering<'_> {
    pub(super) fn max_pool(&mut self, node: &Node, config: PoolConfig) -> Result<String> {
        let x = self.value(node.inputs[0])?;
        let (begin, end) = self.padding(node, config);
        Ok(self.writer.node("MaxPool", &[&x], window(config, begin, end)))
    }

    /// Padding that counts is a Pad operator before the pool: ONNX would also count the zeros of a last window that reaches beyond
    /// the padding, which PyTorch and this crate do not.
    pub(super) fn average_pool(&mut self, node: &Node, config: PoolConfig, count_include_pad: bool) -> Result<String> {
        let x = self.value(node.inputs[0])?;
        let (begin, end) = self.padding(node, config);
        if !count_include_pad || config.padding == (0, 0) {
            return Ok(self.writer.node("AveragePool", &[&x], window(config, begin, end)));
        }
        let (h, w) = (begin[0], begin[1]);
        let padded = self.pad(&x, &[0, 0, h, w, 0, 0, h, w]);
        let beyond = [(end[0] - h).max(0), (end[1] - w).max(0)];
        Ok(self.writer.node("AveragePool", &[&padded], window(config, [0, 0], beyond)))
    }

    pub(super) fn global_pool(&mut self, op: &'static str, node: &Node) -> Result<String> {
        let x = self.value(node.inputs[0])?;
        let pixel = self.writer.node(op, &[&x], vec![]);
        Ok(self.reshape(&pixel, &sizes(&node.shape)))
    }

    /// Pixels around the image, above and to the left, below and to the right, such that there are as many windows as the node has
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
}

/// The attributes of a pool.
fn window(config: PoolConfig, begin: [i64; 2], end: [i64; 2]) -> Attributes {
    let pair = |(a, b): (usize, usize)| Attr::Ints(vec![a as i64, b as i64]);
    vec![
        ("kernel_shape", pair(config.kernel)),
        ("strides", pair(config.stride)),
        ("pads", Attr::Ints([begin, end].concat())),
    ]
}
