//! The training options that `train`, `crossval` and `audit --cross-validate` share.

use std::str::FromStr;

use anyhow::{Result, bail};
use tallow_train::{RunConfig, Setting, load, suited};
use toml::Value;

use crate::batch_size::BatchSize;
use crate::program;

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
    /// The recipe: default, photos, fast, strong, finetune, … (docs/train.md), or a TOML file [default: photos for images of
    /// more than 64 pixels a side if there is no --model, else default]
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// Set a key of the config, such as train.accumulate=4; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The number of epochs
    #[arg(long, value_name = "N")]
    pub epochs: Option<String>,
    /// The learning rate
    #[arg(long, value_name = "LR")]
    pub lr: Option<String>,
    /// The batch size; for train also auto: measure a few steps at each power of two and take the smallest of the fastest
    #[arg(long, value_name = "N|auto")]
    pub batch_size: Option<BatchSize>,
    /// The size of the images, a side or HEIGHTxWIDTH, in training and evaluation
    #[arg(long, value_name = "SIDE|HxW")]
    pub image_size: Option<ImageSize>,
    /// The seed of all random numbers
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// Threads that decode and augment images
    #[arg(long, value_name = "N")]
    pub workers: Option<String>,
    /// The number format of training steps: f32 or bf16
    #[arg(long, value_name = "FORMAT")]
    pub precision: Option<String>,
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

/// The argument of `--image-size`: height and width.
#[derive(Debug, Clone, Copy)]
pub struct ImageSize(u32, u32);

impl FromStr for ImageSize {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let side = |text: &str| text.trim().parse().ok().filter(|side: &u32| *side > 0);
        let sides = match text.split_once(['x', 'X', '×']) {
            Some((height, width)) => side(height).zip(side(width)),
            None => side(text).map(|side| (side, side)),
        };
        let (height, width) = sides.ok_or("expected a side such as 224, or HEIGHTxWIDTH such as 64x96")?;
        Ok(Self(height, width))
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
        for (flag, key, value) in [
            ("--epochs", "train.epochs", &self.epochs),
            ("--lr", "optim.lr", &self.lr),
            ("--seed", "train.seed", &self.seed),
            ("--workers", "data.workers", &self.workers),
            ("--precision", "train.precision", &self.precision),
        ] {
            if let Some(value) = value {
                settings.push(Setting::parse(&format!("{key}={value}"))?.from_origin(format!("{flag} {value}")));
            }
        }
        if let Some(BatchSize::Of(samples)) = &self.batch_size {
            let setting = Setting::parse(&format!("train.batch_size={samples}"))?;
            settings.push(setting.from_origin(format!("--batch-size {samples}")));
        }
        if let Some(ImageSize(height, width)) = self.image_size {
            let sides = [height, width].map(|side| Value::Integer(side.into()));
            let origin = format!("--image-size {height}x{width}");
            settings.push(Setting::value(origin, "model.input_size", Value::Array(sides.into())));
        }
        if !self.freeze.is_empty() {
            settings.push(Setting::parse(&format!("transfer.freeze={:?}", self.freeze))?.from_origin("--freeze"));
        }
        for (set, flag, key) in [
            (self.weights_by_order, "--weights-by-order", "weights_by_order"),
            (self.allow_mismatch, "--allow-mismatch", "allow_mismatch"),
        ] {
            if set {
                settings.push(Setting::value(flag, &format!("transfer.{key}"), Value::Boolean(true)));
            }
        }
        for text in &self.set {
            settings.push(set(text)?);
        }
        Ok(settings)
    }

    /// Whether no option is given.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.recipe.is_none() && self.batch_size.is_none() && self.settings()?.is_empty())
    }

    /// The configuration of a new run: the recipe under `settings`. Without a recipe, an architecture or weights, the images
    /// choose the recipe, and `say` gets a line about it.
    pub fn load(&self, settings: &[Setting], say: impl FnOnce(&str)) -> Result<RunConfig> {
        let has = |keys: &[&str]| settings.iter().any(|setting| keys.contains(&setting.key().as_str()));
        let default = "default";
        if self.recipe.is_some() || has(&["model.name", "transfer.pretrained"]) || !has(&["data.spec"]) {
            return Ok(load(self.recipe.as_deref().unwrap_or(default), settings)?);
        }
        let config = load(default, settings)?;
        let suited = suited(&tallow_data::open(&config.data.spec, &config.open_options(None))?)?;
        let mut said = suited.why;
        let kept: Vec<Setting> = suited.settings.into_iter().filter(|setting| !has(&[&setting.key()])).collect();
        kept.iter().for_each(|setting| said += &format!(", {setting}"));
        say(&format!("{said}; --recipe, --model and --image-size choose others"));
        Ok(load(suited.recipe, &[kept.as_slice(), settings].concat())?)
    }

    /// Fails for `--batch-size auto`, which only a new run of `train` can have.
    pub fn refuse_auto(&self) -> Result<()> {
        match self.batch_size {
            Some(BatchSize::Auto) => {
                bail!("--batch-size auto chooses for a new run of {} train: give a number", program::name())
            }
            _ => Ok(()),
        }
    }
}

/// A `--set` as a setting of the configuration.
pub fn set(text: &str) -> Result<Setting> {
    Ok(Setting::parse(text)?.from_origin(format!("--set {text}")))
}

fn settings<const N: usize>(flags: [(&str, &str, &Option<String>); N]) -> Vec<Setting> {
    flags.into_iter().filter_map(|(flag, key, value)| Some(Setting::string(flag, key, value.as_ref()?))).collect()
}
