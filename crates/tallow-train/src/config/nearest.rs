//! The nearest valid key to a misspelt one.

use toml::{Table, Value};

use super::RunConfig;

/// The dotted key nearest to `key`: among the `valid` keys of its own table `path`, or, where one elsewhere is
/// spelt more alike, that (`epochs` → `train.epochs`).
pub(super) fn nearest_key(key: &str, path: &str, valid: &[&str]) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let here = valid.iter().map(|valid| if path.is_empty() { (*valid).to_owned() } else { format!("{path}.{valid}") });
    let mut elsewhere = Vec::new();
    if let Ok(table) = Table::try_from(RunConfig::default()) {
        leaves("", &table, &mut elsewhere);
    }
    let distance =
        |candidate: &String| tallow_base::nearest::distance(name, candidate.rsplit('.').next().unwrap_or(candidate));
    // The first of equals wins: keys of its own table come first.
    here.chain(elsewhere).min_by_key(distance).unwrap_or_default()
}

fn leaves(prefix: &str, table: &Table, out: &mut Vec<String>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => leaves(&format!("{prefix}{key}."), inner, out),
            _ => out.push(format!("{prefix}{key}")),
        }
    }
}
