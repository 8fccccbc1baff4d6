//! Our half of `fixtures/scripts/timm_roundtrip.py` and `timm_preprocessing.py`, which exchange checkpoints with timm.
//!
//!     timm_roundtrip write FOLDER         a random resnet18, and tensors.safetensors: images, and our logits
//!     timm_roundtrip read FOLDER          a checkpoint, and `images` in tensors.safetensors → logits.safetensors
//!     timm_roundtrip preprocess FOLDER    image.png → for each of several evaluation pipelines NAME/config.json and the pixels
//!                                         that it makes of the image, NAME/pixels.safetensors

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor, safetensors};
use tallow_augment::{Normalization, PipelineConfig, Preprocessing, Size, rng};
use tallow_export::{CheckpointInfo, open, save, save_state};
use tallow_models::{ModelConfig, build};
use tallow_nn::Mode;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", folder] => write(Path::new(folder)),
        ["read", folder] => read(Path::new(folder)),
        ["preprocess", folder] => preprocess(Path::new(folder)),
        _ => bail!("usage: timm_roundtrip write|read|preprocess FOLDER"),
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

/// Evaluation pipelines by name; the last three are more than timm's fields can describe.
const PIPELINES: [(&str, &str); 10] = [
    ("default", r#"[{"op": "Resize", "size": 256}, {"op": "CenterCrop", "size": 224}]"#),
    ("bicubic", r#"[{"op": "Resize", "size": 235, "interpolation": "bicubic"}, {"op": "CenterCrop", "size": 224}]"#),
    ("lanczos", r#"[{"op": "Resize", "size": 101, "interpolation": "lanczos"}, {"op": "CenterCrop", "size": 97}]"#),
    ("nearest", r#"[{"op": "Resize", "size": 64, "interpolation": "nearest"}, {"op": "CenterCrop", "size": 64}]"#),
    ("larger_crop", r#"[{"op": "Resize", "size": 60}, {"op": "CenterCrop", "size": 64}]"#),
    ("squash", r#"[{"op": "Resize", "size": [28, 28]}]"#),
    ("squash_cropped", r#"[{"op": "Resize", "size": [80, 120]}, {"op": "CenterCrop", "size": [72, 108]}]"#),
    ("pad", r#"[{"op": "ResizePad", "size": 64, "fill": [124, 116, 104]}]"#),
    ("not_square", r#"[{"op": "Resize", "size": 64}, {"op": "CenterCrop", "size": [56, 112]}]"#),
    ("mirrored", r#"[{"op": "Resize", "size": [28, 28]}, {"op": "RandomHorizontalFlip", "p": 1.0}]"#),
];

fn preprocess(folder: &Path) -> Result<()> {
    let image = image::open(folder.join("image.png"))?;
    let size = Size { height: image.height() as usize, width: image.width() as usize };
    let config = ModelConfig { input_size: (32, 32), ..ModelConfig::default() };
    let mut info = CheckpointInfo::new(&build("resnet18", &config, 0, &Device::Cpu)?.info, Vec::new());
    for (name, ops) in PIPELINES {
        let ops: PipelineConfig = serde_json::from_str(ops)?;
        info.preprocessing = Preprocessing::from_pipeline(&ops, &Normalization::imagenet(), size)?;
        let pipeline = info.preprocessing.pipeline()?;
        let mut pixels = vec![0f32; pipeline.output_len()];
        pipeline.apply(image.clone(), &mut rng::keyed(0, 0, 0, rng::AUGMENT), &mut pixels)?;
        let folder = folder.join(name);
        save_state(&folder, Vec::new(), &info)?;
        let pixels = Tensor::from_vec(pixels, pipeline.output_shape(), &Device::Cpu)?;
        safetensors::save(&HashMap::from([("pixels", pixels)]), folder.join("pixels.safetensors"))?;
    }
    Ok(())
}
