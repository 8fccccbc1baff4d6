//! Images a second on one thread, from JPEG files to normalised pixels, beside fixtures/scripts/augment_speed.py:
//! `cargo run --release -p tallow-augment --example speed -- DIR`.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use image::DynamicImage;
use tallow_augment::{Normalization, PipelineConfig, rng};

const TRAIN: &str = r#"{ "op": "RandomResizedCrop", "size": 224 }, { "op": "RandomHorizontalFlip" }"#;

/// Name, whether decoding is part of it, ops.
const PIPELINES: &[(&str, bool, &str)] = &[
    ("resize to 256×256", false, r#"{ "op": "Resize", "size": [256, 256] }"#),
    ("evaluation", true, r#"{ "op": "Resize", "size": 256 }, { "op": "CenterCrop", "size": 224 }"#),
    ("crop, flip", true, "TRAIN"),
    ("+ ColorJitter", true, r#"TRAIN, { "op": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4 }"#),
    ("+ AutoAugment", true, r#"TRAIN, { "op": "AutoAugment" }"#),
    ("+ RandAugment", true, r#"TRAIN, { "op": "RandAugment" }"#),
    ("+ rand-m9-mstd0.5-inc1", true, r#"TRAIN, { "op": "RandAugment", "config": "rand-m9-mstd0.5-inc1" }"#),
    ("+ TrivialAugmentWide", true, r#"TRAIN, { "op": "TrivialAugmentWide" }"#),
    ("+ AugMix", true, r#"TRAIN, { "op": "AugMix" }"#),
    ("+ GaussianBlur 9", true, r#"TRAIN, { "op": "GaussianBlur", "kernel_size": 9 }"#),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: speed DIR")?;
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    let files: Vec<Vec<u8>> = paths.iter().map(std::fs::read).collect::<std::io::Result<_>>()?;
    let decode = |i: usize| image::load_from_memory(&files[i % files.len()]);
    let decoded: Vec<DynamicImage> = (0..files.len()).map(decode).collect::<Result<_, _>>()?;

    report("decode", |i| drop(black_box(decode(i))));
    for (name, with_decoding, ops) in PIPELINES {
        let config: PipelineConfig = serde_json::from_str(&format!("[{}]", ops.replace("TRAIN", TRAIN)))?;
        let pipeline = config.build(3, &Normalization::imagenet())?;
        let mut out = vec![0.0; pipeline.output_len()];
        report(name, |i| {
            let image = if *with_decoding { decode(i).unwrap_or_default() } else { decoded[i % files.len()].clone() };
            let mut rng = rng::keyed(0, 0, i as u64, rng::AUGMENT);
            drop(black_box(pipeline.apply(image, &mut rng, &mut out)));
        });
    }
    Ok(())
}

/// The best of five rounds of half a second and more.
fn report(name: &str, mut call: impl FnMut(usize)) {
    let mut next = 0;
    let best = (0..5)
        .map(|_| {
            let (start, first) = (Instant::now(), next);
            while start.elapsed().as_secs_f64() < 0.5 {
                for _ in 0..8 {
                    call(next);
                    next += 1;
                }
            }
            (next - first) as f64 / start.elapsed().as_secs_f64()
        })
        .fold(0.0, f64::max);
    println!("{best:8.0} images/s  {name}");
}
