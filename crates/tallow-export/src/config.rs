//! `config.json` in timm's layout: what a model is, and what its weights expect of images.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tallow_models::{ModelConfig, ModelInfo};

use crate::checkpoint::CONFIG_FILE;
use crate::error::{Error, Result};

/// What stands in `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointInfo {
    /// The architecture's name: `resnet18`.
    pub architecture: String,
    /// What it was built with.
    pub model: ModelConfig,
    /// Channels that the classifier sees.
    pub num_features: usize,
    /// How they are pooled: `avg` or `max`.
    pub global_pool: String,
    /// The module of the first convolution.
    pub first_conv: String,
    /// The module of the classifier.
    pub classifier: String,
    /// One a class, in the order of the logits; empty if not known.
    pub label_names: Vec<String>,
    /// What is done to an image before the model sees it.
    pub preprocessing: Preprocessing,
    /// Training batches seen: the value of every `num_batches_tracked`.
    pub num_batches_tracked: i64,
}

/// From an image to the model's input, as timm evaluates: resize the short side to size / `crop_pct`,
/// crop the centre, normalise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preprocessing {
    /// `bilinear`, `bicubic`, …
    pub interpolation: String,
    /// Fraction of the resized image that the crop keeps.
    pub crop_pct: f32,
    /// `center`, `squash` or `border`.
    pub crop_mode: String,
    /// Mean per channel, in units of pixel/255.
    pub mean: Vec<f32>,
    /// Standard deviation per channel, in units of pixel/255.
    pub std: Vec<f32>,
}

impl Default for Preprocessing {
    /// timm's defaults.
    fn default() -> Self {
        Preprocessing {
            interpolation: "bicubic".to_string(),
            crop_pct: 0.875,
            crop_mode: "center".to_string(),
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }
    }
}

impl CheckpointInfo {
    /// Of a model with its preset's preprocessing; where that is for another number of channels, its
    /// mean over channels, as timm does.
    pub fn new(info: &ModelInfo, label_names: Vec<String>) -> Self {
        let preset = &info.preset;
        let channels = info.config.in_chans;
        CheckpointInfo {
            architecture: preset.name.to_string(),
            model: info.config.clone(),
            num_features: info.num_features,
            global_pool: preset.global_pool.to_string(),
            first_conv: preset.first_conv.to_string(),
            classifier: preset.classifier.to_string(),
            label_names,
            preprocessing: Preprocessing {
                interpolation: preset.interpolation.to_string(),
                crop_pct: preset.crop_pct,
                crop_mode: "center".to_string(),
                mean: per_channel(preset.mean, channels),
                std: per_channel(preset.std, channels),
            },
            num_batches_tracked: 0,
        }
    }

    /// As timm's `save_for_hf` lays it out. What timm has no argument for stands under `tallow`, which
    /// timm passes over.
    pub(crate) fn to_json(&self) -> Value {
        let (h, w) = self.model.input_size;
        let mut pretrained_cfg = json!({
            "custom_load": false,
            "input_size": [self.model.in_chans, h, w],
            // timm then builds the model for `input_size`, not for its own default.
            "fixed_input_size": tallow_models::find(&self.architecture).is_ok_and(|preset| preset.fixed_input_size),
        });
        let preprocessing = serde_json::to_value(&self.preprocessing).unwrap_or_default();
        if let (Value::Object(cfg), Value::Object(preprocessing)) = (&mut pretrained_cfg, preprocessing) {
            cfg.extend(preprocessing.into_iter().map(|(key, value)| (key, shortest(value))));
            cfg.insert("num_classes".into(), self.model.num_classes.into());
            cfg.insert("first_conv".into(), self.first_conv.as_str().into());
            cfg.insert("classifier".into(), self.classifier.as_str().into());
        }
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
        config["tallow"] =
            json!(Extension { model: self.model.clone(), num_batches_tracked: self.num_batches_tracked });
        config
    }
}

/// One value a channel: the given ones, or their mean for each.
fn per_channel(values: &[f32], channels: usize) -> Vec<f32> {
    match values.len() {
        n if n == channels => values.to_vec(),
        n => vec![values.iter().sum::<f32>() / n as f32; channels],
    }
}

