//! `tallow augment`: draws augmented samples of a dataset as a grid.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use image::{DynamicImage, RgbImage, imageops};
use serde_json::{Value, json};
use tallow_augment::{Normalization, Pipeline, PipelineConfig, rng};
use tallow_data::OpenOptions;

use crate::output::make_parent;

/// Pixels between pictures.
const GAP: u32 = 4;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow augment photos --policy rand-m9-mstd0.5-inc1 --out grid.png
  tallow augment cifar10 --policy AutoAugment-cifar10 --size 64
  tallow augment photos --policy pipeline.toml      # ops = [{ op = \"RandomPerspective\", p = 1.0 }]")]
pub struct Args {
    /// A dataset's name, a folder with a sub-folder for each class, or a CSV manifest
    #[arg(value_name = "DATA", default_value = "fashion-mnist-6k")]
    spec: String,
    /// An op (RandAugment, AugMix, GaussianBlur, …), AutoAugment-NAME, a timm config string, or a TOML file with `ops`
    #[arg(long, value_name = "NAME|FILE")]
    policy: String,
    /// The image file to write
    #[arg(long, value_name = "FILE", default_value = "grid.png")]
    out: PathBuf,
    /// The number of samples (rows)
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    samples: u32,
    /// Augmented versions of each sample (columns after the original)
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    draws: u32,
    /// The side of each image in pixels
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=1024))]
    size: u32,
    /// The seed of the augmentation
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The folder with the files of a named dataset
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<()> {
    let options = OpenOptions { data_dir: args.data_dir, ..OpenOptions::default() };
    let dataset = tallow_data::open(&args.spec, &options)?.train;
    let shown = pipeline(json!([{ "op": "Resize", "size": args.size }, { "op": "CenterCrop", "size": args.size }]))?;
    let policy = policy(&args.policy, args.size)?;

    let (side, columns) = (args.size + GAP, args.draws + 1);
    let rows = args.samples.min(u32::try_from(dataset.len()).unwrap_or(u32::MAX));
    let mut grid = RgbImage::from_pixel(columns * side + GAP, rows * side + GAP, image::Rgb([255; 3]));
    for row in 0..rows {
        // Spread over the dataset, so that a sorted one shows several classes.
        let index = (dataset.len() * row as usize / rows as usize + args.seed as usize) % dataset.len();
        let sample = dataset.image(index)?;
        for column in 0..columns {
            let mut rng = rng::keyed(args.seed, column.into(), index as u64, rng::AUGMENT);
            let picture = if column == 0 { &shown } else { &policy }.preview(sample.clone(), &mut rng)?;
            let picture = fitted(picture, args.size);
            let (left, top) = (column * side + GAP, row * side + GAP);
            imageops::replace(&mut grid, &picture, left.into(), top.into());
        }
    }
    make_parent(&args.out)?;
    grid.save(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    println!("{rows} samples, each with {} draws of {}: {}", args.draws, args.policy, args.out.display());
    Ok(())
}

/// The pipeline of a named policy on images of one size, or the one in a file.
fn policy(text: &str, size: u32) -> Result<Pipeline> {
    if Path::new(text).extension().is_some_and(|extension| extension == "toml") {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            ops: PipelineConfig,
        }
        let content = std::fs::read_to_string(text).with_context(|| format!("cannot read {text}"))?;
        let file: File = toml::from_str(&content).with_context(|| format!("{text}: expected `ops = [...]`"))?;
        return file.ops.build(3, &Normalization::imagenet()).with_context(|| text.to_owned());
    }
    let op = match text.split_once('-') {
        Some(("rand", _)) => json!({ "op": "RandAugment", "config": text }),
        Some(("AutoAugment", name)) => json!({ "op": "AutoAugment", "policy": name }),
        Some(_) => bail!(
            "`{text}` is neither an op, AutoAugment-NAME, a string such as rand-m9-mstd0.5-inc1, nor a .toml file"
        ),
        None => parameters(text),
    };
    pipeline(json!([{ "op": "Resize", "size": size }, { "op": "CenterCrop", "size": size }, op]))
}

/// An op by its name alone, with what it has no default for, and always applied unless it is itself a matter of chance.
fn parameters(name: &str) -> Value {
    let mut op = json!({ "op": name, "p": 1.0 });
    let more = match name {
        "RandomPosterize" => json!({ "bits": 3 }),
        "RandomSolarize" => json!({ "threshold": 128 }),
        "RandomAdjustSharpness" => json!({ "sharpness_factor": 4 }),
        "GaussianBlur" => json!({ "kernel_size": 9, "sigma": [0.5, 4.0] }),
        "JPEG" => json!({ "quality": [3, 30] }),
        "RandomRotation" => json!({ "degrees": 45, "interpolation": "bilinear" }),
        "RandomAffine" => json!({
            "degrees": 20, "translate": [0.1, 0.1], "scale": [0.7, 1.3], "shear": 15, "interpolation": "bilinear"
        }),
        "PoissonNoise" => json!({ "peak": 24 }),
        "ColorJitter" => json!({ "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1 }),
        _ => json!({}),
    };
    if let (Some(op), Value::Object(more)) = (op.as_object_mut(), more) {
        op.extend(more);
    }
    op
}

fn pipeline(ops: Value) -> Result<Pipeline> {
    let config: PipelineConfig = serde_json::from_value(ops)?;
    Ok(config.build(3, &Normalization::imagenet())?)
}

/// A picture of another size, scaled into the square.
fn fitted(picture: DynamicImage, size: u32) -> RgbImage {
    let same = picture.width() == size && picture.height() == size;
    if same { picture.into_rgb8() } else { picture.resize(size, size, imageops::FilterType::Triangle).into_rgb8() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_named_makes_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pipeline.toml");
        std::fs::write(&file, "ops = [{ op = \"RandomResizedCrop\", size = 20 }, { op = \"GridMask\" }]").unwrap();
        for name in [
            "RandAugment",
            "RandomAffine",
            "AutoAugment-svhn",
            "rand-m9-mstd0.5-inc1",
            "GaussianBlur",
            file.to_str().unwrap(),
        ] {
            let pipeline = policy(name, 24).unwrap();
            let picture = pipeline.preview(DynamicImage::new_rgb8(40, 30), &mut rng::keyed(0, 0, 0, 0)).unwrap();
            assert_eq!(fitted(picture, 24).dimensions(), (24, 24), "{name}");
        }
        assert!(policy("RandAugmnt", 24).unwrap_err().to_string().contains("did you mean `RandAugment`"));
        assert!(policy("rand-q", 24).is_err());
    }
}
