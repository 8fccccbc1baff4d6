//! The options that say what is trained: those of `train`, which `crossval` and `audit --cross-validate` take too.

use anyhow::Result;
use tallow_train::Setting;

/// Which samples.
#[derive(clap::Args)]
pub struct Source {
    /// A dataset's name (fashion-mnist-6k, fashion-mnist, mnist, cifar10, …), a folder with a sub-folder for each
    /// class, or a CSV manifest
    #[arg(long, value_name = "SPEC")]
    pub data: Option<String>,
    /// Where a named dataset's files are
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Keep decoded images in files in this folder, for later epochs and runs
    #[arg(long, value_name = "DIR")]
    pub cache: Option<String>,
}

/// Which model, how it is trained, and from where it starts.
#[derive(clap::Args)]
pub struct Method {
    /// The architecture; `tallow models` lists them
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The configuration to start from: default, fast, strong, finetune, … (docs/train.md), or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    pub recipe: String,
    /// Change a key of the configuration, such as train.epochs=8; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Trained weights to start from: a file (.safetensors, .pth, .bin), a folder, hf:OWNER/REPO@REVISION of the
    /// Hub, or timm's MODEL.TAG
    #[arg(long, value_name = "hf:REPO|MODEL.TAG|FILE|DIR")]
    pub pretrained: Option<String>,
    /// Match their tensors with the model's by order instead of name
    #[arg(long, requires = "pretrained")]
    pub weights_by_order: bool,
    /// Report tensors that are missing, unexpected or of another shape instead of stopping
    #[arg(long, requires = "pretrained")]
    pub allow_mismatch: bool,
    /// Leave parameters as they are: a module (layer1), a pattern (*.bn1), or backbone; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub freeze: Vec<String>,
    /// What to do about images that cannot be read: stop, or skip and list them
    #[arg(long, value_name = "stop|skip", value_parser = ["stop", "skip"], hide_possible_values = true)]
    pub on_corrupt: Option<String>,
}

impl Source {
    /// The flags as settings of the configuration.
    pub fn settings(&self) -> Vec<Setting> {
        settings([
            ("--data", "data.spec", &self.data),
            ("--data-dir", "data.data_dir", &self.data_dir),
            ("--cache", "data.cache", &self.cache),
        ])
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
            settings.push(Setting::parse(&format!("transfer.freeze={:?}", self.freeze))?);
        }
        for (set, key) in [(self.weights_by_order, "weights_by_order"), (self.allow_mismatch, "allow_mismatch")] {
            if set {
                settings.push(Setting::parse(&format!("transfer.{key}=true"))?);
            }
        }
        for text in &self.set {
            settings.push(Setting::parse(text)?);
        }
        Ok(settings)
    }
}

fn settings<const N: usize>(flags: [(&str, &str, &Option<String>); N]) -> Vec<Setting> {
    flags.into_iter().filter_map(|(flag, key, value)| Some(Setting::string(flag, key, value.as_ref()?))).collect()
}
