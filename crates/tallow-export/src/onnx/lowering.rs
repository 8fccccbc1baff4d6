//! A graph in translation: the operators written so far, and the names of values.

use std::collections::HashMap;

use candle_core::{Tensor, TensorId};
use tallow_nn::graph::{Graph, Node, Value};

use super::writer::{Attributes, Writer};
use crate::error::Result;
use crate::int8::{Int8, Levels};

/// The input's name.
pub(super) const IMAGES: &str = "images";

/// The form in which a constant is an initialiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    AsIs,
    Transposed,
    /// Each row times its value in this constant.
    Scaled(usize),
}

/// A graph in translation.
pub(super) struct Lowering<'a> {
    pub(super) graph: &'a Graph,
    names: &'a HashMap<TensorId, &'a str>,
    /// The levels of values that are kept in 8 bits, if any are.
    pub(super) levels: Option<&'a HashMap<Value, Levels>>,
    pub(super) writer: Writer,
    /// The name of the input, or of the input in 8 bits.
    pub(super) images: String,
    /// The names of the results of the nodes so far.
    pub(super) results: Vec<String>,
    /// Initialisers by constant and form.
    constants: HashMap<(usize, Form), String>,
}

impl<'a> Lowering<'a> {
    /// A graph of which nothing is written. Constants that are parameters keep the names they have in `names`.
    pub(super) fn new(graph: &'a Graph, names: &'a HashMap<TensorId, &'a str>, int8: Option<&'a Int8>) -> Self {
        Lowering {
            graph,
            names,
            levels: int8.map(|int8| &int8.levels),
            writer: Writer::default(),
            images: IMAGES.to_owned(),
            results: Vec::new(),
            constants: HashMap::new(),
        }
    }
}

impl Lowering<'_> {
    /// One operator of all inputs of a node.
    pub(super) fn operator(&mut self, op: &'static str, node: &Node, attributes: Attributes) -> Result<String> {
        let inputs = self.inputs(node)?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(self.writer.node(op, &inputs, attributes))
    }

    /// Operators of the first input of a node.
    pub(super) fn of_first(&mut self, node: &Node, write: impl FnOnce(&mut Self, &str) -> String) -> Result<String> {
        let x = self.value(node.inputs[0])?;
        Ok(write(self, &x))
    }

    /// The names of all inputs of a node.
    pub(super) fn inputs(&mut self, node: &Node) -> Result<Vec<String>> {
        node.inputs.iter().map(|&input| self.value(input)).collect()
    }

    /// The name of a value; a constant becomes an initialiser where it is first used.
    pub(super) fn value(&mut self, value: Value) -> Result<String> {
        match value {
            Value::Images => Ok(self.images.clone()),
            Value::Node(node) => Ok(self.results[node].clone()),
            Value::Constant(constant) => self.constant(constant, Form::AsIs, Ok),
        }
    }

    /// The initialiser of a constant in one form, which `change` computes.
    pub(super) fn constant(
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

    /// A constant's name as a parameter, else one of its own.
    pub(super) fn name(&self, constant: usize) -> String {
        match self.names.get(&self.graph.constants[constant].id()) {
            Some(&name) => name.to_owned(),
            None => format!("constant_{constant}"),
        }
    }
}
