//! Shapes, and the operators that change them.

use tallow_nn::graph::{Dim, Node, Value};

use super::lowering::{IMAGES, Lowering};
use super::writer::Attr;
use crate::error::Result;

impl Lowering<'_> {
    /// The dimensions of a value, from `first` on, which do not depend on the number of images.
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

    /// The number of dimensions of a value.
    pub(super) fn rank(&self, value: Value) -> usize {
        match value {
            Value::Images => 4,
            Value::Constant(constant) => self.graph.constants[constant].rank(),
            Value::Node(node) => self.graph.nodes[node].shape.len(),
        }
    }

    pub(super) fn reshape(&mut self, x: &str, shape: &[i64]) -> String {
        let shape = self.writer.integers(shape);
        self.writer.node("Reshape", &[x, &shape], vec![])
    }

    pub(super) fn permute(&mut self, x: &str, dims: &[usize]) -> String {
        let perm = dims.iter().map(|&dim| dim as i64).collect();
        self.writer.node("Transpose", &[x], vec![("perm", Attr::Ints(perm))])
    }

    /// Zeros before each dimension, then behind each.
    pub(super) fn pad(&mut self, x: &str, sides: &[i64]) -> String {
        let sides = self.writer.integers(sides);
        self.writer.node("Pad", &[x, &sides], vec![])
    }

    pub(super) fn narrow(&mut self, node: &Node, dim: usize, start: usize, len: usize) -> Result<String> {
        let x = self.value(node.inputs[0])?;
        let [start, end, axis] = [start, start + len, dim].map(|i| self.writer.integers(&[i as i64]));
        Ok(self.writer.node("Slice", &[&x, &start, &end, &axis], vec![]))
    }

    pub(super) fn select(&mut self, node: &Node, dim: usize, places: &[usize]) -> Result<String> {
        let x = self.value(node.inputs[0])?;
        let places = self.writer.integers(&places.iter().map(|&place| place as i64).collect::<Vec<_>>());
        Ok(self.writer.node("Gather", &[&x, &places], vec![("axis", Attr::Int(dim as i64))]))
    }

    /// Constants are repeated for each image first.
    pub(super) fn concat(&mut self, node: &Node, dim: usize) -> Result<String> {
        let inputs = self.inputs(node)?;
        let parts: Vec<String> = inputs
            .into_iter()
            .zip(&node.inputs)
            .map(|(name, &value)| {
                let one = matches!(value, Value::Constant(_)) && matches!(node.shape[0], Dim::PerImage(_));
                if !one {
                    return name;
                }
                let rest = self.fixed(value, 1).into_iter().map(|len| Dim::Fixed(len as usize));
                let shape: Vec<Dim> = std::iter::once(node.shape[0]).chain(rest).collect();
                self.expand(&name, &shape)
            })
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Ok(self.writer.node("Concat", &parts, vec![("axis", Attr::Int(dim as i64))]))
    }

    /// Repeats `x` to a shape; lengths that depend on the number of images are computed from the input's.
    pub(super) fn expand(&mut self, x: &str, shape: &[Dim]) -> String {
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
pub(super) fn sizes(shape: &[Dim]) -> Vec<i64> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(len) => *len as i64,
        Dim::PerImage(_) => -1,
    };
    shape.iter().map(size).collect()
}
