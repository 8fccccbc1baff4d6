//! Files that a manifest lists more than once: with other labels, or in another split.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::rows::Row;
use crate::findings::Findings;
use crate::names::{SHOWN, listed};

/// Notes the files that occur more than once.
pub(super) fn note_repeated(rows: &[Row], manifest: &Path, findings: &mut Findings) {
    let mut first: HashMap<PathBuf, usize> = HashMap::with_capacity(rows.len());
    let [mut other_label, mut other_split, mut same] = [const { Vec::new() }; 3];
    let [mut labels, mut splits, mut repeats] = [0; 3];
    for (at, row) in rows.iter().enumerate() {
        let before = &rows[*first.entry(plain(&row.path)).or_insert(at)];
        if std::ptr::eq(before, row) {
            continue;
        }
        let (kind, count) = if before.split != row.split {
            (&mut other_split, &mut splits)
        } else if before.labelling != row.labelling {
            (&mut other_label, &mut labels)
        } else {
            (&mut same, &mut repeats)
        };
        *count += 1;
        if kind.len() < SHOWN {
            kind.push(format!("{} (lines {} and {})", row.path.display(), before.line, row.line));
        }
    }
    let place = manifest.display();
    for (names, count, what) in [
        (other_split, splits, "the same file in two splits, so that the scores of one are too good"),
        (other_label, labels, "the same file with two labels"),
        (same, repeats, "the same file again with the same label"),
    ] {
        if count > 0 {
            findings.note(format!("{place}: {count} times {what}: {}", listed(&names)));
        }
    }
}

/// The path without `.` and with `a/..` removed, so that two ways to write it are equal.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
