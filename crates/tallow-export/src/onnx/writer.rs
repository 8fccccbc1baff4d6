//! An ONNX graph under construction: nodes and initialisers with unique names.

use std::collections::{HashMap, HashSet};

use super::proto::{Attribute, AttributeType, DataType, Graph, Node, Tensor};

/// The attributes of a node, by name.
pub(super) type Attributes = Vec<(&'static str, Attr)>;

/// The value of an attribute.
pub(super) enum Attr {
    Int(i64),
    Ints(Vec<i64>),
    Float(f32),
}

#[derive(Default)]
pub(super) struct Writer {
    graph: Graph,
    /// Initialisers that are shared, by their content.
    known: HashMap<(Vec<i64>, Vec<u8>), String>,
    /// The names of the other initialisers.
    taken: HashSet<String>,
    /// Nodes of each kind so far.
    counts: HashMap<&'static str, usize>,
}

impl Writer {
    /// Adds a node with one result and returns the name of the result.
    pub(super) fn node(&mut self, op: &'static str, inputs: &[&str], attributes: Attributes) -> String {
        let count = self.counts.entry(op).or_default();
        let name = format!("{op}_{count}");
        *count += 1;
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op.to_owned(),
            attribute: attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
        });
        name
    }

    /// Adds an initialiser of f32 numbers and returns its name: `name`, with underscores behind it if it is taken.
    pub(super) fn floats(&mut self, name: String, dims: &[usize], values: &[f32]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(name, dims, DataType::Float, raw_data)
    }

    /// Adds an initialiser of signed bytes.
    pub(super) fn bytes(&mut self, name: String, dims: &[usize], values: &[i8]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(name, dims, DataType::Int8, raw_data)
    }

    /// Adds an initialiser of 32-bit integers.
    pub(super) fn sums(&mut self, name: String, dims: &[usize], values: &[i32]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(name, dims, DataType::Int32, raw_data)
    }

    fn initializer(&mut self, mut name: String, dims: &[usize], data_type: DataType, raw_data: Vec<u8>) -> String {
        while !self.taken.insert(name.clone()) {
            name.push('_');
        }
        let dims = dims.iter().map(|&dim| dim as i64).collect();
        self.graph.initializer.push(Tensor { dims, data_type: data_type.into(), name: name.clone(), raw_data });
        name
    }

    /// The shared initialiser of one unsigned byte.
    pub(super) fn byte(&mut self, value: u8) -> String {
        self.shared(DataType::Uint8, Vec::new(), vec![value], format!("byte_{value}"))
    }

    /// The shared initialiser of one f32 number.
    pub(super) fn number(&mut self, value: f32) -> String {
        self.shared(DataType::Float, Vec::new(), value.to_le_bytes().to_vec(), format!("number_{value}"))
    }

    /// The shared initialiser of a vector of 64-bit integers: a shape, axes.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let name = match values.len() {
            0..=8 => values.iter().fold("integers".to_owned(), |name, value| format!("{name}_{value}")),
            _ => format!("places_{}", self.known.len()),
        };
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.shared(DataType::Int64, vec![values.len() as i64], bytes, name)
    }

    /// The shared initialiser of one 64-bit integer.
    pub(super) fn integer(&mut self, value: i64) -> String {
        self.shared(DataType::Int64, Vec::new(), value.to_le_bytes().to_vec(), format!("integer_{value}"))
    }

    fn shared(&mut self, data_type: DataType, dims: Vec<i64>, raw_data: Vec<u8>, name: String) -> String {
        let Writer { graph, known, .. } = self;
        let key = (dims.clone(), raw_data.clone());
        known
            .entry(key)
            .or_insert_with(|| {
                graph.initializer.push(Tensor { dims, data_type: data_type.into(), name: name.clone(), raw_data });
                name
            })
            .clone()
    }

    /// The graph, with `result` under the name `output`.
    pub(super) fn finish(mut self, result: &str, output: &str) -> Graph {
        let named = |name: &mut String| {
            if name == result {
                *name = output.to_owned();
            }
        };
        for node in &mut self.graph.node {
            node.input.iter_mut().chain(&mut node.output).for_each(named);
        }
        self.graph
    }
}

fn attribute(name: &str, value: Attr) -> Attribute {
    let (i, f, ints, kind) = match value {
        Attr::Int(i) => (i, 0.0, Vec::new(), AttributeType::Int),
        Attr::Float(f) => (0, f, Vec::new(), AttributeType::Float),
        Attr::Ints(ints) => (0, 0.0, ints, AttributeType::Ints),
    };
    Attribute { name: name.to_owned(), f, i, ints, r#type: kind.into() }
}
