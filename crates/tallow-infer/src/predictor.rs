//! A run, an ensemble or any model, ready for inference.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::DynamicImage;
use serde::Serialize;
use tallow_data::{Dataset, Splits};
use tallow_metrics::{Evaluation, ProbabilityReport, probability_report};
use tallow_run::{RunDir, View};

use crate::ensemble::{Ensemble, MemberTable};
use crate::{Classifier, Error, Measurement, Predictions, Result, TrainedRun, predictions_csv};

/// A run, an ensemble of runs, or a model without a run directory.
pub enum Predictor {
    /// A trained run.
    Run(Box<TrainedRun>),
    /// Several trained runs.
    Ensemble(Ensemble),
    /// A model with weights from elsewhere.
    Model {
        /// Its name, for messages.
        name: String,
        /// The model with its classes and its preprocessing.
        classifier: Box<Classifier>,
    },
}

/// The result of [`Predictor::evaluate`].
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The predictions.
    pub predictions: Predictions,
    /// All metrics.
    pub evaluation: Evaluation,
    /// Metrics of the probabilities; absent for multi-label data.
    pub probabilities: Option<ProbabilityReport>,
    /// The members beside the ensemble, if it is one.
    pub members: Option<MemberTable>,
    /// The files that were written: metrics and predictions.
    pub files: [PathBuf; 2],
}

impl From<TrainedRun> for Predictor {
    fn from(run: TrainedRun) -> Self {
        Self::Run(Box::new(run))
    }
}

impl Predictor {
    /// Opens the directory of a run or an ensemble.
    ///
    /// # Errors
    /// A folder that is neither; no weights yet; a file that does not hold what it should.
    pub fn open(path: &Path) -> Result<Self> {
        match Ensemble::is_at(path) {
            true => Ok(Self::Ensemble(Ensemble::open(path)?)),
            false => Ok(TrainedRun::open(path)?.into()),
        }
    }

    /// A model without a run directory: `name` is used in messages.
    pub fn from_model(name: impl Into<String>, classifier: Classifier) -> Self {
        Self::Model { name: name.into(), classifier: Box::new(classifier) }
    }

    /// The directory of the run or the ensemble.
    ///
    /// # Errors
    /// [`Error::NoRun`].
    pub fn dir(&self) -> Result<&RunDir> {
        match self {
            Self::Run(run) => Ok(&run.dir),
            Self::Ensemble(ensemble) => Ok(ensemble.dir()),
            Self::Model { name, .. } => Err(Error::NoRun { name: name.clone() }),
        }
    }

    /// The path of its directory, or the name of a model without one.
    pub fn name(&self) -> String {
        match self {
            Self::Run(run) => run.dir.path().display().to_string(),
            Self::Ensemble(ensemble) => ensemble.dir().path().display().to_string(),
            Self::Model { name, .. } => name.clone(),
        }
    }

