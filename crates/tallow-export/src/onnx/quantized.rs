//! Layers in 8 bits: QuantizeLinear and DequantizeLinear around each.

use candle_core::Tensor;
use tallow_nn::graph::{Node, Value};

use super::layers::convolution;
use super::lowering::Lowering;
use super::writer::Attr;
use crate::error::{Error, Result};
use crate::int8::{Levels, Product, to_int8};

/// The largest bias, in units of its scale.
const BIAS_STEPS: f32 = (1 << 30) as f32;

impl Lowering<'_> {
    /// The value of this name rounded to 8 bits, if it is kept in 8 bits; else the value.
    pub(super) fn rounded(&mut self, value: Value, name: String) -> String {
        let Some(levels) = self.levels.and_then(|levels| levels.get(&value)) else {
            return name;
        };
        let (scale, zero) = (self.writer.number(levels.scale), self.writer.byte(levels.zero_point));
        let bytes = self.writer.node("QuantizeLinear", &[&name, &scale, &zero], vec![]);
        self.writer.node("DequantizeLinear", &[&bytes, &scale, &zero], vec![])
    }

    /// A convolution or linear layer with its weights in 8 bits, and its bias in 32 bits with the scale of the sums of products.
    pub(super) fn in_8_bits(&mut self, node: &Node, product: Product, input: Levels) -> Result<String> {
        let x = self.value(node.inputs[0])?;
        let Value::Constant(constant) = node.inputs[1] else { return Ok(x) };
        let weight = self.graph.constants[constant].clone();
        let (weight, bias) = match product {
            Product::FoldedConvolution(_) => {
                let (scale, shift) = (self.tensor(node.inputs[2])?, self.tensor(node.inputs[3])?);
                let weight = scale.reshape(((), 1, 1, 1)).and_then(|scale| weight.broadcast_mul(&scale));
                (weight.map_err(tallow_nn::Error::from)?, Some(shift))
            }
            Product::Convolution(_) | Product::Linear => {
                (weight, node.inputs.get(2).map(|&bias| self.tensor(bias)).transpose()?)
            }
        };
        let bias = bias.map(|bias| bias.flatten_all()?.to_vec1::<f32>()).transpose().map_err(tallow_nn::Error::from)?;
        // The bias of a filter that is almost zero would not fit in 32 bits.
        let least = |output: usize| bias.as_ref().map_or(0.0, |bias| bias[output].abs() / (input.scale * BIAS_STEPS));
        let (bytes, scales) = to_int8(&weight, least).map_err(tallow_nn::Error::from)?;
        let (name, outputs) = (self.name(constant), weight.dims()[0]);
        // MatMul, for inputs of more than two dimensions, takes the weights transposed.
        let rows = product == Product::Linear && self.rank(node.inputs[0]) > 2;
        let (bytes, dims, axis) = if rows {
            let inputs = bytes.len() / outputs.max(1);
            let transposed = (0..bytes.len()).map(|i| bytes[i % outputs * inputs + i / outputs]).collect();
            (transposed, vec![inputs, outputs], 1)
        } else {
            (bytes, weight.dims().to_vec(), 0)
        };
        let bytes = self.writer.bytes(name.clone(), &dims, &bytes);
        let scale = self.writer.floats(format!("{name}_scale"), &[outputs], &scales);
        let zero = self.writer.bytes(format!("{name}_zero_point"), &[outputs], &vec![0; outputs]);
        let weight = self.writer.node("DequantizeLinear", &[&bytes, &scale, &zero], vec![("axis", Attr::Int(axis))]);
        let bias = bias.map(|bias| self.bias_in_32_bits(&name, &bias, &scales, input.scale));
        let mut inputs = vec![x.as_str(), &weight];
        Ok(match product {
            Product::Convolution(config) | Product::FoldedConvolution(config) => {
                inputs.extend(bias.as_deref());
                let kernel = self.fixed(node.inputs[1], 2);
                self.writer.node("Conv", &inputs, convolution(config, kernel))
            }
            Product::Linear if rows => {
                let y = self.writer.node("MatMul", &inputs, vec![]);
                match bias {
                    Some(bias) => self.writer.node("Add", &[&y, &bias], vec![]),
                    None => y,
                }
            }
            Product::Linear => {
                inputs.extend(bias.as_deref());
                self.writer.node("Gemm", &inputs, vec![("transB", Attr::Int(1))])
            }
        })
    }

    fn bias_in_32_bits(&mut self, name: &str, bias: &[f32], scales: &[f32], input: f32) -> String {
        let scales: Vec<f32> = scales.iter().map(|scale| scale * input).collect();
        let sums: Vec<i32> =
            bias.iter().zip(&scales).map(|(bias, scale)| (bias / scale).round_ties_even() as i32).collect();
        let dims = [sums.len()];
        let sums = self.writer.sums(format!("{name}_bias"), &dims, &sums);
        let scale = self.writer.floats(format!("{name}_bias_scale"), &dims, &scales);
        let zero = self.writer.sums(format!("{name}_bias_zero_point"), &dims, &vec![0; dims[0]]);
        self.writer.node("DequantizeLinear", &[&sums, &scale, &zero], vec![("axis", Attr::Int(0))])
    }

    /// The tensor of a value that must be a constant.
    fn tensor(&self, value: Value) -> Result<Tensor> {
        match value {
            Value::Constant(constant) => Ok(self.graph.constants[constant].clone()),
            Value::Images | Value::Node(_) => {
                Err(Error::Calibration("the bias or scale of a layer depends on the images".to_owned()))
            }
        }
    }
}
