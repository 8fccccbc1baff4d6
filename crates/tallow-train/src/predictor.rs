//! Whatever classifies images: a run or an ensemble, opened from its directory. Commands take either.

use std::path::Path;
use std::sync::Arc;

use image::DynamicImage;
use serde::Serialize;
use tallow_data::{Dataset, Splits};
use tallow_metrics::{Evaluation, ProbabilityReport, probability_report};

use crate::ensemble::{Ensemble, MemberTable};
use crate::{Error, Finished, Predictions, Result, RunDir, View, predictions_csv};

/// A run or an ensemble.
pub enum Predictor {
    /// One model.
    Run(Box<Finished>),
    /// Several.
    Ensemble(Ensemble),
}

/// What [`Predictor::evaluate`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What it said.
    pub predictions: Predictions,
    /// Every metric.
    pub evaluation: Evaluation,
    /// How good its probabilities are; not said where several classes can hold at once.
    pub probabilities: Option<ProbabilityReport>,
    /// Of an ensemble, its members beside it.
    pub members: Option<MemberTable>,
}

impl From<Finished> for Predictor {
    fn from(finished: Finished) -> Self {
        Self::Run(Box::new(finished))
    }
}

impl Predictor {
    /// Opens the directory of a run or an ensemble.
    ///
    /// # Errors
    /// Neither of them; no weights yet; a file that does not hold what it should.
    pub fn open(path: &Path) -> Result<Self> {
        match Ensemble::is_at(path) {
            true => Ok(Self::Ensemble(Ensemble::open(path)?)),
            false => Ok(Finished::open(path)?.into()),
        }
    }

    /// Its directory.
    pub fn run(&self) -> &RunDir {
        match self {
            Self::Run(finished) => &finished.run,
            Self::Ensemble(ensemble) => ensemble.run(),
        }
    }

    /// The class names in the order of its answers.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Run(finished) => &finished.classes,
            Self::Ensemble(ensemble) => ensemble.classes(),
        }
    }

    /// Takes other views of each image than its own.
    ///
    /// # Errors
    /// Those of [`TestTime::new`](crate::TestTime::new).
    pub fn set_tta(&mut self, tta: &[View]) -> Result<()> {
        match self {
            Self::Run(finished) => finished.set_tta(tta),
            Self::Ensemble(ensemble) => ensemble.set_tta(tta),
        }
    }

    /// Opens the dataset it was trained on, or another one with the same classes.
    ///
    /// # Errors
    /// Those of [`tallow_data::open`].
    pub fn splits(&self, spec: Option<&str>) -> Result<Splits> {
        match self {
            Self::Run(finished) => finished.splits(spec),
            Self::Ensemble(ensemble) => ensemble.splits(spec),
        }
    }

    /// The samples that a fold of a cross-validation was not trained on.
    ///
    /// # Errors
    /// A run that is no such fold, or an ensemble; those of [`tallow_data::open`].
    pub fn held_out(&self) -> Result<Arc<dyn Dataset>> {
        match self {
            Self::Run(finished) => finished.held_out(),
            Self::Ensemble(_) => {
                let ensemble = self.run().path().display();
                Err(Error::Mismatch(format!("{ensemble}: an ensemble holds no fold out; choose another split")))
            }
        }
    }

    /// What it says of every sample.
    ///
    /// # Errors
    /// An image that cannot be read; whatever a model fails with.
    pub fn predictions(&self, dataset: Arc<dyn Dataset>) -> Result<Predictions> {
        match self {
            Self::Run(finished) => finished.predictions(dataset),
            Self::Ensemble(ensemble) => Ok(ensemble.predictions(&dataset)?.0),
        }
    }

    /// The probability of each class for each image, row-major `images × classes`.
    ///
    /// # Errors
    /// No image, or one that the preprocessing refuses; whatever a model fails with.
    pub fn probabilities(&self, images: &[DynamicImage]) -> Result<Vec<f32>> {
        let (images, classes) = (images.to_vec(), self.classes().to_vec());
        let multi_label = match self {
            Self::Run(finished) => finished.config.data.multi_label,
            Self::Ensemble(ensemble) => ensemble.is_multi_label(),
        };
        self.predictions(Arc::new(Images { images, classes, multi_label }))?.probabilities()
    }

    /// What it was fitted on besides its members' training, in words.
    pub fn fitted_on(&self) -> Option<&str> {
        match self {
            Self::Run(_) => None,
            Self::Ensemble(ensemble) => ensemble.fitted_on(),
        }
    }

    /// Measures a split and writes `metrics.json` and `predictions.csv` into its directory.
    ///
    /// # Errors
    /// Those of [`predictions`](Self::predictions); a folder that cannot be written.
    pub fn evaluate(&self, split: &str, dataset: Arc<dyn Dataset>) -> Result<Measured> {
        #[derive(Serialize)]
        struct Metrics<'a> {
            split: &'a str,
            skipped: &'a [String],
            #[serde(flatten)]
            evaluation: &'a Evaluation,
            #[serde(skip_serializing_if = "Option::is_none")]
            probabilities: &'a Option<ProbabilityReport>,
            #[serde(flatten)]
            members: &'a Option<MemberTable>,
        }
        let (predictions, members) = match self {
            Self::Run(finished) => (finished.predictions(dataset)?, None),
            Self::Ensemble(ensemble) => {
                let (predictions, each) = ensemble.predictions(&dataset)?;
                let table = MemberTable::new(&ensemble.names(), ensemble.weights(), &each, &predictions)?;
                (predictions, Some(table))
            }
        };
        let evaluation = predictions.evaluate(self.classes())?;
        let report = || probability_report(&predictions.labels, &predictions.logits, predictions.classes);
        let probabilities = (!predictions.is_multi_label()).then(report).transpose()?;
        let skipped = &predictions.skipped;
        let metrics =
            Metrics { split, skipped, evaluation: &evaluation, probabilities: &probabilities, members: &members };
        self.run().write_json("metrics.json", &metrics)?;
        let (names, told) = (predictions.names(self.classes())?, predictions.probabilities()?);
        self.run().write("predictions.csv", &predictions_csv(&predictions.ids, &names, &told, self.classes())?)?;
        Ok(Measured { predictions, evaluation, probabilities, members })
    }
}

/// Images whose classes are not known.
struct Images {
    images: Vec<DynamicImage>,
    classes: Vec<String>,
    multi_label: bool,
}

impl Dataset for Images {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, _: usize) -> usize {
        0
    }

    fn is_multi_label(&self) -> bool {
        self.multi_label
    }

    fn image(&self, index: usize) -> tallow_data::Result<DynamicImage> {
        Ok(self.images[index].clone())
    }

    fn id(&self, index: usize) -> String {
        format!("image {index}")
    }

    fn channels(&self) -> usize {
        3
    }
}
