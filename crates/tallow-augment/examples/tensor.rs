//! Augmented images as a Candle tensor: `cargo run -p tallow-augment --features candle --example tensor -- IMAGE...`.

use std::error::Error;

use candle_core::Device;
use tallow_augment::tensor::to_tensor;
use tallow_augment::{Normalization, PipelineConfig, rng};

fn main() -> Result<(), Box<dyn Error>> {
    let config: PipelineConfig = serde_json::from_str(
        r#"[{ "op": "RandomResizedCrop", "size": 224 }, { "op": "RandAugment", "config": "rand-m9-mstd0.5-inc1" }]"#,
    )?;
    let pipeline = config.build(3, &Normalization::imagenet())?;
    let (height, width, channels) = pipeline.output_shape();
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let mut pixels = vec![0.0; paths.len() * pipeline.output_len()];
    for (sample, (path, out)) in paths.iter().zip(pixels.chunks_exact_mut(pipeline.output_len())).enumerate() {
        pipeline.apply(image::open(path)?, &mut rng::keyed(0, 0, sample as u64, rng::AUGMENT), out)?;
    }
    let tensor = to_tensor(pixels, (paths.len(), height, width, channels), &Device::Cpu)?;
    println!("{:?}, mean {:.4}", tensor.dims(), tensor.mean_all()?.to_scalar::<f32>()?);
    Ok(())
}
