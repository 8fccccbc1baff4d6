//! One forward and backward pass over a batch.

use candle_core::Tensor;
use tallow_data::Batch;
use tallow_models::Model;
use tallow_nn::kernels::elementwise::add_gradients;
use tallow_nn::{Gradients, Mode, ParamStore, Tape, autocast};

use crate::batch::images;
use crate::config::Precision;
use crate::distill::Teacher;
use crate::loss::{Targets, r_drop_divergence};
use crate::probe::Features;
use crate::{Loss, Result};

/// What a pass goes through.
pub(crate) struct Work<'a> {
    pub model: &'a dyn Model,
    pub loss: &'a dyn Loss,
    pub teacher: Option<&'a Teacher>,
    /// Variables that are taken for constants.
    pub constants: &'a [Tensor],
    /// The share of R-Drop's divergence, if each batch is passed twice.
    pub r_drop: Option<f64>,
    /// What products are computed in.
    pub precision: Precision,
    /// What the backbone makes of each sample, where that is known.
    pub features: Option<&'a Features>,
}

impl Work<'_> {
    /// The images of a batch, whose pixels are taken; twice under R-Drop. Their features, where those are known.
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
        images(pixels, (n, h, w, c))
    }

    /// The loss, the logits and the gradients.
    pub fn pass(
        &self,
        input: &Tensor,
        batch: &Batch,
        taught: Option<&Tensor>,
        mode: &Mode,
    ) -> Result<(f32, Tensor, Gradients)> {
        let _format = autocast(self.precision.into());
        let tape = Tape::start_without(self.constants);
        let features = match self.features {
            Some(known) => {
                mode.skip_draws(known.draws);
                input.clone()
            }
            None => self.model.forward_features(input, mode)?,
        };
        // With a distillation token, the teacher has a classifier of its own.
        let (logits, distilled) = match self.teacher {
            Some(_) => self.model.forward_heads(&features, mode)?,
            None => (self.model.forward_head(&features, mode)?, None),
        };
        drop(features);
        let loss = match self.r_drop {
            None => self.loss.loss(&logits, Targets::from(batch))?,
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

/// The sum of the gradients of two batches.
pub(crate) fn add(mut sum: Gradients, mut grads: Gradients, store: &ParamStore) -> Result<Gradients> {
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
