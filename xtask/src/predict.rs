//! `cargo xtask predict`: classes of images from a run, or logits of a tensor from any weights.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use candle_core::{DType, Device, Tensor};
use serde::Serialize;
use tallow_augment::rng;
use tallow_models::ModelConfig;
use tallow_nn::Mode;

use crate::run::Finished;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask predict runs/r9 shoe.png --topk 3
  cargo xtask predict runs/r9 photos/*.jpg --format csv
  cargo xtask predict --model resnet18 --classes 10 --weights model.safetensors --tensor in.safetensors --logits out.safetensors")]
pub struct Args {
    /// A run directory
    #[arg(value_name = "RUN", required_unless_present = "model", conflicts_with = "model")]
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
    #[arg(long, value_name = "NAME", requires_all = ["weights", "tensor", "logits"])]
    model: Option<String>,
    /// … with this many classes [default: the architecture's]
    #[arg(long, value_name = "N", requires = "model")]
    classes: Option<usize>,
    /// … with these weights
    #[arg(long, value_name = "FILE", requires = "model")]
    weights: Option<PathBuf>,
    /// … applied to the tensor `input` [n, c, h, w] in f32 of this file
    #[arg(long, value_name = "FILE", requires = "model")]
    tensor: Option<PathBuf>,
    /// … with the tensor `logits` [n, k] written to this file
    #[arg(long, value_name = "FILE", requires = "model")]
    logits: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

pub fn run(args: Args) -> Result<()> {
    match (&args.run, &args.model, &args.weights, &args.tensor, &args.logits) {
        (Some(run), ..) => classify(run, &args.images, args.topk as usize, args.format),
        (None, Some(model), Some(weights), Some(tensor), Some(logits)) => {
            tensor_logits(model, args.classes, weights, tensor, logits)
        }
        _ => bail!("give a run and images, or --model with --weights, --tensor and --logits"),
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

fn classify(run: &Path, images: &[PathBuf], topk: usize, format: Format) -> Result<()> {
    let finished = Finished::open(run)?;
    let (h, w, c) = finished.pipeline.output_shape();
    let k = finished.classes.len();
    let mut predictions = Vec::new();
    for path in images {
        let image = tallow_data::decode::decode_file(path)?;
        let mut pixels = vec![0f32; h * w * c];
        finished.pipeline.apply(image, &mut rng::keyed(0, 0, 0, rng::AUGMENT), &mut pixels)?;
        let input = Tensor::from_vec(pixels, (1, h, w, c), &Device::Cpu)?.permute((0, 3, 1, 2))?;
        let logits = finished.built.model.forward(&input, &Mode::eval())?.flatten_all()?.to_vec1::<f32>()?;
        let probabilities = tallow_metrics::softmax(&logits, k)?;
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        let class = |&i: &usize| Class { label: finished.classes[i].clone(), probability: probabilities[i] };
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

fn tensor_logits(model: &str, classes: Option<usize>, weights: &Path, tensor: &Path, logits: &Path) -> Result<()> {
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
    tallow_export::load_weights(weights, &built.store, true)?;
    let output = built.model.forward(&input.to_dtype(DType::F32)?, &Mode::eval())?.contiguous()?;
    let bytes = safetensors::serialize([("logits", &output)], None)?;
    tallow_export::write_atomically(logits, &bytes)?;
    println!("{}: logits {:?}", logits.display(), output.dims());
    Ok(())
}
