//! The settings that a run may change when it continues: one table, in which every key of the config stands.
//!
//! A setting that decides what the weights, the optimiser's state or the position mean is refused by name. Others may change;
//! the run directory keeps the history at the head of `config.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::{Table, Value};

use crate::position::Position;
use crate::{Error, Result, RunConfig};

/// A setting that differs from the one that the run was begun with.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The dotted key.
    pub key: String,
    /// The value so far, as TOML.
    pub before: String,
    /// The value from here on.
    pub after: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} (was {})", self.key, self.after, self.before)
    }
}

impl Change {
    /// Whether it may change the learning rate.
    pub(crate) fn moves_lr(&self) -> bool {
        let of = |prefix: &str| self.key.starts_with(prefix);
        ["optim.", "schedule", "train.epochs", "train.batch", "train.accumulate"].into_iter().any(of)
    }
}

/// Whether a run may change a setting when it continues.
#[derive(Debug, Clone, Copy, PartialEq)]
enum OnResume {
    MayChange,
    Stays,
}
use OnResume::{MayChange, Stays};

/// The keys, by what becomes of them and why. A key stands for all keys below it, unless they stand in the table themselves.
const KEYS: &[(OnResume, &str, &[&str])] = &[
    (
        MayChange,
        "speed, memory and files, never results",
        &[
            "data.workers",
            "data.prefetch",
            "data.cache",
            "model.checkpoint_activations",
            "transfer.cache_features",
            "train.eval_batch_size",
            "train.checkpoint_every_steps",
            "train.checkpoint_every_minutes",
            "train.snapshots",
        ],
    ),
    (
        MayChange,
        "a place; the samples are compared with split.csv",
        &["data.spec", "data.data_dir", "data.on_corrupt", "distill.teacher"],
    ),
    (
        MayChange,
        "the schedule follows from the position, counted in epochs",
        &["schedule", "train.epochs", "train.batch_size", "train.batch_growth", "train.accumulate"],
    ),
    (
        MayChange,
        "an update of the weights, without a state",
        &[
            "optim.lr",
            "optim.weight_decay",
            "optim.no_decay_on_norm_and_bias",
            "optim.layer_decay",
            "optim.head_lr_scale",
            "optim.l1",
            "optim.sam",
            "optim.momentum",
            "optim.nesterov",
            "optim.decoupled",
            "optim.betas",
            "optim.eps",
            "optim.alpha",
            "optim.lr_decay",
            "optim.lr_in_momentum",
            "optim.max_grad_norm",
            "optim.momentum_decay",
            "optim.no_prox",
            "optim.ns_steps",
            "optim.adjust_lr",
            "optim.fallback_lr_scale",
            "optim.trust_clip",
            "optim.trust_coeff",
            "optim.always_adapt",
            "train.precision",
            "train.clip_norm",
            "train.clip_value",
            "train.clip_agc",
            "train.r_drop",
            "train.orthogonal",
            "train.max_norm",
            "train.early_stopping.patience",
            "model.drop_rate",
            "model.drop_path_rate",
            "model.drop_block_rate",
            "augment.tta",
        ],
    ),
    (Stays, "it decides what the weights mean", &["model"]),
    (
        Stays,
        "it decides which samples there are, and in which order",
        &[
            "data.validation_fraction",
            "data.fold",
            "data.split_seed",
            "data.group_column",
            "data.time_column",
            "data.image_column",
            "data.label_column",
            "data.label_separator",
            "data.split_column",
            "data.weight_column",
            "data.folder_layout",
            "data.allow_missing_files",
            "data.stream",
            "data.samples_per_epoch",
            "data.class_order",
            "data.multi_label",
            "data.sampler",
            "train.seed",
            "train.drop_last",
        ],
    ),
    (
        Stays,
        "it decides what an image is to the model",
        &["data.draft", "data.cache_side", "data.bit_depth", "data.background", "augment"],
    ),
    (
        Stays,
        "the optimiser's state and the averages belong to it",
        &[
            "optim.name",
            "optim.lookahead",
            "optim.centered",
            "optim.initial_accumulator_value",
            "train.ema_decay",
            "train.ema_warmup",
            "train.swa_epochs",
            "train.keep_zeros",
        ],
    ),
    (
        Stays,
        "losses and scores before and after could not be compared",
        &["loss", "distill.kind", "distill.temperature", "distill.alpha", "train.early_stopping.metric"],
    ),
    (
        Stays,
        "it has had its effect at the start",
        &[
            "transfer.pretrained",
            "transfer.weights_by_order",
            "transfer.allow_mismatch",
            "transfer.freeze",
            "transfer.unfreeze_after_epochs",
        ],
    ),
];

/// What becomes of a key, and why: of the longest key in the table that is the key or stands above it.
fn rule(key: &str) -> Option<(OnResume, &'static str)> {
    let covers = |known: &str| key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let rows = KEYS.iter().flat_map(|(rule, why, keys)| keys.iter().map(move |known| (*known, (*rule, *why))));
    rows.filter(|(known, _)| covers(known)).max_by_key(|(known, _)| known.len()).map(|(_, rule)| rule)
}

