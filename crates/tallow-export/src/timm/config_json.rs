//! `config.json` in timm's layout, written and read.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tallow_augment::{CropMode, Interpolation, Normalization, PipelineConfig, Preprocessing, Size};
use tallow_models::{ModelConfig, Preset};

use super::info::{CheckpointInfo, decimal};
use super::transformers::{self, Described, is_transformers};
use crate::error::{Error, Result};
use crate::excerpt::excerpt;

/// The name of the description in a checkpoint's folder.
pub const CONFIG_FILE: &str = "config.json";

impl CheckpointInfo {
    /// The layout of timm's `save_for_hf`. Options that timm has no argument for stand under `tallow`, which timm ignores.
    pub(crate) fn to_json(&self) -> Value {
        let Preprocessing { size, interpolation, crop_pct, crop_mode, normalization, ops } = &self.preprocessing;
        let pretrained_cfg = json!({
            "custom_load": false,
            "input_size": [self.model.in_chans, size.height, size.width],
            // If true, timm builds the model for `input_size` instead of its own default.
            "fixed_input_size": tallow_models::find(&self.architecture).is_ok_and(|preset| preset.fixed_input_size),
            "interpolation": interpolation,
            "crop_pct": crop_pct,
            "crop_mode": crop_mode,
            "mean": shortest(&normalization.mean),
            "std": shortest(&normalization.std),
            "num_classes": self.model.num_classes,
            "first_conv": self.first_conv,
            "classifier": self.classifier,
        });
        let mut config = json!({
            "architecture": self.architecture,
            "num_classes": self.model.num_classes,
            "num_features": self.num_features,
            "global_pool": self.global_pool,
        });
        if !self.label_names.is_empty() {
            config["label_names"] = json!(self.label_names);
        }
        config["model_args"] = json!({ "in_chans": self.model.in_chans, "num_classes": self.model.num_classes });
        config["pretrained_cfg"] = pretrained_cfg;
        config["tallow"] = json!(Extension {
            model: self.model.clone(),
            num_batches_tracked: self.num_batches_tracked,
            preprocessing: ops.clone(),
        });
        config
    }
}

fn shortest(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(decimal).collect()
}

/// The fields under `tallow`, for which timm's layout has no place.
#[derive(Serialize, Deserialize)]
struct Extension {
    model: ModelConfig,
    #[serde(default)]
    num_batches_tracked: i64,
    /// The evaluation ops, where timm's fields cannot describe them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    preprocessing: Option<PipelineConfig>,
}

/// The fields of a `config.json`, timm's or ours, that are read.
#[derive(Deserialize)]
struct TimmConfig {
    architecture: String,
    num_classes: Option<usize>,
    #[serde(default)]
    label_names: Vec<String>,
    #[serde(default)]
    model_args: Option<Map<String, Value>>,
    #[serde(default)]
    pretrained_cfg: PretrainedCfg,
    tallow: Option<Extension>,
}

#[derive(Deserialize, Default)]
struct PretrainedCfg {
    input_size: Option<(usize, usize, usize)>,
    num_classes: Option<usize>,
    interpolation: Option<String>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
}

impl PretrainedCfg {
    /// The preprocessing of timm's fields; those that are absent have timm's defaults.
    fn preprocessing(&self, path: &Path, channels: usize, (height, width): (usize, usize)) -> Result<Preprocessing> {
        let interpolation = self.interpolation.as_deref().unwrap_or("bicubic");
        let Some(interpolation) = Interpolation::from_name(interpolation) else {
            let expected = Interpolation::ALL.map(|(name, _)| name).join(", ");
            return Err(refused(path, "pretrained_cfg.interpolation".into(), &expected, interpolation));
        };
        let crop_mode = match self.crop_mode.as_deref() {
            Some("squash") => CropMode::Squash,
            Some("border") => CropMode::Border,
            // As timm: any other mode is the default.
            _ => CropMode::Center,
        };
        let imagenet = Normalization::imagenet();
        let normalization = Normalization {
            mean: self.mean.clone().unwrap_or(imagenet.mean),
            std: self.std.clone().unwrap_or(imagenet.std),
        };
        for (field, values) in [("mean", &normalization.mean), ("std", &normalization.std)] {
            if values.is_empty() {
                return Err(refused(path, format!("pretrained_cfg.{field}"), "one number a channel", "empty"));
            }
        }
        Ok(Preprocessing {
            size: Size { height, width },
            interpolation,
            crop_pct: self.crop_pct.filter(|pct| *pct > 0.0).unwrap_or(Preprocessing::DEFAULT_CROP_PCT),
            crop_mode,
            normalization: normalization.for_channels(channels),
            ops: None,
        })
    }
}

