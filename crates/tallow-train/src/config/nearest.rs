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
    let distance = |candidate: &String| edit_distance(name, candidate.rsplit('.').next().unwrap_or(candidate));
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

/// Levenshtein distance: insertions, deletions and substitutions that turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
