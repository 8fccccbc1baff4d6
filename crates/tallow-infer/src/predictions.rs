//! The predictions of a model on a dataset: logits, labels and ids, from which all metrics follow.

use tallow_data::{Batch, Loader};
use tallow_metrics::{Evaluation, Scores, evaluate_multi_label, sigmoid, softmax};
use tallow_models::Model;
use tallow_nn::keep_packed_weights;

use crate::test_time::ViewSum;
use crate::{Error, Result, TestTime};

/// The logits of every sample, with its label and id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// Row-major, `n × classes`.
    pub logits: Vec<f32>,
    /// The number of classes.
    pub classes: usize,
    /// The true classes; for multi-label data, the first class of each sample.
    pub labels: Vec<usize>,
    /// For multi-label data, 0 or 1 for each class: row-major, `n × classes`. Else empty.
    pub targets: Vec<f32>,
    /// The id of each sample: its path, or "test/123".
    pub ids: Vec<String>,
    /// The ids of images that could not be read and were left out.
    pub skipped: Vec<String>,
}

impl Predictions {
    /// All metrics of these predictions.
    ///
    /// # Errors
    /// No samples; logits that are not finite.
    pub fn evaluate(&self, class_names: &[String]) -> Result<Evaluation> {
        if self.is_multi_label() {
            return Ok(evaluate_multi_label(&self.targets, &self.logits, class_names)?);
        }
        Ok(tallow_metrics::evaluate(&self.labels, Scores::Logits(&self.logits), class_names)?)
    }

    /// Whether the data are multi-label.
    pub fn is_multi_label(&self) -> bool {
        !self.targets.is_empty()
    }

    /// The probabilities, row-major, `n × classes`: the softmax of each row, or for multi-label data the sigmoid of each logit.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn probabilities(&self) -> Result<Vec<f32>> {
        if self.is_multi_label() {
            return Ok(sigmoid(&self.logits));
        }
        Ok(softmax(&self.logits, self.classes)?)
    }

    /// The class with the highest logit of every sample.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn predicted(&self) -> Result<Vec<usize>> {
        Ok(tallow_metrics::argmax(&self.logits, self.classes)?)
    }

    /// The names of the true and of the predicted class of each sample; for multi-label data `a|b`.
    ///
    /// # Errors
    /// Logits that are not finite; a class without a name.
    pub fn names(&self, class_names: &[String]) -> Result<Vec<[String; 2]>> {
        if !self.is_multi_label() {
            return single_label_names(&self.labels, &self.predicted()?, class_names);
        }
        Ok(multi_label_names(&self.targets, (&self.logits, 0.0), class_names))
    }

    /// Adds labels, targets and ids of a batch of `loader`, without logits.
    pub fn add_samples(&mut self, loader: &Loader, batch: &Batch) {
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

/// The names of the true and of the predicted class of each sample.
///
/// # Errors
/// A class without a name.
pub fn single_label_names(labels: &[usize], predicted: &[usize], classes: &[String]) -> Result<Vec<[String; 2]>> {
    let missing = |class: usize| Error::Mismatch(format!("predictions: there is no class {class}"));
    let name = |class: usize| classes.get(class).cloned().ok_or_else(|| missing(class));
    labels.iter().zip(predicted).map(|(label, predicted)| Ok([name(*label)?, name(*predicted)?])).collect()
}

/// The names, `a|b`, of the classes of each sample, which have a target above ½, and of the predicted classes, which have a
/// score above `threshold`.
///
/// # Shapes
/// `targets` and `scores`: row-major `n × classes`.
pub fn multi_label_names(targets: &[f32], (scores, threshold): (&[f32], f32), classes: &[String]) -> Vec<[String; 2]> {
    let joined = |values: &[f32], above: f32| {
        let holding = classes.iter().zip(values).filter(|(_, value)| **value > above);
        holding.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("|")
    };
    let width = classes.len().max(1);
    let rows = targets.chunks_exact(width).zip(scores.chunks_exact(width));
    rows.map(|(targets, scores)| [joined(targets, 0.5), joined(scores, threshold)]).collect()
}

/// The CSV table `id,label,predicted,p_<class>…` with probabilities of six digits; `names` are those of label and prediction.
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

/// Runs `model` in evaluation mode over the samples of `loader`, in its order. With several views of each image the logits are
/// the logarithms of the mean of their probabilities; for multi-label data they are the mean of their logits.
///
/// # Errors
/// An image that cannot be read, unless the loader leaves it out; an error of the model.
pub fn predict(model: &dyn Model, loader: &Loader, views: &TestTime) -> Result<Predictions> {
    let mut predictions = Predictions { classes: loader.class_names().len(), ..Default::default() };
    let _kept = keep_packed_weights();
    let mut sum = ViewSum::new(views, loader.is_multi_label(), predictions.classes);
    let mut row = 0;
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        predictions.add_samples(loader, &batch);
        let n = batch.labels.len();
        sum.add(model, batch.pixels, batch.shape, row)?;
        row += n;
    }
    for pipeline in &views.crops {
        let mut row = 0;
        for batch in loader.with(pipeline.clone(), loader.config().clone())?.epoch(0, 0) {
            let batch = batch?;
            let n = batch.labels.len();
            sum.add(model, batch.pixels, batch.shape, row)?;
            row += n;
        }
    }
    predictions.logits = sum.into_logits();
    Ok(predictions)
}