/// f32 numbers as people write them: 0.485, not 0.48500001430511475.
fn shortest(value: Value) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(shortest).collect(),
        Value::Number(number) => {
            let short = number.as_f64().and_then(|v| (v as f32).to_string().parse::<f64>().ok());
            short.map_or(Value::Number(number), Value::from)
        }
        other => other,
    }
}

/// What timm's layout has no room for.
#[derive(Serialize, Deserialize)]
struct Extension {
    model: ModelConfig,
    #[serde(default)]
    num_batches_tracked: i64,
}

/// `config.json` as written by timm or by us: the fields that are used, others passed over.
#[derive(Deserialize)]
struct TimmConfig {
    architecture: String,
    num_classes: Option<usize>,
    #[serde(default)]
    label_names: Vec<String>,
    #[serde(default)]
    model_args: Map<String, Value>,
    #[serde(default)]
    pretrained_cfg: PretrainedCfg,
    tallow: Option<Extension>,
}

#[derive(Deserialize, Default)]
struct PretrainedCfg {
    input_size: Option<(usize, usize, usize)>,
    num_classes: Option<usize>,
    #[serde(flatten)]
    preprocessing: Preprocessing,
}

/// Reads the `config.json` of a checkpoint's folder, written by us or by timm.
///
/// # Errors
/// The file is absent, is not such a config, or asks for an architecture or an argument that is not
/// known here.
pub fn read_config(dir: &Path) -> Result<CheckpointInfo> {
    let path = dir.join(CONFIG_FILE);
    let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
    let config: TimmConfig =
        serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.clone(), source })?;
    let preset =
        tallow_models::find(&config.architecture).map_err(|source| Error::Model { path: path.clone(), source })?;
    let num_batches_tracked = config.tallow.as_ref().map_or(0, |extension| extension.num_batches_tracked);
    let model = match config.tallow {
        Some(extension) => extension.model,
        None => {
            let (c, h, w) =
                config.pretrained_cfg.input_size.unwrap_or((preset.in_chans, preset.input_size.0, preset.input_size.1));
            let mut model = preset.config();
            model.in_chans = c;
            model.input_size = (h, w);
            let num_classes = config.num_classes.or(config.pretrained_cfg.num_classes);
            model.num_classes = num_classes.unwrap_or(preset.num_classes);
            for (key, value) in &config.model_args {
                honour(&path, &mut model, preset, key, value)?;
            }
            model
        }
    };
    model.check(preset).map_err(|source| Error::Model { path: path.clone(), source })?;
    let mut preprocessing = config.pretrained_cfg.preprocessing;
    for (field, values) in [("mean", &mut preprocessing.mean), ("std", &mut preprocessing.std)] {
        if values.is_empty() {
            return Err(refused(&path, format!("pretrained_cfg.{field}"), "one number a channel", "empty"));
        }
        *values = per_channel(values, model.in_chans);
    }
    let labels = config.label_names.len();
    if labels != 0 && labels != model.num_classes {
        let expected = format!("{} names, one a class", model.num_classes);
        return Err(refused(&path, "label_names".into(), &expected, &format!("{labels} names")));
    }
    Ok(CheckpointInfo {
        num_features: tallow_models::num_features(&config.architecture, &model)
            .map_err(|source| Error::Model { path: path.clone(), source })?,
        architecture: config.architecture,
        model,
        global_pool: preset.global_pool.to_string(),
        first_conv: preset.first_conv.to_string(),
        classifier: preset.classifier.to_string(),
        label_names: config.label_names,
        preprocessing,
        num_batches_tracked,
    })
}

/// Carries one of timm's constructor arguments over into our configuration.
fn honour(
    path: &Path,
    model: &mut ModelConfig,
    preset: &tallow_models::Preset,
    key: &str,
    value: &Value,
) -> Result<()> {
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
            return Err(wrong("absent: this argument changes the network in a way that is not supported here"));
        }
    }
    Ok(())
}

fn refused(path: &Path, field: String, expected: &str, found: &str) -> Error {
    Error::Config { path: path.to_path_buf(), field, expected: expected.to_string(), found: found.to_string() }
}
