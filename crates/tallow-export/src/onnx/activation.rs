//! Activation functions in ONNX's operators.

use tallow_nn::layers::Activation;

use super::lowering::Lowering;
use super::writer::Attr;

impl Lowering<'_> {
    pub(super) fn activate(&mut self, x: &str, activation: Activation) -> String {
        let writer = &mut self.writer;
        match activation {
            Activation::Identity => x.to_owned(),
            Activation::Relu => writer.node("Relu", &[x], vec![]),
            Activation::Relu6 => {
                let (low, high) = (writer.number(0.0), writer.number(6.0));
                writer.node("Clip", &[x, &low, &high], vec![])
            }
            Activation::Gelu => {
                let root = writer.number(std::f32::consts::SQRT_2);
                let inner = writer.node("Div", &[x, &root], vec![]);
                let erf = writer.node("Erf", &[&inner], vec![]);
                self.gated(x, &erf)
            }
            Activation::GeluTanh => {
                // x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2
                let square = writer.node("Mul", &[x, x], vec![]);
                let inner = self.affine(&square, 0.044_715, 1.0);
                let inner = self.writer.node("Mul", &[&inner, x], vec![]);
                let inner = self.affine(&inner, (2.0 / std::f32::consts::PI).sqrt(), 0.0);
                let tanh = self.writer.node("Tanh", &[&inner], vec![]);
                self.gated(x, &tanh)
            }
            Activation::Silu => {
                let sigmoid = writer.node("Sigmoid", &[x], vec![]);
                writer.node("Mul", &[x, &sigmoid], vec![])
            }
            Activation::Hardswish => writer.node("HardSwish", &[x], vec![]),
            Activation::Hardsigmoid => {
                let attributes = vec![("alpha", Attr::Float(1.0 / 6.0)), ("beta", Attr::Float(0.5))];
                writer.node("HardSigmoid", &[x], attributes)
            }
            Activation::Sigmoid => writer.node("Sigmoid", &[x], vec![]),
        }
    }

    /// `x · (1 + y) / 2`.
    fn gated(&mut self, x: &str, y: &str) -> String {
        let gate = self.affine(y, 1.0, 1.0);
        let product = self.writer.node("Mul", &[x, &gate], vec![]);
        self.affine(&product, 0.5, 0.0)
    }
}
