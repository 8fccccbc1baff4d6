//! `cargo xtask predict`: classes of images from a run or an ensemble, or logits of a tensor from any weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use candle_core::{DType, Device, Tensor};
use image::DynamicImage;
use serde::Serialize;
use tallow_augment::{Normalization, Pipeline, rng};
use tallow_export::LoadOptions;
use tallow_models::{Built, ModelConfig};
use tallow_nn::Mode;
use tallow_train::Predictor;

use crate::pretrained::{Pretrained, eval_pipeline, labels as names};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask predict runs/r9 shoe.png --topk 3
  cargo xtask predict runs/r9 photos/*.jpg --format csv
  cargo xtask predict --model resnet18 --weights hf:timm/resnet18.a1_in1k --labels imagenet.txt cat.jpg
  cargo xtask predict --model resnet18 --classes 10 --weights model.safetensors --tensor in.safetensors --logits out.safetensors")]
pub struct Args {
    /// The directory of a run or an ensemble
    #[arg(value_name = "RUN", required_unless_present = "model")]
    run: Option<PathBuf>,
    /// The images to classify
    #[arg(value_name = "IMAGE", required_unless_present = "model")]
    images: Vec<PathBuf>,
    /// How many classes to show for each image
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    topk: u32,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Instead of a run: an architecture …
    #[arg(long, value_name = "NAME", requires = "weights")]
    model: Option<String>,
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
    /// … applied, instead of images, to the tensor `input` [n, c, h, w] in f32 of this file
    #[arg(long, value_name = "FILE", requires_all = ["model", "logits"])]
    tensor: Option<PathBuf>,
    /// … with the tensor `logits` [n, k] written to this file
    #[arg(long, value_name = "FILE", requires = "tensor")]
    logits: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

pub fn run(args: Args) -> Result<()> {
    let (topk, format) = (args.topk as usize, args.format);
    let Some(model) = &args.model else {
        let run = args.run.context("give a run and images")?;
        let predictor = Predictor::open(&run)?;
        let probabilities = |image| Ok(predictor.probabilities(image)?);
        return classify(predictor.classes(), probabilities, &args.images, topk, format);
    };
    let weights = args.weights.context("--model needs --weights")?;
    let pretrained = Pretrained::find(&weights)?;
    if let (Some(tensor), Some(logits)) = (&args.tensor, &args.logits) {
        return tensor_logits(model, args.classes, &pretrained, args.weights_by_order, tensor, logits);
    }
    // Without a run, the first argument is an image as well.
    let images: Vec<PathBuf> = args.run.into_iter().chain(args.images).collect();
    let classifier = Classifier::of(model, args.classes, &pretrained, args.weights_by_order, args.labels.as_deref())?;
    classify(&classifier.classes, |image| classifier.probabilities(image), &images, topk, format)
}

/// A model with what it takes to classify pictures.
struct Classifier {
    classes: Vec<String>,
    built: Built,
    pipeline: Arc<Pipeline>,
}

impl Classifier {
    /// An architecture with trained weights and their own preprocessing.
    fn of(
        model: &str,
        classes: Option<usize>,
        pretrained: &Pretrained,
        by_order: bool,
        labels: Option<&Path>,
    ) -> Result<Self> {
        let built = pretrained.build(model, classes)?;
        let report = pretrained.load(&built, LoadOptions { by_order, allow_mismatch: false })?;
        if !report.is_complete() {
            bail!("{report}\nthe classifier has no weights: give --classes as the weights have it");
        }
        let count = built.info.config.num_classes;
        let known = pretrained.info.as_ref().map(|info| info.label_names.clone()).filter(|names| !names.is_empty());
        let classes = match labels {
            Some(path) => names(path, count)?,
            None => known.unwrap_or_else(|| (0..count).map(|class| class.to_string()).collect()),
        };
        let channels = built.info.config.in_chans;
        let (expected, size) = pretrained.preprocessing(model, channels)?;
        let normalization = Normalization { mean: expected.mean.clone(), std: expected.std.clone() };
        let pipeline = Arc::new(eval_pipeline(&expected, size)?.build(channels, &normalization)?);
        Ok(Classifier { classes, built, pipeline })
    }

    /// The probability of each class for one image.
    fn probabilities(&self, image: DynamicImage) -> Result<Vec<f32>> {
        let (h, w, c) = self.pipeline.output_shape();
        let mut pixels = vec![0f32; h * w * c];
        self.pipeline.apply(image, &mut rng::keyed(0, 0, 0, rng::AUGMENT), &mut pixels)?;
        let input = Tensor::from_vec(pixels, (1, h, w, c), &Device::Cpu)?.permute((0, 3, 1, 2))?;
        let logits = self.built.model.forward(&input, &Mode::eval())?.flatten_all()?.to_vec1::<f32>()?;
        Ok(tallow_metrics::softmax(&logits, self.classes.len())?)
    }
}

#[derive(Serialize)]
struct Prediction {
    image: String,
    classes: Vec<Class>,
}

#[derive(Serialize)]
struct Class {
    label: String,
    probability: f32,
}

/// Prints the likeliest classes of each image.
fn classify(
    names: &[String],
    probabilities: impl Fn(DynamicImage) -> Result<Vec<f32>>,
    images: &[PathBuf],
    topk: usize,
    format: Format,
) -> Result<()> {
    let mut predictions = Vec::new();
    for path in images {
        let probabilities =
            probabilities(tallow_data::decode::decode_file(path)?).with_context(|| path.display().to_string())?;
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        let class = |&i: &usize| Class { label: names[i].clone(), probability: probabilities[i] };
        let classes = order.iter().take(topk).map(class).collect();
        predictions.push(Prediction { image: path.display().to_string(), classes });
    }
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&predictions)?),
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(std::io::stdout());
            csv.write_record(["image", "rank", "label", "probability"])?;
            for prediction in &predictions {
                for (rank, class) in prediction.classes.iter().enumerate() {
                    let (rank, p) = ((rank + 1).to_string(), format!("{:.6}", class.probability));
                    csv.write_record([&prediction.image, &rank, &class.label, &p])?;
                }
            }
            csv.flush()?;
        }
        Format::Text => {
            for prediction in &predictions {
                println!("{}", prediction.image);
                for class in &prediction.classes {
                    println!("  {:6.2} %  {}", 100.0 * class.probability, class.label);
                }
            }
        }
    }
    Ok(())
}

fn tensor_logits(
    model: &str,
    classes: Option<usize>,
    weights: &Pretrained,
    by_order: bool,
    tensor: &Path,
    logits: &Path,
) -> Result<()> {
    let mut tensors = candle_core::safetensors::load(tensor, &Device::Cpu)
        .with_context(|| format!("{}: cannot be read as safetensors", tensor.display()))?;
    let input = tensors.remove("input").with_context(|| {
        let names: Vec<&str> = tensors.keys().map(String::as_str).take(5).collect();
        let (count, names) = (tensors.len(), names.join(", "));
        format!("{}: expected a tensor named `input`, found {count} others ({names}, …)", tensor.display())
    })?;
    let (_, in_chans, h, w) = input.dims4().with_context(|| {
        format!("{}: `input` has shape {:?}, expected [n, c, h, w]", tensor.display(), input.dims())
    })?;
    let preset = tallow_models::find(model)?;
    let num_classes = classes.unwrap_or(preset.num_classes);
    let config = ModelConfig { num_classes, in_chans, input_size: (h, w), ..preset.config() };
    let built = tallow_models::build(model, &config, 0, &Device::Cpu)?;
    let report = weights.load(&built, LoadOptions { by_order, allow_mismatch: false })?;
    if !report.is_complete() {
        bail!("{report}\nthe classifier has no weights: give --classes as the weights have it");
    }
    let output = built.model.forward(&input.to_dtype(DType::F32)?, &Mode::eval())?.contiguous()?;
    let bytes = safetensors::serialize([("logits", &output)], None)?;
    tallow_export::write_atomically(logits, &bytes)?;
    println!("{}: logits {:?}", logits.display(), output.dims());
    Ok(())
}
