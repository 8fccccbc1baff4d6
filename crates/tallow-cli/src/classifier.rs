//! Arguments that select a classifier: a run, an ensemble, or an architecture with weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use tallow_export::{InferenceOptions, Pretrained, PretrainedModel, PretrainedReport};
use tallow_infer::{Classifier, Predictor, View, find_pretrained};
use tallow_models::BuiltModel;

/// The test-time augmentation of a run or an ensemble, or an architecture with weights in place of a run.
#[derive(clap::Args)]
pub struct ClassifierArgs {
    /// Test-time augmentation that replaces the run's: none, or views to average, such as hflip,shift (docs/augment.md)
    #[arg(long, value_name = "none|VIEW,…", conflicts_with = "model")]
    tta: Option<String>,
    /// Classify with this architecture and --weights instead of a run
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub model: Option<String>,
    /// The number of classes that the weights must have [default: what they have]
    #[arg(long, value_name = "N", requires = "model")]
    classes: Option<usize>,
    /// Weights for --model: a file, a folder, or hf:OWNER/REPO[@REVISION]; they decide the channels of the images
    #[arg(long, value_name = "hf:REPO|FILE|DIR", requires = "model")]
    weights: Option<String>,
    /// Match the weights with the model's by order instead of by name
    #[arg(long, requires = "model")]
    weights_by_order: bool,
    /// A text file with one class name per line
    #[arg(long, value_name = "FILE", requires = "model")]
    labels: Option<PathBuf>,
}

impl ClassifierArgs {
    /// Opens the run or the ensemble in `run`; without one, the architecture of --model.
    pub fn open(&self, run: Option<&Path>) -> Result<Predictor> {
        if let Some(run) = run {
            let mut predictor = Predictor::open(run)?;
            if let Some(tta) = &self.tta {
                predictor.set_tta(&View::parse_list(tta).context("--tta")?)?;
            }
            return Ok(predictor);
        }
        let (model, pretrained) = self.find()?;
        let PretrainedModel { built, preprocessing, .. } = self.load(&pretrained, model, None)?;
        let count = built.info.config.num_classes;
        let known = pretrained.info.as_ref().map(|info| info.label_names.clone()).filter(|names| !names.is_empty());
        let classes = match &self.labels {
            Some(path) => class_names(path, count)?,
            None => known.unwrap_or_else(|| (0..count).map(|class| class.to_string()).collect()),
        };
        let pipeline = Arc::new(preprocessing.pipeline()?);
        Ok(Predictor::from_model(model, Classifier::new(built, classes, pipeline)))
    }

    /// Builds the architecture of --model with its weights, for images with these channels and this size.
    pub fn build_for(&self, in_chans: usize, input_size: (usize, usize)) -> Result<BuiltModel> {
        let (model, pretrained) = self.find()?;
        let built = self.load(&pretrained, model, Some(input_size))?.built;
        let expected = built.info.config.in_chans;
        ensure!(in_chans == expected, "the weights are for images of {expected} channels, the tensor has {in_chans}");
        Ok(built)
    }

    fn find(&self) -> Result<(&str, Pretrained)> {
        let model = self.model.as_deref().context("give a run, or --model with --weights")?;
        let weights = self.weights.as_deref().context("--model needs --weights")?;
        Ok((model, find_pretrained(weights)?))
    }

    fn load(
        &self,
        pretrained: &Pretrained,
        model: &str,
        input_size: Option<(usize, usize)>,
    ) -> Result<PretrainedModel> {
        let options = InferenceOptions { num_classes: self.classes, by_order: self.weights_by_order, input_size };
        let opened = pretrained.open(model, options)?;
        note_of(&opened.report);
        Ok(opened)
    }
}

/// Says on the error stream what was not taken from a file as it is: names, shapes, tensors outside the network.
pub fn note_of(report: &PretrainedReport) {
    if !(report.adapted.is_empty() && report.renamed.is_empty() && report.outside.is_empty()) {
        eprintln!("{report}");
    }
}

/// Reads the names of `count` classes, one per line.
pub fn class_names(path: &Path, count: usize) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    if names.len() != count {
        bail!("{}: expected {count} class names, one per line, found {}", path.display(), names.len());
    }
    Ok(names)
}
