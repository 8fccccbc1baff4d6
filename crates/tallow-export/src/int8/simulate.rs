//! A model that computes in f32 with the values that 8 bits can hold: the accuracy of a quantised model without its runtime.

use std::collections::HashMap;

use candle_core::Tensor;
use tallow_models::{BuiltModel, Model};
use tallow_nn::Mode;
use tallow_nn::graph::{Value, observe};
use tallow_nn::op::fake_quantize;

use super::{Int8, Levels, product, to_int8};
use crate::error::Result;

impl Int8 {
    /// The model with weights and activations rounded to the values that 8 bits can hold, at the speed of f32. Its logits are
    /// those of an integer runtime up to the rounding of biases and sums. Only whole passes ([`Model::forward`]) are rounded;
    /// weights that evaluation computes anew (RepVGG's) are not.
    ///
    /// # Errors
    /// A weight that cannot be set.
    pub fn simulate(&self, built: BuiltModel) -> Result<BuiltModel> {
        let names: HashMap<_, _> =
            built.store.parameters().map(|(name, var)| (var.as_tensor().id(), name.to_owned())).collect();
        for node in &self.graph.nodes {
            if let Some((_, input, weight)) = product(&node.op, &node.inputs)
                && self.levels.contains_key(&input)
                && let Some(name) = names.get(&self.graph.constants[weight].id())
            {
                let weight = &self.graph.constants[weight];
                let rounded = rounded(weight).map_err(tallow_nn::Error::from)?;
                built.store.set(name, &rounded)?;
            }
        }
        let steps = self.levels.iter().filter_map(|(value, levels)| match value {
            Value::Node(node) => Some((self.graph.nodes[*node].step, *levels)),
            Value::Images | Value::Constant(_) => None,
        });
        let model =
            Simulated { model: built.model, images: self.levels.get(&Value::Images).copied(), steps: steps.collect() };
        Ok(BuiltModel { model: Box::new(model), ..built })
    }
}

fn rounded(weight: &Tensor) -> candle_core::Result<Tensor> {
    let (bytes, scales) = to_int8(weight, |_| 0.0)?;
    let each = (bytes.len() / scales.len().max(1)).max(1);
    let values: Vec<f32> = bytes.iter().enumerate().map(|(i, byte)| f32::from(*byte) * scales[i / each]).collect();
    Tensor::from_vec(values, weight.dims(), weight.device())
}

/// A model with its activations rounded.
struct Simulated {
    model: Box<dyn Model>,
    /// The levels of the images, if they are rounded.
    images: Option<Levels>,
    /// The levels of results, by the step that computes them.
    steps: HashMap<usize, Levels>,
}

impl Model for Simulated {
    fn forward(&self, images: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        let images = match self.images {
            Some(levels) => fake_quantize(images, levels.scale, levels.zero_point)?,
            None => images.clone(),
        };
        let steps = self.steps.clone();
        let see = move |step: usize, tensor: &Tensor| {
            let levels = steps.get(&step);
            levels.map(|levels| fake_quantize(tensor, levels.scale, levels.zero_point)).transpose()
        };
        observe(Box::new(see), || self.model.forward(&images, mode))
    }

    fn forward_features(&self, images: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        self.model.forward_features(images, mode)
    }

    fn pool(&self, features: &Tensor) -> tallow_nn::Result<Tensor> {
        self.model.pool(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> tallow_nn::Result<Tensor> {
        self.model.forward_head(features, mode)
    }
}
