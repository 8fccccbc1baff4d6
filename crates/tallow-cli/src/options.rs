//! The training options that `train`, `crossval` and `audit --cross-validate` share.

use anyhow::Result;
use tallow_train::Setting;

use crate::columns::{self, Columns};

/// Options that select the data.
#[derive(clap::Args)]
pub struct Source {
    /// A dataset's name (fashion-mnist-6k, fashion-mnist, mnist, cifar10, …), a folder with one sub-folder per class, a CSV
    /// manifest, Parquet files, or WebDataset shards
    #[arg(long, value_name = "SPEC")]
    pub data: Option<String>,
    /// The folder with the files of a named dataset
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    #[arg(long, value_name = "WHAT=COLUMN,…", help = columns::HELP)]
    pub columns: Option<Columns>,
    /// Cache decoded images in this folder for later epochs and runs
    #[arg(long, value_name = "DIR")]
    pub cache: Option<String>,
}

/// Options that select the model, the recipe and the initial weights.
#[derive(clap::Args)]
pub struct Method {
    /// The architecture; `tallow models` lists them
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The recipe: default, fast, strong, finetune, … (docs/train.md), or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    pub recipe: String,
    /// Set a key of the config, such as train.epochs=8; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Pretrained weights: a file (.safetensors, .pth, .bin), a folder, hf:OWNER/REPO[@REVISION], or timm's MODEL.TAG
    #[arg(long, value_name = "hf:REPO|MODEL.TAG|FILE|DIR")]
    pub pretrained: Option<String>,
    /// Match pretrained weights with the model's by order instead of by name
    #[arg(long, requires = "pretrained")]
    pub weights_by_order: bool,
    /// Continue although pretrained tensors are missing, unexpected or of another shape; they are listed
    #[arg(long, requires = "pretrained")]
    pub allow_mismatch: bool,
    /// Freeze parameters: a module (layer1), a pattern (*.bn1), or backbone; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub freeze: Vec<String>,
    /// What to do with images that cannot be read: stop, or skip and list them
    #[arg(long, value_name = "stop|skip", value_parser = ["stop", "skip"], hide_possible_values = true)]
    pub on_corrupt: Option<String>,
}

impl Source {
    /// The flags as settings of the configuration.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = settings([
            ("--data", "data.spec", &self.data),
            ("--data-dir", "data.data_dir", &self.data_dir),
            ("--cache", "data.cache", &self.cache),
        ]);
        settings.extend(self.columns.iter().flat_map(Columns::settings));
        settings
    }
}

impl Method {
    /// The flags as settings of the configuration; `--set` comes last and wins.
    pub fn settings(&self) -> Result<Vec<Setting>> {
        let mut settings = settings([
            ("--model", "model.name", &self.model),
            ("--pretrained", "transfer.pretrained", &self.pretrained),
            ("--on-corrupt", "data.on_corrupt", &self.on_corrupt),
        ]);
        if !self.freeze.is_empty() {
            settings.push(Setting::parse(&format!("transfer.freeze={:?}", self.freeze))?.from_origin("--freeze"));
        }
        for (set, key) in [(self.weights_by_order, "weights_by_order"), (self.allow_mismatch, "allow_mismatch")] {
            if set {
                settings.push(Setting::parse(&format!("transfer.{key}=true"))?);
            }
        }
        for text in &self.set {
            settings.push(set(text)?);
        }
        Ok(settings)
    }
}

/// A `--set` as a setting of the configuration.
pub fn set(text: &str) -> Result<Setting> {
    Ok(Setting::parse(text)?.from_origin(format!("--set {text}")))
}

fn settings<const N: usize>(flags: [(&str, &str, &Option<String>); N]) -> Vec<Setting> {
    flags.into_iter().filter_map(|(flag, key, value)| Some(Setting::string(flag, key, value.as_ref()?))).collect()
}
