//! Augments every image of a folder into another folder:
//! `cargo run -p tallow-augment --example offline -- IN OUT [PIPELINE.toml]`.
//!
//! PIPELINE.toml holds `ops = [{ op = "RandomResizedCrop", size = 224 }, …]`. Four variants of each image are written.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tallow_augment::{Normalization, PipelineConfig, rng};

const VARIANTS: u64 = 4;

const DEFAULT: &str = r#"
ops = [
    { op = "RandomResizedCrop", size = 224, scale = [0.3, 1.0] },
    { op = "RandomHorizontalFlip" },
    { op = "RandomRotation", degrees = 15, interpolation = "bilinear" },
    { op = "RandAugment", config = "rand-m9-mstd0.5-inc1" },
    { op = "JPEG", quality = [30, 90], p = 0.3 },
    { op = "RandomErasing", p = 0.25 },
]
"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    ops: PipelineConfig,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, config) = match arguments.as_slice() {
        [input, output] => (input, output, DEFAULT.to_string()),
        [input, output, config] => (input, output, std::fs::read_to_string(config)?),
        _ => return Err("usage: offline IN OUT [PIPELINE.toml]".into()),
    };
    let file: File = toml::from_str(&config)?;
    let pipeline = file.ops.build(3, &Normalization::imagenet())?;

    std::fs::create_dir_all(output)?;
    let entries = std::fs::read_dir(input).map_err(|error| format!("cannot read {input}: {error}"))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    let mut written = 0;
    for (sample, path) in paths.iter().enumerate().filter(|(_, path)| path.is_file()) {
        let image = match image::open(path) {
            Ok(image) => image,
            Err(error) => {
                eprintln!("left out: {}: {error}", path.display());
                continue;
            }
        };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        for epoch in 0..VARIANTS {
            let mut rng = rng::keyed(0, epoch, sample as u64, rng::AUGMENT);
            let target = Path::new(output).join(format!("{stem}-{epoch}.png"));
            pipeline.preview(image.clone(), &mut rng)?.save(&target)?;
            written += 1;
        }
    }
    println!("{written} images of {:?} (height, width, channels) in {output}", pipeline.output_shape());
    Ok(())
}
