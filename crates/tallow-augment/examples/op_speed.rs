//! Microseconds per image for each op, on one thread:
//! `cargo run --release -p tallow-augment --example op_speed`.

use std::time::Instant;

use image::DynamicImage;
use tallow_augment::{Image8, Normalization, PipelineConfig, Size, Stage, rng};

const OPS: &[&str] = &[
    r#"{ "op": "Resize", "size": [256, 256] }"#,
    r#"{ "op": "RandomResizedCrop", "size": 224 }"#,
    r#"{ "op": "RandomCrop", "size": 224, "padding": 4 }"#,
    r#"{ "op": "RandomHorizontalFlip", "p": 1 }"#,
    r#"{ "op": "RandomRotation", "degrees": 15 }"#,
    r#"{ "op": "RandomRotation", "degrees": 15, "interpolation": "bilinear" }"#,
    r#"{ "op": "ColorJitter", "brightness": 0.4 }"#,
    r#"{ "op": "ColorJitter", "contrast": 0.4 }"#,
    r#"{ "op": "ColorJitter", "saturation": 0.4 }"#,
    r#"{ "op": "ColorJitter", "hue": 0.1 }"#,
    r#"{ "op": "GaussianNoise" }"#,
    r#"{ "op": "GaussianBlur", "kernel_size": 5 }"#,
    r#"{ "op": "GaussianBlur", "kernel_size": 23 }"#,
    r#"{ "op": "ElasticTransform" }"#,
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pixel = |x: u32, y: u32| image::Rgb([(x / 2) as u8, (y / 2) as u8, ((x * y) >> 6) as u8]);
    let photo = image::RgbImage::from_fn(500, 375, pixel);
    let small = image::RgbImage::from_fn(224, 224, pixel);
    for text in OPS {
        let image: DynamicImage = if text.contains("Resize") { photo.clone().into() } else { small.clone().into() };
        let config: PipelineConfig = serde_json::from_str(&format!("[{text}]"))?;
        for stage in config.stages() {
            let Stage::Pixels(op) = stage else { continue };
            let source = Image8::from_dynamic(image.clone(), 3)?;
            let us = time(|i| drop(op.apply(source.clone(), &mut rng::keyed(0, 0, i, rng::AUGMENT))));
            println!("{us:8.1} µs  {text}");
        }
    }
    let size = Size { height: 224, width: 224 };
    let pipeline = PipelineConfig::default().build_for_input(3, &Normalization::imagenet(), size)?;
    let mut out = vec![0.0; pipeline.output_len()];
    let us = time(|i| drop(pipeline.apply(small.clone().into(), &mut rng::keyed(0, 0, i, rng::AUGMENT), &mut out)));
    println!("{us:8.1} µs  normalise 224×224×3");

    let grey = DynamicImage::ImageLuma8(image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(x * y) as u8])));
    let config: PipelineConfig = serde_json::from_str(
        r#"[{ "op": "RandomCrop", "size": 28, "padding": 2 }, { "op": "RandomHorizontalFlip" }]"#,
    )?;
    let pipeline = config.build(1, &Normalization::identity(1))?;
    let mut out = vec![0.0; pipeline.output_len()];
    let us = time(|i| drop(pipeline.apply(grey.clone(), &mut rng::keyed(0, 0, i, rng::AUGMENT), &mut out)));
    println!("{us:8.2} µs  28×28 grey: RandomCrop, RandomHorizontalFlip, normalise");
    Ok(())
}

/// Microseconds per call, the minimum of fifty rounds (of about 5 ms each), including a copy of the input.
fn time(mut call: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    (0..5).for_each(&mut call);
    let rounds = (0.005 / (start.elapsed().as_secs_f64() / 5.0)).ceil().clamp(1.0, 1e6) as u64;
    let round = |_| {
        let start = Instant::now();
        (0..rounds).for_each(&mut call);
        start.elapsed().as_secs_f64() * 1e6 / rounds as f64
    };
    (0..50).map(round).fold(f64::INFINITY, f64::min)
}
