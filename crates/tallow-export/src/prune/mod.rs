//! Pruning: whole filters set to zero, which exported graphs leave out.

mod chains;
mod rules;
mod shrink;

use std::collections::HashMap;

use candle_core::{Tensor, TensorId};
use tallow_models::BuiltModel;
use tallow_nn::Tape;
use tallow_nn::graph::{Graph, Value};

use crate::error::{Error, Result};
use crate::graph::graph_of;
use chains::{Chain, chains};
pub(crate) use shrink::shrink;

/// The counts of [`prune`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// Convolutions with filters that can be left out.
    pub layers: usize,
    /// Filters of these convolutions.
    pub filters: usize,
    /// Filters that are zero now.
    pub zero: usize,
}

/// Sets the share `ratio` of the filters to zero in each convolution whose output goes to other layers alone; filters whose
/// output meets others in a sum, a concatenation or a gate stay. The weakest filters go: those with the smallest sum of
/// absolute weights, times the scale of the batch norm behind. A multiple of 8 stays. A filter's bias, norm and depthwise
/// filter become zero with it.
///
/// A model can be trained further with the zeros kept, and [`save_onnx`](crate::save_onnx) leaves such filters out.
///
/// # Errors
/// A ratio below 0, or of 1 and above; a model that cannot be traced; a model without such a convolution.
///
/// # Source
/// Li et al. 2016, "Pruning Filters for Efficient ConvNets", <https://arxiv.org/abs/1608.08710>; they do not use the norm's
/// scale.
pub fn prune(built: &BuiltModel, ratio: f64) -> Result<Pruned> {
    if !(0.0..1.0).contains(&ratio) {
        return Err(Error::Pruning(format!("a ratio of {ratio}: expected 0 or more and less than 1")));
    }
    // While a tape records, norms are not folded: their parameters have names.
    let tape = Tape::start();
    let graph = graph_of(built, built.info.config.input_size)?;
    drop(tape);
    let names: HashMap<TensorId, &str> =
        built.store.parameters().map(|(name, var)| (var.as_tensor().id(), name)).collect();
    let mut pruned = Pruned { layers: 0, filters: 0, zero: 0 };
    for chain in chains(&graph) {
        let filters = strengths(&graph, &chain)?;
        let mut order: Vec<usize> = (0..filters.len()).collect();
        order.sort_by(|a, b| filters[*a].total_cmp(&filters[*b]));
        order.truncate(filters.len() - staying(filters.len(), ratio));
        for node in chain.parametrised() {
            // A norm keeps its mean and variance: without its weight they have no effect.
            for input in graph.nodes[node].inputs.iter().skip(1).take(2) {
                if let Value::Constant(constant) = input
                    && let Some(name) = names.get(&graph.constants[*constant].id())
                {
                    let emptied = emptied(&graph.constants[*constant], &order).map_err(tallow_nn::Error::from)?;
                    built.store.set(name, &emptied)?;
                }
            }
        }
        pruned.layers += 1;
        pruned.filters += filters.len();
        pruned.zero += order.len();
    }
    if pruned.layers == 0 {
        let reason = "the model has no convolution whose filters go to other layers alone";
        return Err(Error::Pruning(reason.to_owned()));
    }
    Ok(pruned)
}

/// The number of filters that stay, of so many.
fn staying(filters: usize, ratio: f64) -> usize {
    let least = ((filters as f64 * (1.0 - ratio)).ceil() as usize).max(1);
    least.next_multiple_of(8).min(filters)
}

/// The sum of each filter's absolute weights, times the scale of the norm behind it.
fn strengths(graph: &Graph, chain: &Chain) -> Result<Vec<f32>> {
    let constant = |node: usize, input: usize| -> Result<Vec<f32>> {
        let Some(Value::Constant(constant)) = graph.nodes[node].inputs.get(input) else { return Ok(Vec::new()) };
        let flat = graph.constants[*constant].flatten_all().and_then(|tensor| tensor.to_vec1::<f32>());
        Ok(flat.map_err(tallow_nn::Error::from)?)
    };
    let weight = constant(chain.layer, 1)?;
    let each = (weight.len() / chain.filters.max(1)).max(1);
    let sums = weight.chunks_exact(each).map(|filter| filter.iter().map(|w| w.abs()).sum::<f32>());
    let Some(&norm) = chain.norms.first() else { return Ok(sums.collect()) };
    let (gamma, var) = (constant(norm, 1)?, constant(norm, 4)?);
    Ok(sums.zip(gamma.iter().zip(&var)).map(|(sum, (gamma, var))| sum * gamma.abs() / (var + 1e-5).sqrt()).collect())
}

/// `tensor` `[filters, …]` with zeros in the rows of some filters.
fn emptied(tensor: &Tensor, filters: &[usize]) -> candle_core::Result<Tensor> {
    let mut values = tensor.flatten_all()?.to_vec1::<f32>()?;
    let each = values.len() / tensor.dims()[0].max(1);
    for filter in filters {
        values[filter * each..(filter + 1) * each].fill(0.0);
    }
    Tensor::from_vec(values, tensor.dims(), tensor.device())
}
