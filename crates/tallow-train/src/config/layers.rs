//! Layers of configuration: defaults, a recipe over them, settings over both.
//!
//! Tables are merged key by key. Where a later layer gives a table another `name` — another optimiser, schedule, loss
//! or model — the keys that earlier layers gave it are dropped: they were meant for the other one.

use std::path::Path;
use std::{fmt, fs};

use tallow_optim::optimizer::OptimCommon;
use tallow_optim::schedule::ScheduleCommon;
use tallow_optim::table::{self, FailureKind};
use tallow_run::RunDir;
use toml::{Table, Value};

use super::bounds::out_of_bounds;
use super::nearest::nearest_key;
use super::{RunConfig, recipes};
use crate::{Error, Result};

/// One setting `key=value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    key: Vec<String>,
    value: Value,
    origin: String,
}

impl Setting {
    /// Reads `key=value`: a dotted key, and a TOML value or a bare string.
    ///
    /// # Errors
    /// No `=`, or an empty part of the key.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || Error::BadSetting { text: text.to_owned() };
        let (key, value) = text.split_once('=').ok_or_else(bad)?;
        let key: Vec<String> = key.split('.').map(|part| part.trim().to_owned()).collect();
        if key.iter().any(String::is_empty) {
            return Err(bad());
        }
        let parsed = toml::from_str::<Table>(&format!("value = {value}")).ok();
        let value = match parsed.and_then(|mut table| table.remove("value").filter(|_| table.is_empty())) {
            Some(value) => value,
            None => number_or_text(value.trim()),
        };
        Ok(Self { key, value, origin: format!("setting {text}") })
    }

    /// A value for a dotted key, which messages call `origin`.
    pub fn value(origin: impl Into<String>, key: &str, value: Value) -> Self {
        Self { key: key.split('.').map(str::to_owned).collect(), value, origin: origin.into() }
    }

    /// The dotted key.
    pub fn key(&self) -> String {
        self.key.join(".")
    }

    /// A string for `key`, which is not read as TOML; messages call it `origin` and the value.
    pub fn string(origin: &str, key: &str, value: &str) -> Self {
        let key = key.split('.').map(str::to_owned).collect();
        Self { key, value: Value::String(value.to_owned()), origin: format!("{origin} {value}") }
    }

    /// The same setting, which messages call `origin`.
    pub fn from_origin(self, origin: impl Into<String>) -> Self {
        Self { origin: origin.into(), ..self }
    }

    /// The tables down to the value.
    fn table(&self) -> Table {
        let nest = |value, key: &String| Value::Table(Table::from_iter([(key.clone(), value)]));
        match self.key.iter().rev().fold(self.value.clone(), nest) {
            Value::Table(table) => table,
            _ => Table::new(),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key(), self.value)
    }
}

/// A value that is not TOML: a bare string, or a whole number that is too large for TOML, of which messages should say so.
fn number_or_text(text: &str) -> Value {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse().ok().filter(|_| is_number) {
        Some(number) => Value::Float(number),
        None => Value::String(text.to_owned()),
    }
}

/// A recipe, by its name or the path of a `.toml` file, under `settings`.
///
/// # Errors
/// No such recipe, not TOML, an unknown key (the nearest is named), a value of the wrong type or out of range.
pub fn load(recipe: &str, settings: &[Setting]) -> Result<RunConfig> {
    let (origin, text) = match recipes::RECIPES.iter().find(|known| known.name == recipe) {
        Some(known) => (format!("recipe {}", known.name), known.text.to_owned()),
        None if recipe.ends_with(".toml") => {
            let text = fs::read_to_string(recipe).map_err(tallow_run::Error::io(recipe, "read this recipe"))?;
            (recipe.to_owned(), text)
        }
        None => {
            let valid: Vec<_> = recipes::RECIPES.iter().map(|known| known.name).collect();
            return Err(Error::UnknownRecipe { name: recipe.to_owned(), valid: valid.join(", ") });
        }
    };
    layered(&origin, &text, settings)
}

/// The config file of a run, under `settings`.
///
/// # Errors
/// As [`load`].
pub fn read(path: &Path, settings: &[Setting]) -> Result<RunConfig> {
    let text = fs::read_to_string(path).map_err(tallow_run::Error::io(path, "read this config"))?;
    layered(&path.display().to_string(), &text, settings)
}