    /// The class names in the order of the logits.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Run(run) => run.classes(),
            Self::Ensemble(ensemble) => ensemble.classes(),
            Self::Model { classifier, .. } => &classifier.classes,
        }
    }

    /// Replaces the views of each image.
    ///
    /// # Errors
    /// The errors of [`TestTime::new`](crate::TestTime::new); [`Error::NoRun`].
    pub fn set_tta(&mut self, tta: &[View]) -> Result<()> {
        match self {
            Self::Run(run) => run.set_tta(tta),
            Self::Ensemble(ensemble) => ensemble.set_tta(tta),
            Self::Model { name, .. } => Err(Error::NoRun { name: name.clone() }),
        }
    }

    /// Opens the training dataset, or another one with the same classes.
    ///
    /// # Errors
    /// The errors of [`tallow_data::open`]; [`Error::NoRun`].
    pub fn splits(&self, spec: Option<&str>) -> Result<Splits> {
        match self {
            Self::Run(run) => run.splits(spec),
            Self::Ensemble(ensemble) => ensemble.splits(spec),
            Self::Model { name, .. } => Err(Error::NoRun { name: name.clone() }),
        }
    }

    /// The samples that a fold of a cross-validation holds out.
    ///
    /// # Errors
    /// [`Error::NotAFold`]; [`Error::NoRun`]; those of [`tallow_data::open`].
    pub fn held_out(&self) -> Result<Arc<dyn Dataset>> {
        match self {
            Self::Run(run) => run.held_out(),
            Self::Ensemble(ensemble) => Err(Error::NotAFold { path: ensemble.dir().path().to_owned() }),
            Self::Model { name, .. } => Err(Error::NoRun { name: name.clone() }),
        }
    }

    /// The logits of every sample.
    ///
    /// # Errors
    /// An image that cannot be read; an error of a model; [`Error::NoRun`].
    pub fn predictions(&self, dataset: Arc<dyn Dataset>) -> Result<Predictions> {
        match self {
            Self::Run(run) => run.predictions(dataset),
            Self::Ensemble(ensemble) => Ok(ensemble.predictions(&dataset)?.0),
            Self::Model { name, .. } => Err(Error::NoRun { name: name.clone() }),
        }
    }

    /// The probability of each class for each image.
    ///
    /// # Shapes
    /// Row-major, `images × classes`. Images have any size and any number of channels.
    ///
    /// # Errors
    /// An image that the preprocessing refuses; an error of a model.
    pub fn probabilities(&self, images: &[DynamicImage]) -> Result<Vec<f32>> {
        match self {
            Self::Run(run) => run.classifier.probabilities(images),
            Self::Ensemble(ensemble) => ensemble.probabilities(images),
            Self::Model { classifier, .. } => classifier.probabilities(images),
        }
    }

    /// The samples that an ensemble was fitted on, such as `validation, 600 images`.
    pub fn fitted_on(&self) -> Option<&str> {
        match self {
            Self::Run(_) | Self::Model { .. } => None,
            Self::Ensemble(ensemble) => ensemble.fitted_on(),
        }
    }

    /// The dataset and the views of each image; those of an ensemble are its first member's.
    ///
    /// # Errors
    /// [`Error::NoRun`].
    pub fn data_and_views(&self) -> Result<(&str, &[View])> {
        let sections = match self {
            Self::Run(run) => &run.config,
            Self::Ensemble(ensemble) => &ensemble.members()[0].runs[0].config,
            Self::Model { name, .. } => return Err(Error::NoRun { name: name.clone() }),
        };
        Ok((&sections.data.spec, &sections.augment.tta))
    }

    /// The split that training ends with, whose evaluation is `metrics.json`: what a fold holds out, else the test split, else
    /// the validation split, else the training split.
    pub fn main_split(&self, splits: &Splits) -> &'static str {
        match self {
            Self::Run(run) if run.config.data.fold.is_some() => "held_out",
            _ if splits.test.is_some() => "test",
            _ if splits.validation.is_some() => "validation",
            _ => "train",
        }
    }

    /// Evaluates a split, and writes metrics and predictions: see [`Measurement::files`].
    ///
    /// # Errors
    /// The errors of [`predictions`](Self::predictions); a folder that cannot be written.
    pub fn evaluate(&self, of: &Measurement<'_>, dataset: Arc<dyn Dataset>) -> Result<Measured> {
        #[derive(Serialize)]
        struct Metrics<'a> {
            data: &'a str,
            split: &'a str,
            views: &'a [View],
            skipped: &'a [String],
            #[serde(flatten)]
            evaluation: &'a Evaluation,
            #[serde(skip_serializing_if = "Option::is_none")]
            probabilities: &'a Option<ProbabilityReport>,
            #[serde(flatten)]
            members: &'a Option<MemberTable>,
        }
        let (own, views) = self.data_and_views()?;
        let (predictions, members) = match self {
            Self::Run(_) | Self::Model { .. } => (self.predictions(dataset)?, None),
            Self::Ensemble(ensemble) => {
                let (predictions, each) = ensemble.predictions(&dataset)?;
                let table = MemberTable::new(&ensemble.names(), ensemble.weights(), &each, &predictions)?;
                (predictions, Some(table))
            }
        };
        let evaluation = predictions.evaluate(self.classes())?;
        let report = || probability_report(&predictions.labels, &predictions.logits, predictions.classes);
        let probabilities = (!predictions.is_multi_label()).then(report).transpose()?;
        let metrics = Metrics {
            data: of.data.unwrap_or(own),
            split: of.split,
            views,
            skipped: &predictions.skipped,
            evaluation: &evaluation,
            probabilities: &probabilities,
            members: &members,
        };
        let (names, told) = (predictions.names(self.classes())?, predictions.probabilities()?);
        let table = predictions_csv(&predictions.ids, &names, &told, self.classes())?;
        let dir = match of.out {
            Some(out) => RunDir::at(out),
            None => self.dir()?.clone(),
        };
        let [metrics_file, predictions_file] = of.files();
        dir.write(&predictions_file, &table)?;
        dir.write_json(&metrics_file, &metrics)?;
        let files = [metrics_file, predictions_file].map(|name| dir.path().join(name));
        Ok(Measured { predictions, evaluation, probabilities, members, files })
    }
}