/// The settings in which `after` differs from `before`, the config of the run in `dir`.
///
/// # Errors
/// [`Error::CannotChange`], which names all keys that must stay as they are.
pub fn changes(dir: &Path, before: &RunConfig, after: &RunConfig) -> Result<Vec<Change>> {
    let (before, after) = (leaves(before)?, leaves(after)?);
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    let show = |value: Option<&Value>| value.map_or("none".to_owned(), Value::to_string);
    let changed = keys.filter(|key| before.get(*key) != after.get(*key)).map(|key| Change {
        key: key.clone(),
        before: show(before.get(key)),
        after: show(after.get(key)),
    });
    let changed: Vec<Change> = changed.collect();
    // With another name, the other keys of the table belong to something else.
    let of_renamed = |change: &Change| {
        changed
            .iter()
            .filter_map(|other| Some((other, other.key.strip_suffix("name")?)))
            .any(|(other, table)| other != change && change.key.starts_with(table))
    };
    let refusal = |change: &Change| {
        let (rule, why) = rule(&change.key).unwrap_or((Stays, "it decides what the run is"));
        (rule == Stays && !of_renamed(change)).then(|| format!("{change}: {why}"))
    };
    let refused: Vec<String> = changed.iter().filter_map(refusal).collect();
    match refused.is_empty() {
        true => Ok(changed),
        false => Err(Error::CannotChange { path: dir.to_owned(), changes: refused.join("; ") }),
    }
}

/// The line of the history for changes at a position.
pub(crate) fn changed_at(position: &Position, changes: &[Change]) -> String {
    let changes: Vec<String> = changes.iter().map(Change::to_string).collect();
    format!("in epoch {}, after step {}: {}", position.epoch + 1, position.step, changes.join("; "))
}

/// The values of a config by their dotted keys.
fn leaves(config: &RunConfig) -> Result<BTreeMap<String, Value>> {
    fn add(leaves: &mut BTreeMap<String, Value>, prefix: &str, table: Table) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(table) => add(leaves, &key, table),
                value => {
                    leaves.insert(key, value);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    add(&mut found, "", Table::try_from(config).map_err(tallow_run::Error::serialize("config.toml"))?);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Setting, load};

    fn config(settings: &[&str]) -> RunConfig {
        let settings: Vec<Setting> = settings.iter().map(|text| Setting::parse(text).expect(text)).collect();
        load("default", &settings).expect("a config")
    }

    #[test]
    fn settings_that_may_change_are_listed_and_others_refused_by_name() -> Result<()> {
        let (dir, before) = (Path::new("runs/a"), config(&[]));
        assert_eq!(changes(dir, &before, &before)?, []);
        let after = config(&["train.epochs=30", "optim.lr=0.01", "data.workers=4", "schedule.name=constant"]);
        let said: Vec<String> = changes(dir, &before, &after)?.iter().map(Change::to_string).collect();
        let epochs = format!("train.epochs = 30 (was {})", before.train.epochs);
        assert!(said.contains(&epochs) && said.contains(&"data.workers = 4 (was 1)".to_owned()), "{said:?}");
        for (set, key) in [
            ("model.name=resnet18", "model.name"),
            ("optim.name=adamw", "optim.name"),
            ("train.seed=1", "train.seed"),
            ("data.sampler=class_balanced", "data.sampler"),
            ("augment.mix={ mixup_alpha = 0.2 }", "augment.mix.mixup_alpha"),
            ("train.ema_decay=0.9", "train.ema_decay"),
            ("loss.label_smoothing=0.3", "loss.label_smoothing"),
        ] {
            let refused = changes(dir, &before, &config(&[set, "train.epochs=30"]));
            let Err(Error::CannotChange { changes, .. }) = &refused else { panic!("{set}: {refused:?}") };
            assert!(changes.contains(&format!("{key} = ")) && !changes.contains("train.epochs"), "{set}: {changes}");
        }
        // Another optimiser is one reason, not one for each of its keys.
        let refused = changes(dir, &before, &config(&["optim.name=rmsprop"])).expect_err("another optimiser");
        assert_eq!(refused.to_string().matches("(was").count(), 1, "{refused}");
        Ok(())
    }

    /// The dotted keys below a part of the JSON schema.
    fn keys(root: &serde_json::Value, part: &serde_json::Value, prefix: &str, found: &mut Vec<String>) {
        if let Some(name) = part["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
            return keys(root, root.pointer(name).expect(name), prefix, found);
        }
        for variants in ["allOf", "anyOf", "oneOf"] {
            part[variants].as_array().into_iter().flatten().for_each(|variant| keys(root, variant, prefix, found));
        }
        for (key, value) in part["properties"].as_object().into_iter().flatten() {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            let before = found.len();
            keys(root, value, &key, found);
            if found.len() == before {
                found.push(key);
            }
        }
    }

    #[test]
    fn every_key_of_the_config_stands_in_the_table() {
        let schema = include_str!("../../../docs/config.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).expect("the schema");
        let mut found = Vec::new();
        keys(&schema, &schema, "", &mut found);
        assert!(found.len() > 150 && found.contains(&"train.early_stopping.patience".to_owned()), "{found:?}");
        let missing: Vec<_> = found.iter().filter(|key| rule(key).is_none()).collect();
        assert!(missing.is_empty(), "tallow-train/src/resume.rs: may these change on resuming? {missing:?}");
        // And the other way round: the table names no key that is gone.
        for known in KEYS.iter().flat_map(|(_, _, keys)| keys.iter()) {
            let below = format!("{known}.");
            assert!(found.iter().any(|key| key == known || key.starts_with(&below)), "there is no key {known}");
        }
    }
}
