//! Removes from a graph the filters that only give zeros.

use std::collections::HashMap;

use candle_core::{Device, Tensor, TensorId};
use tallow_nn::graph::{Dim, Graph, Node, Op, Value};

use super::chains::{Chain, chains};
use super::rules::{Rule, rule};
use crate::error::Result;

/// The graph without the filters that are zero, and without the weights that other layers have for them. Nodes keep their
/// places; what remains of a parameter keeps its name.
pub(crate) fn shrink(mut graph: Graph, names: &mut HashMap<TensorId, &str>) -> Result<Graph> {
    for chain in chains(&graph) {
        let left = living(&graph, &chain)?;
        if left.len() == chain.filters {
            continue;
        }
        let places: Vec<u32> = left.iter().map(|&filter| filter as u32).collect();
        let places = Tensor::from_vec(places, left.len(), &Device::Cpu).map_err(tallow_nn::Error::from)?;
        for (nodes, dim) in [(&chain.parametrised(), 0), (&chain.users, 1)] {
            for &node in nodes {
                // Only the weight of a layer that takes the channels depends on them.
                let last = if dim == 0 { graph.nodes[node].inputs.len() } else { 2 };
                for input in 1..last {
                    let Value::Constant(constant) = graph.nodes[node].inputs[input] else { continue };
                    let before = &graph.constants[constant];
                    let after = before.index_select(&places, dim).map_err(tallow_nn::Error::from)?;
                    if let Some(&name) = names.get(&before.id()) {
                        names.insert(after.id(), name);
                    }
                    graph.constants.push(after);
                    graph.nodes[node].inputs[input] = Value::Constant(graph.constants.len() - 1);
                }
            }
        }
        for &node in &chain.passed {
            graph.nodes[node].shape[1] = Dim::Fixed(left.len());
        }
        for &node in &chain.depthwise {
            if let Op::Conv2d(config) | Op::Conv2dFolded(config) = &mut graph.nodes[node].op {
                config.groups = left.len();
            }
        }
    }
    Ok(graph)
}

/// The filters that give something else than zeros; the first one if there is none.
fn living(graph: &Graph, chain: &Chain) -> Result<Vec<usize>> {
    let mut dead = vec![true; chain.filters];
    for node in chain.parametrised() {
        let node = &graph.nodes[node];
        for inputs in silencing(node).into_iter().filter(|inputs| !inputs.is_empty()) {
            let mut zero = vec![false; chain.filters];
            for input in inputs {
                let Value::Constant(constant) = node.inputs[input] else { continue };
                let values = graph.constants[constant].flatten_all().and_then(|tensor| tensor.to_vec1::<f32>());
                let values = values.map_err(tallow_nn::Error::from)?;
                let each = (values.len() / chain.filters).max(1);
                for (zero, values) in zero.iter_mut().zip(values.chunks_exact(each)) {
                    *zero |= values.iter().all(|value| *value == 0.0);
                }
            }
            dead.iter_mut().zip(zero).for_each(|(dead, zero)| *dead &= zero);
        }
    }
    let left: Vec<usize> = (0..chain.filters).filter(|&filter| !dead[filter]).collect();
    Ok(if left.is_empty() { vec![0] } else { left })
}

/// Groups of inputs: a channel of the result is zero if one input of each group is zero there.
fn silencing(node: &Node) -> Vec<Vec<usize>> {
    match rule(&node.op) {
        Rule::Convolution(_) => vec![vec![1], (2..node.inputs.len()).collect()],
        // Weight or scale, and the shift.
        Rule::FoldedConvolution(_) => vec![vec![1, 2], vec![3]],
        Rule::Norm => vec![vec![1], vec![2]],
        Rule::Channelwise | Rule::Linear | Rule::Reshape | Rule::Blocks => Vec::new(),
    }
}
