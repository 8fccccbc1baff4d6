//! Finds the convolutions whose filters can be left out, and the layers that depend on them.

use std::collections::HashMap;

use tallow_nn::graph::{Dim, Graph, Value};

use super::rules::{Rule, rule};

/// A convolution whose output passes only through nodes that treat each channel by itself, up to layers that can take
/// fewer channels.
#[derive(Debug)]
pub(super) struct Chain {
    /// The convolution.
    pub(super) layer: usize,
    /// The number of its filters.
    pub(super) filters: usize,
    /// Batch norms on the way.
    pub(super) norms: Vec<usize>,
    /// Depthwise convolutions on the way.
    pub(super) depthwise: Vec<usize>,
    /// Every node on the way, the convolution included: their results have its channels.
    pub(super) passed: Vec<usize>,
    /// The convolutions and linear layers at the end.
    pub(super) users: Vec<usize>,
}

impl Chain {
    /// The nodes that have parameters for each filter: the convolution, norms, depthwise convolutions.
    pub(super) fn parametrised(&self) -> Vec<usize> {
        [&[self.layer][..], &self.norms, &self.depthwise].concat()
    }
}

/// All chains of a graph.
pub(super) fn chains(graph: &Graph) -> Vec<Chain> {
    let mut users: HashMap<Value, Vec<(usize, usize)>> = HashMap::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        for (place, input) in node.inputs.iter().enumerate() {
            users.entry(*input).or_default().push((i, place));
        }
    }
    (0..graph.nodes.len()).filter_map(|layer| chain(graph, &users, layer)).collect()
}

/// The chain that starts at a node, if it is a convolution that does.
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
            // The channels are a parameter of this node.
            if place > 0 {
                return None;
            }
            let node = &graph.nodes[user];
            match rule(&node.op) {
                Rule::Channelwise => {}
                Rule::Norm => chain.norms.push(user),
                Rule::Convolution(_) | Rule::FoldedConvolution(_) => match convolution(graph, user)? {
                    Convolution { depthwise: true, .. } => chain.depthwise.push(user),
                    Convolution { depthwise: false, .. } => {
                        chain.users.push(user);
                        continue;
                    }
                },
                Rule::Linear => {
                    if node.shape.len() != 2 || !matches!(node.inputs[1], Value::Constant(_)) {
                        return None;
                    }
                    chain.users.push(user);
                    continue;
                }
                Rule::Reshape => {
                    // One pixel: between a pool and the convolution or linear layer behind it.
                    let pixel = [Dim::Fixed(filters), Dim::Fixed(1), Dim::Fixed(1)];
                    if node.shape[1..] != pixel && node.shape[1..] != pixel[..1] {
                        return None;
                    }
                }
                Rule::Blocks => return None,
            }
            chain.passed.push(user);
            open.push(Value::Node(user));
        }
    }
    (!chain.users.is_empty()).then_some(chain)
}

/// A convolution with constant weights, and either no groups or one for each channel.
struct Convolution {
    filters: usize,
    depthwise: bool,
}

fn convolution(graph: &Graph, node: usize) -> Option<Convolution> {
    let node = &graph.nodes[node];
    let (Rule::Convolution(config) | Rule::FoldedConvolution(config)) = rule(&node.op) else { return None };
    let &[_, Value::Constant(weight), ..] = &node.inputs[..] else { return None };
    let dims = graph.constants[weight].dims();
    let depthwise = config.groups > 1 && config.groups == dims[0] && dims[1] == 1;
    (depthwise || config.groups == 1).then_some(Convolution { filters: dims[0], depthwise })
}
