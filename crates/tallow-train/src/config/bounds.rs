//! Upper bounds of all numbers in a config: a slip of some zeros is an error that names its key, not a panic or a machine
//! without memory.

use toml::{Table, Value};

use super::RunConfig;

/// The largest whole number of keys without a row of their own.
const MOST: f64 = 1e9;

/// The largest value of a key. Lower bounds, and what depends on other keys, stand in `RunConfig::first_invalid`.
const BOUNDS: &[(&str, f64)] = &[
    ("data.workers", 1024.0),
    ("data.prefetch", 1024.0),
    ("data.draft", 65536.0),
    ("data.cache_side", 65536.0),
    ("data.sampler.shards", 1e8),
    ("data.split_seed", f64::INFINITY),
    ("train.seed", f64::INFINITY),
    ("train.epochs", 1e6),
    ("train.batch_size", 1e6),
    ("train.eval_batch_size", 1e6),
    ("train.accumulate", 1e6),
    ("train.checkpoint_every_minutes", 1e6),
    ("augment.progressive.stages", 1e6),
];

/// The first dotted key whose number is too large or not finite, and why.
pub(super) fn out_of_bounds(config: &RunConfig) -> Option<(String, String)> {
    // What TOML cannot hold is reported where the config is written.
    let table = Table::try_from(config).ok()?;
    table.iter().find_map(|(key, value)| first(key.clone(), value))
}

fn first(key: String, value: &Value) -> Option<(String, String)> {
    let most = BOUNDS.iter().find(|(known, _)| *known == key).map(|(_, most)| *most);
    let too_large = |most: f64, found: String| Some((key.clone(), format!("expected at most {most}, found {found}")));
    match value {
        Value::Integer(number) if *number as f64 > most.unwrap_or(MOST) => {
            too_large(most.unwrap_or(MOST), number.to_string())
        }
        Value::Float(number) if !number.is_finite() => Some((key, format!("expected a finite number, found {number}"))),
        Value::Float(number) if most.is_some_and(|most| *number > most) => too_large(most?, number.to_string()),
        Value::Array(values) => values.iter().find_map(|value| first(key.clone(), value)),
        Value::Table(table) => table.iter().find_map(|(name, value)| first(format!("{key}.{name}"), value)),
        _ => None,
    }
}
