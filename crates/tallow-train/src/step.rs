//! The forward and backward pass of one training step.

use candle_core::Tensor;
use tallow_data::Batch;
use tallow_infer::batch::images;
use tallow_models::Model;
use tallow_nn::op::add_gradients;
use tallow_nn::{Gradients, Mode, ParamStore, Tape, autocast};
use tallow_optim::Loss;
use tallow_optim::loss::{Targets, r_drop_divergence};

use crate::Result;
use crate::config::Precision;
use crate::distill::Teacher;
use crate::linear_probe::CachedFeatures;

/// The model, the loss and the options of a training step.
pub(crate) struct TrainStep<'a> {
    pub model: &'a dyn Model,
    pub loss: &'a dyn Loss,
    pub teacher: Option<&'a Teacher>,
    /// Frozen parameters: they receive no gradient.
    pub frozen: &'a [Tensor],
    /// The weight of R-Drop's divergence, if each batch is passed twice.
    pub r_drop: Option<f64>,
    /// The number format of products.
    pub precision: Precision,
    /// The features of a frozen backbone, if they are cached.
    pub features: Option<&'a CachedFeatures>,
}

impl TrainStep<'_> {
    /// The images of a batch, whose pixels are moved out; twice under R-Drop. If features are cached, these instead.
    pub fn input(&self, batch: &mut Batch) -> Result<Tensor> {
        if let Some(features) = self.features {
            return features.rows(&batch.indices);
        }
        let mut pixels = std::mem::take(&mut batch.pixels);
        let (mut n, h, w, c) = batch.shape;
        if self.r_drop.is_some() {
            pixels.extend_from_within(..);
            n *= 2;
        }
        Ok(images(pixels, (n, h, w, c))?)
    }

    /// The loss, the logits and the gradients.
    pub fn run(
        &self,
        input: &Tensor,
        batch: &Batch,
        taught: Option<&Tensor>,
        mode: &Mode,
    ) -> Result<(f32, Tensor, Gradients)> {
        let _format = autocast(self.precision.into());
        let tape = Tape::start_without(self.frozen);
        let features = match self.features {
            Some(known) => {
                mode.skip_draws(known.draws);
                input.clone()
            }
            None => self.model.forward_features(input, mode)?,
        };
        // A distillation token has a classifier of its own, which the teacher teaches.
        let (logits, distilled) = match self.teacher {
            Some(_) => self.model.forward_heads(&features, mode)?,
            None => (self.model.forward_head(&features, mode)?, None),
        };
        drop(features);
        let loss = match self.r_drop {
            None => self.loss.loss(&logits, targets_of(batch))?,
            Some(share) => {
                let labels = batch.labels.repeat(2);
                let soft = batch.targets.as_ref().map(|targets| targets.repeat(2));
                let weights = batch.weights.as_ref().map(|weights| weights.repeat(2));
                let targets = Targets { labels: &labels, soft: soft.as_deref(), weights: weights.as_deref() };
                (self.loss.loss(&logits, targets)? + (r_drop_divergence(&logits)? * share)?)?
            }
        };
        let loss = match self.teacher.zip(taught) {
            Some((teacher, targets)) => teacher.loss(&loss, distilled.as_ref().unwrap_or(&logits), targets)?,
            None => loss,
        };
        let value = loss.to_scalar::<f32>()?;
        let logits = match distilled {
            Some(distilled) => ((logits.detach() + distilled.detach())? * 0.5)?,
            None => logits,
        };
        Ok((value, logits, tape.backward(&loss)?))
    }
}

fn targets_of(batch: &Batch) -> Targets<'_> {
    Targets { labels: &batch.labels, soft: batch.targets.as_deref(), weights: batch.weights.as_deref() }
}

/// The sum of the gradients of two batches.
pub(crate) fn add_grads(mut sum: Gradients, mut grads: Gradients, store: &ParamStore) -> Result<Gradients> {
    for (_, var) in store.parameters() {
        if let Some(grad) = grads.remove(var) {
            let total = match sum.get(var) {
                Some(before) => add_gradients(before, &grad)?,
                None => grad,
            };
            sum.insert(var, total);
        }
    }
    Ok(sum)
}
