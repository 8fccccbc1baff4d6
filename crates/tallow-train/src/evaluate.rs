//! Runs a model over a dataset: logits, labels and ids, from which every metric follows.

use tallow_data::Loader;
use tallow_metrics::{Evaluation, Scores, softmax};
use tallow_models::Model;
use tallow_nn::Mode;

use crate::batch::images;
use crate::{Error, Result, TestTime};

/// What a model says of every sample.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// Row-major, `n × classes`.
    pub logits: Vec<f32>,
    /// The number of classes.
    pub classes: usize,
    /// The true classes.
    pub labels: Vec<usize>,
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
        Ok(tallow_metrics::evaluate(&self.labels, Scores::Logits(&self.logits), class_names)?)
    }

    /// The probabilities, row-major, `n × classes`.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn probabilities(&self) -> Result<Vec<f32>> {
        Ok(softmax(&self.logits, self.classes)?)
    }

    /// The class of highest logit of every sample.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn predicted(&self) -> Result<Vec<usize>> {
        Ok(tallow_metrics::argmax(&self.logits, self.classes)?)
    }
}

/// The table `id,label,predicted,p_<class>…`, probabilities with six digits.
///
/// # Errors
/// A label without a name.
pub fn predictions_csv(
    ids: &[String],
    labels: &[usize],
    predicted: &[usize],
    probabilities: &[f32],
    classes: &[String],
) -> Result<Vec<u8>> {
    let broken = |error: &dyn std::fmt::Display| Error::Mismatch(format!("predictions: {error}"));
    let name = |class: usize| classes.get(class).cloned().ok_or_else(|| broken(&format!("there is no class {class}")));
    let mut csv = csv::Writer::from_writer(Vec::new());
    let header = ["id", "label", "predicted"].map(str::to_owned).into_iter();
    let header = header.chain(classes.iter().map(|class| format!("p_{class}")));
    csv.write_record(header).map_err(|error| broken(&error))?;
    let rows = ids.iter().zip(labels.iter().zip(predicted)).zip(probabilities.chunks_exact(classes.len().max(1)));
    for ((id, (label, predicted)), row) in rows {
        let names = [id.clone(), name(*label)?, name(*predicted)?].into_iter();
        csv.write_record(names.chain(row.iter().map(|p| format!("{p:.6}")))).map_err(|error| broken(&error))?;
    }
    csv.into_inner().map_err(|error| broken(&error))
}

/// Runs `model` in evaluation mode over the samples of `loader`, in its order. With further views of each image
/// the logits are the logarithms of the mean of their probabilities.
///
/// # Errors
/// An image that cannot be read (or that the loader leaves out, if so configured); whatever the model fails with.
pub fn predict(model: &dyn Model, loader: &Loader, views: &TestTime) -> Result<Predictions> {
    let dataset = loader.dataset();
    let mut predictions = Predictions { classes: dataset.class_names().len(), ..Default::default() };
    let several = views.count() > 1;
    let mut add = |loader: &Loader, first: bool| -> Result<()> {
        let mut row = 0;
        for batch in loader.epoch(0, 0) {
            let batch = batch?;
            let logits = |pixels: Vec<f32>| -> Result<Vec<f32>> {
                let logits = model.forward(&images(pixels, batch.shape)?, &Mode::eval())?;
                Ok(logits.flatten_all()?.to_vec1::<f32>()?)
            };
            if first {
                predictions.labels.extend(batch.labels.iter().map(|&label| label as usize));
                predictions.ids.extend(batch.indices.iter().map(|&index| dataset.id(index)));
                predictions.skipped.extend_from_slice(&batch.skipped);
            }
            if !several {
                predictions.logits.extend(logits(batch.pixels)?);
                continue;
            }
            let len = batch.labels.len() * predictions.classes;
            if first {
                predictions.logits.resize(row + len, 0.0);
            }
            let sums = &mut predictions.logits[row..row + len];
            for look in &views.looks {
                let probabilities = softmax(&logits(look.at(&batch.pixels, batch.shape))?, predictions.classes)?;
                sums.iter_mut().zip(probabilities).for_each(|(sum, p)| *sum += p);
            }
            row += len;
        }
        Ok(())
    };
    add(loader, true)?;
    for pipeline in &views.crops {
        add(&Loader::new(dataset.clone(), pipeline.clone(), loader.config().clone())?, false)?;
    }
    if several {
        let count = views.count() as f32;
        predictions.logits.iter_mut().for_each(|sum| *sum = (*sum / count).max(f32::MIN_POSITIVE).ln());
    }
    Ok(predictions)
}
