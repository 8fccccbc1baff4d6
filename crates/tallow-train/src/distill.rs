//! Distillation: the predictions of a trained run are part of the targets.

use std::path::Path;

use candle_core::{D, Device, Tensor};
use tallow_infer::{Ensemble, TrainedRun};
use tallow_models::{BuiltModel, ModelConfig};
use tallow_nn::Mode;
use tallow_nn::op::{cross_entropy, softmax};
use tallow_run::AugmentConfig;

use crate::config::{DistillConfig, DistillKind};
use crate::{Error, Result, RunConfig};

/// A model, or an ensemble of models, whose predictions are part of the loss.
pub(crate) struct Teacher {
    models: Vec<TeacherModel>,
    config: DistillConfig,
}

/// A model of the teacher and its weight.
struct TeacherModel {
    built: BuiltModel,
    share: f64,
    /// The factor and the summand, `[1, c, 1, 1]`, that convert the student's normalised pixels to this model's.
    rescale: Option<[Tensor; 2]>,
}

impl Teacher {
    /// The teacher that `config` names, if it names one: a run, or an ensemble that averages.
    ///
    /// # Errors
    /// A run without weights; one of other classes or another image size; an ensemble that votes or is stacked.
    pub fn open(config: &RunConfig, classes: &[String]) -> Result<Option<Self>> {
        let Some(teacher) = &config.distill.teacher else {
            return Ok(None);
        };
        let path = Path::new(teacher);
        let models = if Ensemble::is_at(path) {
            let ensemble = Ensemble::open(path)?;
            let Some(weights) = ensemble.rule().weights().map(<[f64]>::to_vec) else {
                return Err(Error::Mismatch(format!(
                    "distill.teacher: {teacher} votes or is stacked; a teacher is a run, or an ensemble by average, weighted or selection"
                )));
            };
            let shares = ensemble.into_members().into_iter().zip(weights).flat_map(|(member, weight)| {
                let share = weight / member.runs.len() as f64;
                member.runs.into_iter().map(move |run| (run, share))
            });
            shares.map(|(run, share)| TeacherModel::new(config, classes, run, share)).collect::<Result<_>>()?
        } else {
            vec![TeacherModel::new(config, classes, TrainedRun::open(path)?, 1.0)?]
        };
        Ok(Some(Self { models, config: config.distill.clone() }))
    }

    /// The teacher's target of a batch, `[n, k]`. Call it before a tape records.
    pub fn targets(&self, images: &Tensor) -> Result<Tensor> {
        let logits = self.models.iter().map(|model| Ok((model.share, model.logits(images)?)));
        targets(&self.config, &logits.collect::<Result<Vec<_>>>()?)
    }

    /// The weighted sum of the loss of the labels and of the teacher's.
    pub fn loss(&self, labels: &Tensor, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let alpha = self.config.alpha;
        Ok(((labels * (1.0 - alpha))? + (divergence(&self.config, logits, targets)? * alpha)?)?)
    }
}

impl TeacherModel {
    fn new(student: &RunConfig, classes: &[String], run: TrainedRun, share: f64) -> Result<Self> {
        let (ours, theirs) = (&student.model.config, &run.config.model.config);
        let shape = |of: &ModelConfig| (of.in_chans, of.input_size.0, of.input_size.1);
        if run.classes() != classes || shape(ours) != shape(theirs) {
            return Err(Error::Mismatch(format!(
                "distill.teacher: {} was trained on {} classes and images of {:?} (channels, height, width), this run has {} and {:?}: \
                 both need the same classes in the same order, and the same size",
                run.dir.path().display(),
                run.classes().len(),
                shape(theirs),
                classes.len(),
                shape(ours),
            )));
        }
        let normalization = |augment: &AugmentConfig| augment.mean.clone().zip(augment.std.clone());
        let rescale = match (normalization(&student.augment), normalization(&run.config.augment)) {
            (Some(ours), Some(theirs)) if ours != theirs => Some(rescale(&ours, &theirs)?),
            _ => None,
        };
        Ok(Self { built: run.classifier.built, share, rescale })
    }

