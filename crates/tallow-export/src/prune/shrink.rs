//! A graph without the filters that give nothing but zero.

use std::collections::HashMap;

use candle_core::{Device, Tensor, TensorId};
use tallow_nn::graph::{Dim, Graph, Op, Value};

use super::chains::{Chain, chains};
use crate::error::Result;

/// Leaves out the filters that are zero, and what other layers have for them. Nodes keep their places, what is left of a
/// constant its name.
pub(crate) fn shrink(mut graph: Graph, names: &mut HashMap<TensorId, &str>) -> Result<Graph> {
    for chain in chains(&graph) {
        let left = living(&graph, &chain)?;
        if left.len() == chain.filters {
            continue;
        }
        let places: Vec<u32> = left.iter().map(|&filter| filter as u32).collect();
        let places = Tensor::from_vec(places, left.len(), &Device::Cpu).map_err(tallow_nn::Error::from)?;
        let own = [&[chain.layer][..], &chain.norms, &chain.depthwise].concat();
        for (nodes, dim) in [(&own, 0), (&chain.users, 1)] {
            for &node in nodes {
                // Of a layer that only takes the channels nothing but the weight.
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

/// The filters that do give something, and one in any case.
fn living(graph: &Graph, chain: &Chain) -> Result<Vec<usize>> {
    let mut dead = vec![true; chain.filters];
    let own = [&[chain.layer][..], &chain.norms, &chain.depthwise].concat();
    for node in own {
        let node = &graph.nodes[node];
        let inputs = node.inputs.len();
        // What must be zero for nothing to come out: scale and shift, or weight and bias.
        let zero = match node.op {
            Op::Conv2dFolded(_) => vec![vec![1, 2], vec![3]],
            Op::BatchNorm { .. } => vec![vec![1], vec![2]],
            _ => vec![vec![1], (2..inputs).collect()],
        };
        for either in zero.into_iter().filter(|either| !either.is_empty()) {
            let mut zero = vec![false; chain.filters];
            for input in either {
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
