//! `tallow predict`: classifies images with a run, an ensemble or any weights; computes the logits of a tensor.

mod names;
mod rows;
mod sort;
mod tensor;

use std::io::stdout;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail, ensure};
use tallow_serve::Prediction;

use self::rows::{Format, Rows};
use self::sort::Sorted;
use crate::classifier::ClassifierArgs;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow predict runs/r9 shoe.png --topk 3
  tallow predict runs/r9 photos/ --format jsonl                    # every image below the folder
  tallow predict runs/r9 'photos/**/*.jpg' --format csv > answers.csv
  find photos -name '*.jpg' -newer last | tallow predict runs/r9 - --sort-into sorted
  tallow predict --model resnet18 --weights hf:timm/resnet18.a1_in1k --labels imagenet.txt cat.jpg
  tallow predict --model resnet18 --classes 10 --weights model.safetensors --tensor in.safetensors --logits out.safetensors

Rows come in the order of the images, as soon as they are computed. An image that cannot be read has a row with its error; the
others are answered, and the exit code is 1.")]
pub struct Args {
    /// The directory of a run or an ensemble
    #[arg(value_name = "RUN", required_unless_present = "model")]
    run: Option<PathBuf>,
    /// The images: files, folders with all that is below them, patterns such as 'photos/**/*.jpg', or - for names on stdin
    #[arg(value_name = "IMAGE", required_unless_present_any = ["model", "list"])]
    images: Vec<PathBuf>,
    /// A file with one image, folder or pattern per line; - is stdin
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// The number of classes to print per image
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    topk: u32,
    /// The output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Copy each image into the folder of its most probable class: DIR/CLASS/NAME. DIR must be absent or empty
    #[arg(long, value_name = "DIR")]
    sort_into: Option<PathBuf>,
    #[command(flatten)]
    classifier: ClassifierArgs,
    /// Apply --model to the f32 tensor `input` [n, c, h, w] of this safetensors file instead of images
    #[arg(long, value_name = "FILE", requires_all = ["model", "logits"])]
    tensor: Option<PathBuf>,
    /// The safetensors file for the tensor `logits` [n, k] of --tensor
    #[arg(long, value_name = "FILE", requires = "tensor")]
    logits: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    if let (Some(tensor), Some(logits)) = (&args.tensor, &args.logits) {
        return tensor::tensor_logits(&args.classifier, tensor, logits);
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
    ensure!(!images.is_empty() || args.list.is_some(), "give images to classify");
    if args.sort_into.is_some() && classifier.is_multi_label() {
        bail!("--sort-into: {} gives an image several labels, and a file has one folder", classifier.name());
    }
    let others = Arc::new(AtomicUsize::new(0));
    let names = names::names(images, args.list.as_deref(), others.clone())?;
    let mut sorted = args.sort_into.as_deref().map(Sorted::create).transpose()?;
    let mut rows = Rows::new(stdout().lock(), args.format)?;
    let (mut total, mut failed) = (0usize, 0usize);
    classifier.predict_files(names, |path, told| {
        let name = path.display().to_string();
        total += 1;
        match told {
            Ok(told) => {
                let prediction = Prediction::new(name, classifier.classes(), &told, args.topk as usize);
                rows.row(&prediction.image, Ok(&prediction.classes))?;
                match (&mut sorted, prediction.classes.first()) {
                    (Some(sorted), Some(best)) => sorted.copy(&path, &best.label),
                    _ => Ok(()),
                }
            }
            Err(error) => {
                failed += 1;
                rows.row(&name, Err(&reason(error, &path)))
            }
        }
    })?;
    rows.end()?;
    match others.load(Ordering::Relaxed) {
        0 => {}
        others => eprintln!("note: {others} files are not images by their names and were left out"),
    }
    ensure!(total > 0, "the list names no images");
    match failed {
        0 => Ok(()),
        _ => bail!("{failed} of {total} images could not be classified; their rows say why"),
    }
}

/// An error in one line, without the name of the image, which stands beside it.
fn reason(error: tallow_infer::Error, path: &Path) -> String {
    let text = crate::chain(&error.into());
    let prefix = format!("{}: ", path.display());
    text.strip_prefix(&prefix).unwrap_or(&text).replace('\n', " ")
}
