//! Distillation: a finished run teaches another model what it sees in the same images.

use std::path::Path;

use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};
use tallow_models::Built;
use tallow_nn::Mode;
use tallow_nn::kernels::softmax::{cross_entropy, softmax};

use crate::{Error, Result, RunConfig, RunDir};

/// The `distill` table of a run's config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistillConfig {
    /// The run directory of the teacher; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// What the student is taught: the teacher's probabilities, or its choice.
    pub kind: Kind,
    /// What both sides' logits are divided by under `soft`: the higher, the more the wrong classes say.
    pub temperature: f64,
    /// The teacher's share of the loss, 0 to 1; the rest is the labels'.
    pub alpha: f64,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self { teacher: None, kind: Kind::Soft, temperature: 3.0, alpha: 0.5 }
    }
}

impl DistillConfig {
    /// The first key with a value that means nothing, and what is expected of it.
    pub(crate) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Some(("temperature", "a number above 0"));
        }
        (!(0.0..=1.0).contains(&self.alpha)).then_some(("alpha", "a fraction from 0 to 1"))
    }
}

/// What of a teacher the student learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its probabilities: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network".
    Soft,
    /// The class it chooses: Touvron et al. 2020, DeiT, without the distillation token.
    Hard,
}

/// A model whose answers are part of the loss.
pub(crate) struct Teacher {
    built: Built,
    config: DistillConfig,
}

impl Teacher {
    /// The teacher that `config` names, if it does.
    ///
    /// # Errors
    /// A run without weights; one of other classes, another image size or another normalisation.
    pub fn open(config: &RunConfig, classes: &[String]) -> Result<Option<Self>> {
        let Some(teacher) = &config.distill.teacher else {
            return Ok(None);
        };
        let run = RunDir::open(Path::new(teacher))?;
        let theirs = run.config(&[])?;
        let (ours, of) = (&config.model.config, &theirs.model.config);
        let fits = run.classes()? == classes
            && (ours.input_size, ours.in_chans) == (of.input_size, of.in_chans)
            && (&config.augment.mean, &config.augment.std) == (&theirs.augment.mean, &theirs.augment.std);
        if !fits {
            return Err(Error::Mismatch(format!(
                "distill.teacher: {teacher} was trained on other classes, another image size, or another mean and std: \
                 give this run the teacher's (model.input_size, augment.mean, augment.std in {teacher}/config.toml)"
            )));
        }
        Ok(Some(Self { built: run.model()?, config: config.distill.clone() }))
    }

    /// What the student should say of a batch, `[n, k]`. To be asked before a tape records.
    pub fn targets(&self, images: &Tensor) -> Result<Tensor> {
        targets(&self.config, &self.built.model.forward(images, &Mode::eval())?)
    }

    /// The loss of the labels and of the teacher together.
    pub fn loss(&self, labels: &Tensor, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let alpha = self.config.alpha;
        Ok(((labels * (1.0 - alpha))? + (divergence(&self.config, logits, targets)? * alpha)?)?)
    }
}

fn targets(config: &DistillConfig, logits: &Tensor) -> Result<Tensor> {
    let logits = logits.detach();
    match config.kind {
        Kind::Soft => Ok(softmax(&(logits / config.temperature)?)?),
        Kind::Hard => {
            let (n, k) = logits.dims2()?;
            let chosen = logits.argmax(D::Minus1)?.to_vec1::<u32>()?;
            let mut one_hot = vec![0f32; n * k];
            for (row, class) in one_hot.chunks_mut(k.max(1)).zip(chosen) {
                row[class as usize] = 1.0;
            }
            Ok(Tensor::from_vec(one_hot, (n, k), logits.device())?)
        }
    }
}

/// Soft: `T² · KL(teacher ‖ student)`, both at temperature T, the mean over the batch; hard: the cross-entropy with
/// the teacher's choice.
fn divergence(config: &DistillConfig, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    match config.kind {
        Kind::Hard => Ok(cross_entropy(logits, targets)?),
        Kind::Soft => {
            let t = config.temperature;
            let p = targets.flatten_all()?.to_vec1::<f32>()?;
            let entropy: f64 = p.iter().filter(|p| **p > 0.0).map(|p| -f64::from(*p) * f64::from(*p).ln()).sum();
            let mean = entropy / targets.dim(0)?.max(1) as f64;
            Ok(((cross_entropy(&(logits / t)?, targets)? - mean)? * (t * t))?)
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    // s = [[1, 2, -1], [.5, 0, 3]], t = [[0, 1, 2], [3, 0, -1]], T = 2:
    // F.kl_div(F.log_softmax(s / T, 1), F.softmax(t / T, 1), reduction="batchmean") * T * T; F.cross_entropy(s, t.argmax(1))
    #[test]
    fn divergences_are_pytorchs() -> Result<()> {
        let student = Tensor::new(&[[1f32, 2.0, -1.0], [0.5, 0.0, 3.0]], &Device::Cpu)?;
        let teacher = Tensor::new(&[[0f32, 1.0, 2.0], [3.0, 0.0, -1.0]], &Device::Cpu)?;
        for (kind, expected) in [(Kind::Soft, 2.526_485), (Kind::Hard, 2.986_442_6)] {
            let config = DistillConfig { kind, temperature: 2.0, ..DistillConfig::default() };
            let loss = divergence(&config, &student, &targets(&config, &teacher)?)?.to_scalar::<f32>()?;
            assert!((loss - expected).abs() < 1e-5, "{kind:?}: {loss}");
        }
        Ok(())
    }
}
