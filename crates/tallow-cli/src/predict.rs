//! `tallow predict`: classifies images with a run, an ensemble or any weights; computes the logits of a tensor.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use candle_core::{DType, Device};
use tallow_nn::{Mode, keep_packed_weights};
use tallow_serve::Prediction;

use crate::classifier::ClassifierArgs;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow predict runs/r9 shoe.png --topk 3
  tallow predict runs/r9 photos/*.jpg --format csv
  tallow predict --model resnet18 --weights hf:timm/resnet18.a1_in1k --labels imagenet.txt cat.jpg
  tallow predict --model resnet18 --classes 10 --weights model.safetensors --tensor in.safetensors --logits out.safetensors")]
pub struct Args {
    /// The directory of a run or an ensemble
    #[arg(value_name = "RUN", required_unless_present = "model")]
    run: Option<PathBuf>,
    /// The images to classify
    #[arg(value_name = "IMAGE", required_unless_present = "model")]
    images: Vec<PathBuf>,
    /// The number of classes to print per image
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    topk: u32,
    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    classifier: ClassifierArgs,
    /// Apply --model to the f32 tensor `input` [n, c, h, w] of this safetensors file instead of images
    #[arg(long, value_name = "FILE", requires_all = ["model", "logits"])]
    tensor: Option<PathBuf>,
    /// The safetensors file for the tensor `logits` [n, k] of --tensor
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
    if let (Some(tensor), Some(logits)) = (&args.tensor, &args.logits) {
        return tensor_logits(&args.classifier, tensor, logits);
    }
    let mut images = args.images;
    let classifier = match args.run {
        // Without a run, the first argument is an image as well.
        Some(first) if args.classifier.model.is_some() => {
            images.insert(0, first);
            args.classifier.open(None)?
        }
        run => args.classifier.open(run.as_deref())?,
    };
    ensure!(!images.is_empty(), "give images to classify");
    let _kept = keep_packed_weights();
    let mut predictions = Vec::new();
    for path in &images {
        let said = classifier.probabilities(&[tallow_data::decode::decode_file(path)?]);
        let said = said.with_context(|| path.display().to_string())?;
        let name = path.display().to_string();
        predictions.push(Prediction::new(name, classifier.classes(), &said, args.topk as usize));
    }
    print(&predictions, args.format)
}

fn print(predictions: &[Prediction], format: Format) -> Result<()> {
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(predictions)?),
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(std::io::stdout());
            csv.write_record(["image", "rank", "label", "probability"])?;
            for prediction in predictions {
                for (rank, class) in prediction.classes.iter().enumerate() {
                    let (rank, p) = ((rank + 1).to_string(), format!("{:.6}", class.probability));
                    csv.write_record([&prediction.image, &rank, &class.label, &p])?;
                }
            }
            csv.flush()?;
        }
        Format::Text => {
            for prediction in predictions {
                println!("{}", prediction.image);
                for class in &prediction.classes {
                    println!("  {:6.2} %  {}", 100.0 * class.probability, class.label);
                }
            }
        }
    }
    Ok(())
}

fn tensor_logits(classifier: &ClassifierArgs, tensor: &Path, logits: &Path) -> Result<()> {
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
    let built = classifier.build_for(in_chans, (h, w))?;
    let output = built.model.forward(&input.to_dtype(DType::F32)?, &Mode::eval())?.contiguous()?;
    let bytes = safetensors::serialize([("logits", &output)], None)?;
    tallow_base::write_atomically(logits, &bytes).with_context(|| format!("cannot write {}", logits.display()))?;
    println!("{}: logits {:?}", logits.display(), output.dims());
    Ok(())
}
