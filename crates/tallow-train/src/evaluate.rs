//! Runs a model over a dataset: logits, labels and ids, from which every metric follows.

use tallow_data::{Batch, Loader};
use tallow_metrics::{Evaluation, Scores, evaluate_multi_label, sigmoid, softmax};
use tallow_models::Model;
use tallow_nn::{Mode, keep_packed_weights};

use crate::batch::images;
use crate::{Error, Result, TestTime};

/// What a model says of every sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// Row-major, `n × classes`.
    pub logits: Vec<f32>,
    /// The number of classes.
    pub classes: usize,
    /// The true classes; where several can hold at once, the first of each.
    pub labels: Vec<usize>,
    /// Where several classes can hold at once, a 0 or 1 for each: row-major, `n × classes`. Else empty.
    pub targets: Vec<f32>,
    /// What names each sample: its path, or "test/123".
    pub ids: Vec<String>,
    /// Images that could not be read and were left out.
    pub skipped: Vec<String>,
}

impl Predictions {
    /// Every metric of these predictions.
    ///
    /// # Errors
    /// No samples; logits that are not finite.
    pub fn evaluate(&self, class_names: &[String]) -> Result<Evaluation> {
        if self.is_multi_label() {
            return Ok(evaluate_multi_label(&self.targets, &self.logits, class_names)?);
        }
        Ok(tallow_metrics::evaluate(&self.labels, Scores::Logits(&self.logits), class_names)?)
    }

    /// Whether several classes can hold at once.
    pub fn is_multi_label(&self) -> bool {
        !self.targets.is_empty()
    }

    /// The probabilities, row-major, `n × classes`: those of a row add up to 1, but where several classes can hold at once.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn probabilities(&self) -> Result<Vec<f32>> {
        if self.is_multi_label() {
            return Ok(sigmoid(&self.logits));
        }
        Ok(softmax(&self.logits, self.classes)?)
    }

    /// The class of highest logit of every sample.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn predicted(&self) -> Result<Vec<usize>> {
        Ok(tallow_metrics::argmax(&self.logits, self.classes)?)
    }

    /// What each sample is and what it was taken for, in words: a class, or `a|b` where several can hold at once.
    ///
    /// # Errors
    /// Logits that are not finite; a class without a name.
    pub fn names(&self, class_names: &[String]) -> Result<Vec<[String; 2]>> {
        if !self.is_multi_label() {
            return one_class_names(&self.labels, &self.predicted()?, class_names);
        }
        Ok(several_class_names(&self.targets, (&self.logits, 0.0), class_names))
    }

    /// Takes over who the samples of a batch of `loader` are and what holds for them.
    pub(crate) fn add_samples(&mut self, loader: &Loader, batch: &Batch) {
        self.labels.extend(batch.labels.iter().map(|&label| label as usize));
        self.ids.extend(loader.ids(batch));
        self.skipped.extend_from_slice(&batch.skipped);
        match &batch.targets {
            _ if !loader.is_multi_label() => {}
            Some(targets) => self.targets.extend_from_slice(targets),
            None => {
                let classes = self.classes;
                let one_hot = |&label: &u32| (0..classes).map(move |class| f32::from(class == label as usize));
                self.targets.extend(batch.labels.iter().flat_map(one_hot));
            }
        }
    }
}

/// The names of labels and of predictions, of which each is one class.
///
/// # Errors
/// A class without a name.
pub fn one_class_names(labels: &[usize], predicted: &[usize], classes: &[String]) -> Result<Vec<[String; 2]>> {
    let missing = |class: usize| Error::Mismatch(format!("predictions: there is no class {class}"));
    let name = |class: usize| classes.get(class).cloned().ok_or_else(|| missing(class));
    labels.iter().zip(predicted).map(|(label, predicted)| Ok([name(*label)?, name(*predicted)?])).collect()
}