    fn logits(&self, images: &Tensor) -> Result<Tensor> {
        let images = match &self.rescale {
            Some([factor, added]) => images.broadcast_mul(factor)?.broadcast_add(added)?,
            None => images.clone(),
        };
        Ok(self.built.model.forward(&images, &Mode::eval())?.detach())
    }
}

/// Converts pixels normalised by one mean and deviation to those of another: `(x · std + mean − mean') / std'`.
fn rescale((mean, std): &(Vec<f32>, Vec<f32>), (to_mean, to_std): &(Vec<f32>, Vec<f32>)) -> Result<[Tensor; 2]> {
    let factor: Vec<f32> = std.iter().zip(to_std).map(|(std, to_std)| std / to_std).collect();
    let added =
        mean.iter().zip(to_mean).zip(to_std).map(|((mean, to_mean), to_std)| (mean - to_mean) / to_std).collect();
    let tensor = |values: Vec<f32>| Tensor::from_vec(values, (1, mean.len(), 1, 1), &Device::Cpu);
    Ok([tensor(factor)?, tensor(added)?])
}

/// The weighted mean of the models' probabilities, or the class with the highest mean.
fn targets(config: &DistillConfig, models: &[(f64, Tensor)]) -> Result<Tensor> {
    let temperature = match config.kind {
        DistillKind::Soft => config.temperature,
        DistillKind::Hard => 1.0,
    };
    let mut sum: Option<Tensor> = None;
    for (share, logits) in models {
        let probabilities = (softmax(&(logits / temperature)?)? * *share)?;
        sum = Some(match sum {
            Some(sum) => (sum + probabilities)?,
            None => probabilities,
        });
    }
    let mean = sum.ok_or_else(|| Error::Mismatch("distill.teacher: an ensemble without members".into()))?;
    match config.kind {
        DistillKind::Soft => Ok(mean),
        DistillKind::Hard => {
            let (n, k) = mean.dims2()?;
            let chosen = mean.argmax(D::Minus1)?.to_vec1::<u32>()?;
            let mut one_hot = vec![0f32; n * k];
            for (row, class) in one_hot.chunks_mut(k.max(1)).zip(chosen) {
                row[class as usize] = 1.0;
            }
            Ok(Tensor::from_vec(one_hot, (n, k), mean.device())?)
        }
    }
}

/// Soft: `T² · KL(teacher ‖ student)`, both at temperature T, the mean over the batch; hard: the cross-entropy with
/// the teacher's choice.
fn divergence(config: &DistillConfig, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    match config.kind {
        DistillKind::Hard => Ok(cross_entropy(logits, targets)?),
        DistillKind::Soft => {
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
        for (kind, expected) in [(DistillKind::Soft, 2.526_485), (DistillKind::Hard, 2.986_442_6)] {
            let config = DistillConfig { kind, temperature: 2.0, ..DistillConfig::default() };
            let loss =
                divergence(&config, &student, &targets(&config, &[(1.0, teacher.clone())])?)?.to_scalar::<f32>()?;
            assert!((loss - expected).abs() < 1e-5, "{kind:?}: {loss}");
        }
        Ok(())
    }

    /// The student sees pixels of its own mean and deviation, the teacher those it was trained on.
    #[test]
    fn a_teacher_sees_the_pixels_it_was_trained_on() -> Result<()> {
        let (ours, theirs) = ((vec![0.5f32, 0.1], vec![0.25f32, 1.0]), (vec![0.25f32, 0.2], vec![0.5f32, 0.5]));
        let raw = [0.75f32, 0.5];
        let seen = |(mean, std): &(Vec<f32>, Vec<f32>)| [(raw[0] - mean[0]) / std[0], (raw[1] - mean[1]) / std[1]];
        let pixels = Tensor::new(&seen(&ours), &Device::Cpu)?.reshape((1, 2, 1, 1))?;
        let [factor, added] = rescale(&ours, &theirs)?;
        let rescaled = pixels.broadcast_mul(&factor)?.broadcast_add(&added)?.flatten_all()?.to_vec1::<f32>()?;
        assert_eq!(rescaled, seen(&theirs));
        Ok(())
    }
}