/// Reads the `config.json` of a checkpoint's folder: timm's, ours, or that of Transformers for a ViT, ResNet or ConvNeXt.
/// Preprocessing is that of `tallow.preprocessing` if there is one, else that of timm's fields, or of Transformers'
/// `preprocessor_config.json` beside it.
///
/// # Errors
/// The file is absent or is not such a config; an architecture, an argument or an interpolation that is not supported.
pub fn read_config(dir: &Path) -> Result<CheckpointInfo> {
    let path = dir.join(CONFIG_FILE);
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let json = |source| Error::Json { path: path.clone(), source };
    let config: Value = serde_json::from_slice(&bytes).map_err(json)?;
    if is_transformers(&config) {
        let Described { architecture, model, label_names, preprocessing } = transformers::read(&path, config)?;
        return described(&path, architecture, model, label_names, preprocessing, 0);
    }
    let config: TimmConfig = serde_json::from_value(config).map_err(json)?;
    let preset = tallow_models::find(&excerpt(&config.architecture))
        .map_err(|source| Error::Model { path: path.clone(), source })?;
    let cfg = &config.pretrained_cfg;
    let (model, num_batches_tracked, ops) = match config.tallow {
        Some(Extension { model, num_batches_tracked, preprocessing }) => (model, num_batches_tracked, preprocessing),
        None => {
            let (c, h, w) = cfg.input_size.unwrap_or((preset.in_chans, preset.input_size.0, preset.input_size.1));
            let mut model = preset.config();
            model.in_chans = c;
            model.input_size = (h, w);
            let num_classes = config.num_classes.or(cfg.num_classes);
            model.num_classes = num_classes.unwrap_or(preset.num_classes);
            for (key, value) in config.model_args.iter().flatten() {
                set_argument(&path, &mut model, preset, key, value)?;
            }
            (model, 0, None)
        }
    };
    // A convolutional network may be evaluated on images of another size than it was built for.
    let size = cfg.input_size.map_or(model.input_size, |(_, h, w)| (h, w));
    let preprocessing = Preprocessing { ops, ..cfg.preprocessing(&path, model.in_chans, size)? };
    if preprocessing.ops.is_some()
        && let Err(error) = preprocessing.pipeline()
    {
        let expected = format!("ops that make images of {}", preprocessing.size);
        return Err(refused(&path, "tallow.preprocessing".into(), &expected, &error.to_string()));
    }
    described(&path, preset.name, model, config.label_names, preprocessing, num_batches_tracked)
}

fn described(
    path: &Path,
    architecture: &str,
    model: ModelConfig,
    label_names: Vec<String>,
    preprocessing: Preprocessing,
    num_batches_tracked: i64,
) -> Result<CheckpointInfo> {
    let model_error = |source| Error::Model { path: path.to_path_buf(), source };
    let preset = tallow_models::find(architecture).map_err(model_error)?;
    model.check(preset).map_err(model_error)?;
    let labels = label_names.len();
    if labels != 0 && labels != model.num_classes {
        let expected = format!("{} names, one a class", model.num_classes);
        return Err(refused(path, "label_names".into(), &expected, &format!("{labels} names")));
    }
    Ok(CheckpointInfo {
        num_features: tallow_models::num_features(architecture, &model).map_err(model_error)?,
        architecture: architecture.to_owned(),
        model,
        global_pool: preset.global_pool.to_string(),
        first_conv: preset.first_conv.to_string(),
        classifier: preset.classifier.to_string(),
        label_names,
        preprocessing,
        num_batches_tracked,
    })
}

/// Sets the option that one of timm's constructor arguments stands for.
fn set_argument(path: &Path, model: &mut ModelConfig, preset: &Preset, key: &str, value: &Value) -> Result<()> {
    let wrong = |expected: &str| refused(path, format!("model_args.{key}"), expected, &value.to_string());
    let count = || value.as_u64().map(|v| v as usize).ok_or_else(|| wrong("a whole number"));
    let rate = || value.as_f64().map(|v| v as f32).ok_or_else(|| wrong("a number"));
    match key {
        "in_chans" => model.in_chans = count()?,
        "num_classes" => model.num_classes = count()?,
        "drop_rate" => model.drop_rate = rate()?,
        "drop_path_rate" => model.drop_path_rate = rate()?,
        "drop_block_rate" => model.drop_block_rate = rate()?,
        "zero_init_last" => model.zero_init_last = Some(value.as_bool().ok_or_else(|| wrong("true or false"))?),
        "global_pool" if value == preset.global_pool => {}
        "global_pool" => return Err(wrong(preset.global_pool)),
        _ => {
            return Err(wrong("no such argument: it changes the network in a way that is not supported"));
        }
    }
    Ok(())
}

fn refused(path: &Path, field: String, expected: &str, found: &str) -> Error {
    Error::Config {
        path: path.to_path_buf(),
        field: excerpt(&field),
        expected: expected.to_string(),
        found: excerpt(found),
    }
}