impl RunConfig {
    /// The config of the run in `dir`, under `settings`.
    ///
    /// # Errors
    /// As [`read`].
    pub fn of_run(dir: &RunDir, settings: &[Setting]) -> Result<Self> {
        read(&dir.config_path(), settings)
    }
}

fn layered(origin: &str, text: &str, settings: &[Setting]) -> Result<RunConfig> {
    let not_toml = |error: toml::de::Error| Error::NotToml { origin: origin.to_owned(), message: error.to_string() };
    let file: Table = toml::from_str(text).map_err(not_toml)?;
    // All settings are one layer, so that their order does not matter.
    let mut set = Table::new();
    for setting in settings {
        merge(&mut set, setting.table(), &mut |_, _| {});
    }
    let mut merged = defaults()?;
    for layer in [&file, &set] {
        merge(&mut merged, layer.clone(), &mut drop_on_rename);
    }
    let origin_of = |key: &str| {
        let under = |s: &&Setting| {
            let set = s.key();
            key == set || key.starts_with(&format!("{set}.")) || set.starts_with(&format!("{key}."))
        };
        match settings.iter().rev().find(under) {
            Some(setting) => setting.origin.clone(),
            None if holds(&file, key) => origin.to_owned(),
            None => "defaults".to_owned(),
        }
    };
    let config: RunConfig = table::from_table(merged).map_err(|failure| explain(failure, &origin_of))?;
    let invalid = config.first_invalid().map(|(key, expected)| (key, format!("expected {expected}")));
    match invalid.or_else(|| out_of_bounds(&config)) {
        None => Ok(config),
        Some((key, reason)) => Err(Error::BadValue { origin: origin_of(&key), key, reason }),
    }
}

/// The default config as a table. Without the model's own defaults: which of them apply is the model's affair.
fn defaults() -> Result<Table> {
    let mut table =
        Table::try_from(RunConfig::default()).map_err(tallow_run::Error::serialize("the default config"))?;
    if let Some(Value::Table(model)) = table.get_mut("model") {
        model.retain(|key, _| key == "name");
    }
    Ok(table)
}

fn merge(base: &mut Table, layer: Table, before: &mut impl FnMut(&mut Table, &Table)) {
    before(base, &layer);
    for (key, value) in layer {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(layer)) => merge(base, layer, before),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn drop_on_rename(base: &mut Table, layer: &Table) {
    if let (Some(before), Some(after)) = (base.get("name"), layer.get("name"))
        && before != after
    {
        base.clear();
    }
}

fn holds(table: &Table, key: &str) -> bool {
    let mut parts = key.split('.');
    let first = parts.next().and_then(|part| table.get(part));
    parts
        .try_fold(first, |value, part| match value {
            Some(Value::Table(table)) => Some(table.get(part)),
            // An index into an array: the array is what was written.
            Some(_) => Some(value),
            None => None,
        })
        .flatten()
        .is_some()
}

fn explain(failure: table::Failure, origin_of: &impl Fn(&str) -> String) -> Error {
    let path = failure.path();
    match failure.kind {
        FailureKind::UnknownKey { key, valid } => {
            let mut valid = valid.to_vec();
            match path.as_str() {
                "model" => valid.insert(0, "name"),
                "optim" => valid.extend(OptimCommon::KEYS),
                "schedule" => valid.extend(ScheduleCommon::KEYS),
                _ => {}
            }
            let key = if path.is_empty() { key } else { format!("{path}.{key}") };
            let nearest = nearest_key(&key, &path, &valid);
            Error::UnknownKey { origin: origin_of(&key), key, nearest, valid: valid.join(", ") }
        }
        FailureKind::Other(reason) => {
            // Of a table in two parts the message begins with the rest of the key.
            let is_key = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
            let (key, reason) = match reason.split_once(": ") {
                Some((rest, reason)) if is_key(rest) => (format!("{path}.{rest}"), reason.to_owned()),
                _ => (path, reason),
            };
            Error::BadValue { origin: origin_of(&key), key, reason }
        }
    }
}
