//! The nearest valid key to a misspelt one.

use tallow_base::nearest::{distance, is_near};
use toml::{Table, Value};

use super::RunConfig;

/// The dotted key nearest to `key`: among the `valid` keys of its own table `path`, or, where one elsewhere is
/// spelt more alike, that (`epochs` → `train.epochs`). `None` if none is spelt alike.
pub(super) fn nearest_key(key: &str, path: &str, valid: &[&str]) -> Option<String> {
    let name = key.rsplit('.').next().unwrap_or(key);
    let here = valid.iter().map(|valid| if path.is_empty() { (*valid).to_owned() } else { format!("{path}.{valid}") });
    let last = |candidate: &str| candidate.rsplit('.').next().unwrap_or(candidate).to_owned();
    // The first of equals wins: keys of its own table come first.
    let nearest = here.chain(keys()).min_by_key(|candidate| distance(name, &last(candidate)))?;
    is_near(name, &last(&nearest)).then_some(nearest)
}

/// The dotted keys of a config that are called `name`, `-` and `_` being equal; if there are none, the nearest.
pub fn keys_named(name: &str) -> Vec<String> {
    let same: Vec<String> =
        keys().into_iter().filter(|key| distance(name, key.rsplit('.').next().unwrap_or(key)) == 0).collect();
    if same.is_empty() { nearest_key(name, "", &[]).into_iter().collect() } else { same }
}

/// All dotted keys of a config: of the default optimiser, loss and schedule, and those that are absent by default.
fn keys() -> Vec<String> {
    let mut keys = Vec::new();
    if let Ok(table) = Table::try_from(RunConfig::default()) {
        leaves("", &table, &mut keys);
    }
    keys.extend(ABSENT.iter().map(|key| (*key).to_owned()));
    keys
}

/// Keys that a default config does not show, as users look for them.
const ABSENT: &[&str] = &[
    "model.width",
    "model.depth",
    "model.input_size",
    "model.num_classes",
    "model.in_chans",
    "data.data_dir",
    "data.cache",
    "data.split_seed",
    "data.group_column",
    "data.image_column",
    "data.label_column",
    "transfer.pretrained",
    "transfer.unfreeze_after_epochs",
    "augment.train",
    "augment.eval",
    "augment.tta",
    "augment.mix.mixup_alpha",
    "augment.mix.cutmix_alpha",
    "augment.mean",
    "augment.std",
    "loss.class_weights",
    "distill.teacher",
    "train.clip_norm",
    "train.clip_value",
    "train.ema_decay",
];

fn leaves(prefix: &str, table: &Table, out: &mut Vec<String>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => leaves(&format!("{prefix}{key}."), inner, out),
            _ => out.push(format!("{prefix}{key}")),
        }
    }
}
