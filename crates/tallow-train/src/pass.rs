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
}

impl Work<'_> {
    /// The images of a batch, whose pixels are taken; twice under R-Drop.
    pub fn input(&self, batch: &mut Batch) -> Result<Tensor> {
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
        let logits = self.model.forward(input, mode)?;
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
            Some((teacher, targets)) => teacher.loss(&loss, &logits, targets)?,
            None => loss,
        };
        let value = loss.to_scalar::<f32>()?;
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
