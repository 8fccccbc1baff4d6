//! What classifies pictures, as a command's arguments: a run, an ensemble, or an architecture with any weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use candle_core::{Device, Tensor};
use image::DynamicImage;
use tallow_augment::{Normalization, Pipeline, rng};
use tallow_export::LoadOptions;
use tallow_models::{Built, ModelConfig};
use tallow_nn::Mode;
use tallow_serve::Classifier;
use tallow_train::{Predictor, View};

use crate::pretrained::{Pretrained, eval_pipeline, labels as names};

/// How a run or an ensemble sees, or what classifies in place of one.
#[derive(clap::Args)]
pub struct ClassifierArgs {
    /// Test-time augmentation in place of the run's: none, or views whose probabilities are averaged, such as hflip,shift
    /// (docs/augment.md)
    #[arg(long, value_name = "none|VIEW,…", conflicts_with = "model")]
    tta: Option<String>,
    /// Instead of a run: an architecture …
    #[arg(long, value_name = "NAME", requires = "weights")]
    pub model: Option<String>,
    /// … with this many classes [default: the architecture's]
    #[arg(long, value_name = "N", requires = "model")]
    classes: Option<usize>,
    /// … with these weights: a file, a folder, or hf:OWNER/REPO, with @REVISION behind it if wanted
    #[arg(long, value_name = "hf:REPO|FILE|DIR", requires = "model")]
    weights: Option<String>,
    /// … matched with the model's by order instead of name
    #[arg(long, requires = "model")]
    weights_by_order: bool,
    /// … whose classes have these names, one a line
    #[arg(long, value_name = "FILE", requires = "model")]
    labels: Option<PathBuf>,
}

impl ClassifierArgs {
    /// The run or the ensemble in this directory; without one, the architecture that they name.
    pub fn open(&self, run: Option<&Path>) -> Result<Box<dyn Classifier>> {
        if let Some(run) = run {
            let mut predictor = Predictor::open(run)?;
            if let Some(tta) = &self.tta {
                predictor.set_tta(&View::parse_list(tta).context("--tta")?)?;
            }
            return Ok(Box::new(predictor));
        }
        let (model, pretrained) = self.find()?;
        let built = pretrained.build(model, self.classes)?;
        self.load(&pretrained, &built)?;
        let count = built.info.config.num_classes;
        let known = pretrained.info.as_ref().map(|info| info.label_names.clone()).filter(|names| !names.is_empty());
        let classes = match &self.labels {
            Some(path) => names(path, count)?,
            None => known.unwrap_or_else(|| (0..count).map(|class| class.to_string()).collect()),
        };
        let channels = built.info.config.in_chans;
        let (expected, size) = pretrained.preprocessing(model, channels)?;
        let normalization = Normalization { mean: expected.mean.clone(), std: expected.std.clone() };
        let pipeline = Arc::new(eval_pipeline(&expected, size)?.build(channels, &normalization)?);
        Ok(Box::new(Weights { name: model.to_owned(), classes, built, pipeline }))
    }

    /// The architecture with its weights for images of these channels and this size.
    pub fn build_for(&self, in_chans: usize, input_size: (usize, usize)) -> Result<Built> {
        let (model, pretrained) = self.find()?;
        let preset = tallow_models::find(model)?;
        let num_classes = self.classes.unwrap_or(preset.num_classes);
        let config = ModelConfig { num_classes, in_chans, input_size, ..preset.config() };
        let built = tallow_models::build(model, &config, 0, &Device::Cpu)?;
        self.load(&pretrained, &built)?;
        Ok(built)
    }

    fn find(&self) -> Result<(&str, Pretrained)> {
        let model = self.model.as_deref().context("give a run, or --model with --weights")?;
        let weights = self.weights.as_deref().context("--model needs --weights")?;
        Ok((model, Pretrained::find(weights)?))
    }

    fn load(&self, pretrained: &Pretrained, built: &Built) -> Result<()> {
        let options = LoadOptions { by_order: self.weights_by_order, allow_mismatch: false };
        let report = pretrained.load(built, options)?;
        if !report.is_complete() {
            bail!("{report}\nthe classifier has no weights: give --classes as the weights have it");
        }
        Ok(())
    }
}

/// A model with what it takes to classify pictures.
struct Weights {
    name: String,
    classes: Vec<String>,
    built: Built,
    pipeline: Arc<Pipeline>,
}

impl Weights {
    fn probabilities(&self, pictures: &[DynamicImage]) -> Result<Vec<f32>> {
        let (h, w, c) = self.pipeline.output_shape();
        let mut pixels = vec![0f32; pictures.len() * h * w * c];
        for (picture, pixels) in pictures.iter().zip(pixels.chunks_exact_mut(h * w * c)) {
            self.pipeline.apply(picture.clone(), &mut rng::keyed(0, 0, 0, rng::AUGMENT), pixels)?;
        }
        let input = Tensor::from_vec(pixels, (pictures.len(), h, w, c), &Device::Cpu)?.permute((0, 3, 1, 2))?;
        let logits = self.built.model.forward(&input, &Mode::eval())?.flatten_all()?.to_vec1::<f32>()?;
        Ok(tallow_metrics::softmax(&logits, self.classes.len())?)
    }
}

impl Classifier for Weights {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn probabilities(&self, pictures: &[DynamicImage]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Weights::probabilities(self, pictures)?)
    }
}