/// The names, `a|b`, of the classes that hold for each sample, with a target above ½, and of those that are predicted, with a
/// score above `threshold`.
///
/// # Shapes
/// `targets` and `scores`: row-major `n × classes`.
pub fn several_class_names(
    targets: &[f32],
    (scores, threshold): (&[f32], f32),
    classes: &[String],
) -> Vec<[String; 2]> {
    let joined = |values: &[f32], above: f32| {
        let holding = classes.iter().zip(values).filter(|(_, value)| **value > above);
        holding.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("|")
    };
    let width = classes.len().max(1);
    let rows = targets.chunks_exact(width).zip(scores.chunks_exact(width));
    rows.map(|(targets, scores)| [joined(targets, 0.5), joined(scores, threshold)]).collect()
}

/// The table `id,label,predicted,p_<class>…`, probabilities with six digits; `names` are those of label and prediction.
///
/// # Errors
/// A table that cannot be written.
pub fn predictions_csv(
    ids: &[String],
    names: &[[String; 2]],
    probabilities: &[f32],
    classes: &[String],
) -> Result<Vec<u8>> {
    let broken = |error: &dyn std::fmt::Display| Error::Mismatch(format!("predictions: {error}"));
    let mut csv = csv::Writer::from_writer(Vec::new());
    let header = ["id", "label", "predicted"].map(str::to_owned).into_iter();
    let header = header.chain(classes.iter().map(|class| format!("p_{class}")));
    csv.write_record(header).map_err(|error| broken(&error))?;
    let rows = ids.iter().zip(names).zip(probabilities.chunks_exact(classes.len().max(1)));
    for ((id, names), row) in rows {
        let words = [id].into_iter().chain(names).cloned();
        csv.write_record(words.chain(row.iter().map(|p| format!("{p:.6}")))).map_err(|error| broken(&error))?;
    }
    csv.into_inner().map_err(|error| broken(&error))
}

/// Views of few images go through the model together, up to this many: one image alone does not fill it.
const TOGETHER: usize = 32;

/// Runs `model` in evaluation mode over the samples of `loader`, in its order. With further views of each image
/// the logits are the logarithms of the mean of their probabilities; where several classes can hold at once, their mean.
///
/// # Errors
/// An image that cannot be read (or that the loader leaves out, if so configured); whatever the model fails with.
pub fn predict(model: &dyn Model, loader: &Loader, views: &TestTime) -> Result<Predictions> {
    let mut predictions = Predictions { classes: loader.class_names().len(), ..Default::default() };
    let _kept = keep_packed_weights();
    let (several, multi_label) = (views.count() > 1, loader.is_multi_label());
    let mut add = |loader: &Loader, first: bool| -> Result<()> {
        let mut row = 0;
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            let (n, h, w, c) = batch.shape;
            let logits = |pixels: Vec<f32>, views: usize| -> Result<Vec<f32>> {
                let logits = model.forward(&images(pixels, (views * n, h, w, c))?, &Mode::eval())?;
                Ok(logits.flatten_all()?.to_vec1::<f32>()?)
            };
            if first {
                predictions.add_samples(loader, &batch);
            }
            if !several {
                predictions.logits.extend(logits(batch.pixels, 1)?);
                continue;
            }
            let len = batch.labels.len() * predictions.classes;
            if first {
                predictions.logits.resize(row + len, 0.0);
            }
            let sums = &mut predictions.logits[row..row + len];
            for looks in views.looks.chunks((TOGETHER / n.max(1)).max(1)) {
                let pixels = looks.iter().flat_map(|look| look.at(&batch.pixels, batch.shape)).collect();
                let logits = logits(pixels, looks.len())?;
                let scores = if multi_label { logits } else { softmax(&logits, predictions.classes)? };
                for scores in scores.chunks_exact(len.max(1)) {
                    sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
                }
            }
            row += len;
        }
        Ok(())
    };
    add(loader, true)?;
    for pipeline in &views.crops {
        add(&loader.with(pipeline.clone(), loader.config().clone())?, false)?;
    }
    if several {
        let count = views.count() as f32;
        predictions.logits.iter_mut().for_each(|sum| {
            let mean = *sum / count;
            *sum = if multi_label { mean } else { mean.max(f32::MIN_POSITIVE).ln() };
        });
    }
    Ok(predictions)
}
