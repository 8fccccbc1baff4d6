//! Our half of `fixtures/scripts/timm_roundtrip.py`, which exchanges checkpoints with timm.
//!
//!     timm_roundtrip write FOLDER    a random resnet18, and tensors.safetensors: images, and our logits
//!     timm_roundtrip read FOLDER     a checkpoint, and `images` in tensors.safetensors → logits.safetensors

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor, safetensors};
use tallow_export::{CheckpointInfo, open, save};
use tallow_models::{ModelConfig, build};
use tallow_nn::Mode;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", folder] => write(Path::new(folder)),
        ["read", folder] => read(Path::new(folder)),
        _ => bail!("usage: timm_roundtrip write|read FOLDER"),
    }
}

fn write(folder: &Path) -> Result<()> {
    let config = ModelConfig {
        num_classes: 10,
        in_chans: 1,
        input_size: (64, 64),
        zero_init_last: Some(false),
        ..ModelConfig::default()
    };
    let built = build("resnet18", &config, 1, &Device::Cpu)?;
    let images = Tensor::randn(0f32, 1f32, (4, 1, 64, 64), &Device::Cpu)?;
    // Passes in training mode, for running statistics worth comparing.
    for step in 0..3 {
        built.model.forward(&(&images + f64::from(step))?, &Mode::train(0, step as u64))?;
    }
    let logits = built.model.forward(&images, &Mode::eval())?;
    let mut info = CheckpointInfo::new(&built.info, (0..10).map(|i| format!("class {i}")).collect());
    info.num_batches_tracked = 3;
    save(folder, &built.store, &info)?;
    let tensors = HashMap::from([("images", images), ("logits", logits)]);
    safetensors::save(&tensors, folder.join("tensors.safetensors"))?;
    Ok(())
}

fn read(folder: &Path) -> Result<()> {
    let (built, info) = open(folder, &Device::Cpu)?;
    println!("{info:?}");
    let tensors = safetensors::load(folder.join("tensors.safetensors"), &Device::Cpu)?;
    let images = tensors.get("images").context("tensors.safetensors holds no `images`")?;
    let logits = built.model.forward(images, &Mode::eval())?;
    safetensors::save(&HashMap::from([("logits", logits)]), folder.join("logits.safetensors"))?;
    Ok(())
}
