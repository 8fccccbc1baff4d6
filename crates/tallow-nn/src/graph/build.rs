//! Makes a graph of the records of two passes, over one image and over two.

use std::collections::HashMap;

use candle_core::{Tensor, TensorId};

use super::{Dim, Graph, Node, Op, Record, Value};
use crate::error::{Error, Result};

/// The records of one forward pass.
pub(super) struct Pass {
    pub(super) images: Tensor,
    pub(super) records: Vec<Record>,
    pub(super) output: Tensor,
}

pub(super) fn build(image: (usize, usize, usize), one: &Pass, two: &Pass) -> Result<Graph> {
    let alike = one.records.len() == two.records.len()
        && one.records.iter().zip(&two.records).all(|(a, b)| a.op == b.op && a.inputs.len() == b.inputs.len());
    if !alike {
        let reason = "the forward pass takes other steps for two images than for one, so it is no graph".to_owned();
        return Err(Error::Config { op: "trace", reason });
    }
    let mut builder = Builder::new(one, two);
    for (step, (a, b)) in one.records.iter().zip(&two.records).enumerate() {
        builder.add(step, a, b)?;
    }
    let output = builder.value(&one.output, &two.output, "the result")?;
    let Builder { nodes, constants, .. } = builder;
    Ok(needed(Graph { image, nodes, constants, output }))
}

struct Builder {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
    /// The values that the tensors of either pass are.
    known: [HashMap<TensorId, Value>; 2],
}

impl Builder {
    fn new(one: &Pass, two: &Pass) -> Self {
        let known = [one, two].map(|pass| HashMap::from([(pass.images.id(), Value::Images)]));
        Builder { nodes: Vec::new(), constants: Vec::new(), known }
    }

    fn add(&mut self, step: usize, a: &Record, b: &Record) -> Result<()> {
        let name = format!("{:?}", a.op);
        let inputs =
            a.inputs.iter().zip(&b.inputs).map(|(a, b)| self.value(a, b, &name)).collect::<Result<Vec<_>>>()?;
        // A view that is the whole tensor: Candle returns the tensor itself.
        if self.known[0].contains_key(&a.output.id()) {
            return Ok(());
        }
        let fixed = inputs.iter().all(|input| matches!(input, Value::Constant(_)));
        let value = if fixed && same(&a.output, &b.output)? {
            self.constants.push(a.output.clone());
            Value::Constant(self.constants.len() - 1)
        } else {
            let shape = shape(&a.op, a.output.dims(), b.output.dims())?;
            self.nodes.push(Node { op: a.op.clone(), inputs, shape, step });
            Value::Node(self.nodes.len() - 1)
        };
        self.define(&a.output, &b.output, value);
        Ok(())
    }

    fn define(&mut self, a: &Tensor, b: &Tensor, value: Value) {
        self.known[0].insert(a.id(), value);
        self.known[1].insert(b.id(), value);
    }

    /// The value that a tensor of the first pass and its counterpart of the second are: a known one, or else a
    /// constant.
    fn value(&mut self, a: &Tensor, b: &Tensor, user: &str) -> Result<Value> {
        match (self.known[0].get(&a.id()), self.known[1].get(&b.id())) {
            (Some(a), Some(b)) if a == b => Ok(*a),
            (None, None) if same(a, b)? => {
                self.constants.push(a.clone());
                let value = Value::Constant(self.constants.len() - 1);
                self.define(a, b, value);
                Ok(value)
            }
            _ => Err(Error::NotTraced { user: user.to_owned(), shape: a.dims().to_vec() }),
        }
    }
}

/// Whether two tensors hold the same bits. One that depends on the images has another shape in each pass.
fn same(a: &Tensor, b: &Tensor) -> Result<bool> {
    if a.id() == b.id() {
        return Ok(true);
    }
    if a.dims() != b.dims() || a.dtype() != b.dtype() {
        return Ok(false);
    }
    let values = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
    Ok(values(a)? == values(b)?)
}

/// The shape for any number of images, from those for one and for two.
fn shape(op: &Op, one: &[usize], two: &[usize]) -> Result<Vec<Dim>> {
    let dim = |(&one, &two): (&usize, &usize)| match two {
        two if two == one => Some(Dim::Fixed(one)),
        two if two == 2 * one => Some(Dim::PerImage(one)),
        _ => None,
    };
    one.iter().zip(two).map(dim).collect::<Option<_>>().ok_or_else(|| {
        let reason = format!("{op:?} gives {one:?} for one image and {two:?} for two; a dimension must stay or double");
        Error::Config { op: "trace", reason }
    })
}

/// The graph without nodes and constants that its output does not need.
fn needed(graph: Graph) -> Graph {
    let mut wanted = vec![false; graph.nodes.len()];
    if let Value::Node(last) = graph.output {
        wanted[last] = true;
    }
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        for input in &node.inputs {
            if let (true, Value::Node(input)) = (wanted[i], input) {
                wanted[*input] = true;
            }
        }
    }
    let mut moved = HashMap::new();
    let mut kept = Graph { nodes: Vec::new(), constants: Vec::new(), ..graph };
    for (i, node) in graph.nodes.into_iter().enumerate().filter(|(i, _)| wanted[*i]) {
        let inputs = node.inputs.iter().map(|&input| {
            let constants = &mut kept.constants;
            *moved.entry(input).or_insert_with(|| match input {
                Value::Constant(c) => {
                    constants.push(graph.constants[c].clone());
                    Value::Constant(constants.len() - 1)
                }
                other => other,
            })
        });
        let inputs = inputs.collect();
        kept.nodes.push(Node { inputs, ..node });
        moved.insert(Value::Node(i), Value::Node(kept.nodes.len() - 1));
    }
    kept.output = match graph.output {
        // The same for all images.
        Value::Constant(c) => {
            kept.constants.push(graph.constants[c].clone());
            Value::Constant(kept.constants.len() - 1)
        }
        other => moved.get(&other).copied().unwrap_or(other),
    };
    kept
}
