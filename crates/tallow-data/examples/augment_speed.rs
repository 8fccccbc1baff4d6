//! Images per second on one thread, from JPEG files to normalised pixels as in the loader: the counterpart of
//! fixtures/scripts/augment_peers.py.
//!
//! `cargo run --release -p tallow-data --example augment_speed -- FOLDER` reads names of measurements from standard
//! input and runs each for 0.3 seconds; `list` prints the names. FOLDER holds `jpegs/` and `large/`, which the script
//! makes.

use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use image::DynamicImage;
use tallow_augment::{Normalization, PipelineConfig, rng};
use tallow_data::decode::decode_bytes;

const TRAIN: &str = r#"{ "op": "RandomResizedCrop", "size": 224 }, { "op": "RandomHorizontalFlip" }"#;

/// Name and ops. `resize` starts from decoded images, the others from files.
const PIPELINES: &[(&str, &str)] = &[
    ("resize", r#"{ "op": "Resize", "size": [256, 256] }"#),
    ("evaluation", r#"{ "op": "Resize", "size": 256 }, { "op": "CenterCrop", "size": 224 }"#),
    ("crop, flip", "TRAIN"),
    ("ColorJitter", r#"TRAIN, { "op": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4 }"#),
    ("AutoAugment", r#"TRAIN, { "op": "AutoAugment" }"#),
    ("RandAugment", r#"TRAIN, { "op": "RandAugment" }"#),
    ("timm RandAugment", r#"TRAIN, { "op": "RandAugment", "config": "rand-m9-mstd0.5-inc1" }"#),
    ("TrivialAugmentWide", r#"TRAIN, { "op": "TrivialAugmentWide" }"#),
    ("AugMix", r#"TRAIN, { "op": "AugMix" }"#),
    ("GaussianBlur", r#"TRAIN, { "op": "GaussianBlur", "kernel_size": 9 }"#),
    (
        "RandomAffine",
        r#"TRAIN, { "op": "RandomAffine", "degrees": 15, "translate": [0.1, 0.1], "interpolation": "bilinear" }"#,
    ),
    ("RandomPerspective", r#"TRAIN, { "op": "RandomPerspective", "p": 1 }"#),
    ("large", "TRAIN"),
];

struct Files {
    bytes: Vec<Vec<u8>>,
    decoded: Vec<DynamicImage>,
}

impl Files {
    fn read(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let entries: std::io::Result<Vec<PathBuf>> =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
        let mut paths = entries?;
        paths.sort();
        let bytes: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<Result<_, _>>()?;
        let decoded = bytes.iter().map(|file| decode_bytes(file, folder)).collect::<Result<_, _>>()?;
        Ok(Self { bytes, decoded })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: augment_speed FOLDER")?);
    let (small, large) = (Files::read(&folder.join("jpegs"))?, Files::read(&folder.join("large"))?);
    for line in std::io::stdin().lines() {
        let line = line?;
        if line == "list" {
            let names: Vec<&str> = PIPELINES.iter().map(|(name, _)| *name).collect();
            println!("decode\n{}", names.join("\n"));
            continue;
        }
        let files = if line.starts_with("large") { &large } else { &small };
        println!("{}", measure(&line, files)?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The number of images per second.
fn measure(name: &str, files: &Files) -> Result<f64, Box<dyn Error>> {
    let here = Path::new(name);
    if name == "decode" {
        return Ok(rate(files.bytes.len(), |i| drop(black_box(decode_bytes(&files.bytes[i], here)))));
    }
    let (_, ops) = PIPELINES.iter().find(|(known, _)| *known == name).ok_or_else(|| format!("no `{name}`"))?;
    let config: PipelineConfig = serde_json::from_str(&format!("[{}]", ops.replace("TRAIN", TRAIN)))?;
    let pipeline = config.build(3, &Normalization::imagenet())?;
    let mut out = vec![0.0; pipeline.output_len()];
    let mut epoch = 0;
    Ok(rate(files.bytes.len(), |i| {
        epoch += 1;
        let mut rng = rng::keyed(0, epoch, i as u64, rng::AUGMENT);
        let image = match name {
            "resize" => files.decoded[i].clone(),
            _ => decode_bytes(&files.bytes[i], here).unwrap_or_default(),
        };
        drop(black_box(pipeline.apply(image, &mut rng, &mut out)));
    }))
}

/// The number of calls per second over at least 0.3 seconds. Each call gets the index of a file.
fn rate(files: usize, mut call: impl FnMut(usize)) -> f64 {
    let (start, mut calls) = (seconds(), 0);
    while seconds() - start < 0.3 {
        for _ in 0..8 {
            call(calls % files);
            calls += 1;
        }
    }
    calls as f64 / (seconds() - start)
}

/// The processor time of this thread, which does not depend on other load.
fn seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns: f64 = text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(f64::NAN);
    ns / 1e9
}
