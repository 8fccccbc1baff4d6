//! Which convolutions have filters that can be left out, and what depends on them.

use std::collections::HashMap;

use tallow_nn::graph::{Dim, Graph, Op, Value};
use tallow_nn::layers::Activation;

/// A convolution whose output goes through steps that see each channel by itself, and ends in layers that can do without some.
#[derive(Debug)]
pub(super) struct Chain {
    /// The convolution.
    pub(super) layer: usize,
    /// Its filters.
    pub(super) filters: usize,
    /// Batch norms on the way.
    pub(super) norms: Vec<usize>,
    /// Depthwise convolutions on the way.
    pub(super) depthwise: Vec<usize>,
    /// Every node on the way: its results have the convolution's channels.
    pub(super) passed: Vec<usize>,
    /// The convolutions and linear layers at the end.
    pub(super) users: Vec<usize>,
}

pub(super) fn chains(graph: &Graph) -> Vec<Chain> {
    let mut users: HashMap<Value, Vec<(usize, usize)>> = HashMap::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        for (place, input) in node.inputs.iter().enumerate() {
            users.entry(*input).or_default().push((i, place));
        }
    }
    (0..graph.nodes.len()).filter_map(|layer| chain(graph, &users, layer)).collect()
}

fn chain(graph: &Graph, users: &HashMap<Value, Vec<(usize, usize)>>, layer: usize) -> Option<Chain> {
    let Convolution { filters, depthwise: false } = convolution(graph, layer)? else { return None };
    let mut chain =
        Chain { layer, filters, norms: Vec::new(), depthwise: Vec::new(), passed: vec![layer], users: Vec::new() };
    let mut open = vec![Value::Node(layer)];
    while let Some(value) = open.pop() {
        if value == graph.output {
            return None;
        }
        for &(user, place) in users.get(&value).into_iter().flatten() {
            let node = &graph.nodes[user];
            match &node.op {
                _ if place > 0 => return None,
                // Zero must stay zero.
                Op::Activate(Activation::Sigmoid | Activation::Hardsigmoid) => return None,
                Op::Activate(_) | Op::MaxPool(_) | Op::AvgPool { .. } | Op::GlobalAvgPool | Op::GlobalMaxPool => {}
                Op::BatchNorm { .. } => chain.norms.push(user),
                Op::Conv2d(_) | Op::Conv2dFolded(_) => match convolution(graph, user)? {
                    Convolution { depthwise: true, .. } => chain.depthwise.push(user),
                    Convolution { depthwise: false, .. } => {
                        chain.users.push(user);
                        continue;
                    }
                },
                Op::Linear if node.shape.len() == 2 && matches!(node.inputs[1], Value::Constant(_)) => {
                    chain.users.push(user);
                    continue;
                }
                // One pixel: between a pool and the convolution or linear layer behind it.
                Op::Reshape if node.shape[1..] == [Dim::Fixed(filters), Dim::Fixed(1), Dim::Fixed(1)] => {}
                Op::Reshape if node.shape[1..] == [Dim::Fixed(filters)] => {}
                _ => return None,
            }
            chain.passed.push(user);
            open.push(Value::Node(user));
        }
    }
    (!chain.users.is_empty()).then_some(chain)
}

/// A convolution with weights that are constants, and either no groups or one for each channel.
struct Convolution {
    filters: usize,
    depthwise: bool,
}

fn convolution(graph: &Graph, node: usize) -> Option<Convolution> {
    let node = &graph.nodes[node];
    let (Op::Conv2d(config) | Op::Conv2dFolded(config), [_, Value::Constant(weight), ..]) =
        (&node.op, &node.inputs[..])
    else {
        return None;
    };
    let dims = graph.constants[*weight].dims();
    let depthwise = config.groups > 1 && config.groups == dims[0] && dims[1] == 1;
    (depthwise || config.groups == 1).then_some(Convolution { filters: dims[0], depthwise })
}
