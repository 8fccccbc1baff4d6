//! Manifests, CSV or JSON Lines: one line per image, with its path, its label or labels and, optionally, its split,
//! weight, group and time.

mod columns;
mod find_file;
mod part;
mod repeated;
mod rows;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::columns::Columns;
pub(crate) use self::part::{Part, SplitRule};
use self::repeated::note_repeated;
use self::rows::{Labelling, Row, read_rows};
use self::table::Table;
use super::classes::{Classes, Groups, times_of};
use super::files::{Details, ImageFiles};
use super::paths::Split;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::options::OpenOptions;
use crate::splits::Splits;

/// The file name extensions.
pub(crate) const EXTENSIONS: [&str; 4] = ["csv", "tsv", "jsonl", "ndjson"];

/// Reads the manifest. Checks that its images exist, but opens none. Paths are relative to the manifest's folder.
pub(crate) fn read(manifest: &Path, options: &OpenOptions) -> Result<Splits> {
    let part = Part { manifest: manifest.into(), split: SplitRule::Column };
    read_parts(&[part], manifest.parent().unwrap_or(Path::new("")), options)
}

/// Whether the manifest has columns of paths and labels.
pub(crate) fn has_labels(manifest: &Path, options: &OpenOptions) -> bool {
    let columns = |table| Columns::find(&table, manifest, options, &mut Findings::new(options)).map(|_| ());
    Table::read(manifest).and_then(columns).is_ok()
}

/// Reads manifests below `root` as one dataset.
pub(crate) fn read_parts(parts: &[Part], root: &Path, options: &OpenOptions) -> Result<Splits> {
    let mut findings = Findings::new(options);
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for part in parts {
        let (more, of_part) = read_rows(part, root, &mut findings, options)?;
        rows.extend(more);
        columns.extend(of_part);
    }
    let manifest = parts.first().map_or(root, |part| part.manifest.as_path());
    note_repeated(&rows, manifest, &mut findings);
    let of_split = |split| rows.iter().filter(move |row| row.split == split);
    if of_split(Split::Train).next().is_none() {
        return Err(Error::NoImages { path: manifest.into(), expected: "at least one line of the split train" });
    }
    let classes = match &options.classes {
        Some(classes) => Classes::given(classes.clone()),
        None => {
            let of_rows = of_split(Split::Train).flat_map(|row| row.labelling.classes()).cloned();
            let names = of_rows.chain(columns).collect();
            Classes::sorted(names, options.class_order)
        }
    };
    if classes.names.is_empty() {
        return Err(Error::NoImages { path: manifest.into(), expected: "at least one line with a label" });
    }
    // Numbered over all splits, so that a group in two splits has one number.
    let mut names = Groups::default();
    let groups: Vec<Option<usize>> =
        rows.iter().map(|row| row.group.as_deref().map(|name| names.number(name))).collect();
    let times: Vec<String> = rows.iter().filter_map(|row| row.time.clone()).collect();
    let times = times_of(&times).map_err(|row| Error::Manifest {
        path: manifest.into(),
        line: rows[row].line,
        problem: format!("{} must not be empty", options.time_column.as_deref().unwrap_or_default()),
    })?;

    let mut dataset = |split| -> Result<Option<Arc<dyn Dataset>>> {
        let mut files: Vec<(PathBuf, usize)> = Vec::new();
        let mut details = Details::default();
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.split == split) {
            let (label, target) = match label_and_target(row, &classes, manifest) {
                Ok(found) => found,
                Err(error) => {
                    findings.problem(error)?;
                    continue;
                }
            };
            files.push((row.path.clone(), label));
            details.targets.push(target);
            details.weights.push(row.weight);
            details.groups.extend(groups[at]);
            details.times.extend(times.get(at));
        }
        details.multi_label = rows.iter().any(|row| matches!(row.labelling, Labelling::Several(_)));
        details.drop_defaults();
        let class_names = classes.names.clone();
        let dataset = ImageFiles { root: root.into(), class_names, files, details };
        Ok((dataset.len() > 0).then(|| Arc::new(dataset) as Arc<dyn Dataset>))
    };
    let train = dataset(Split::Train)?;
    let train = train.ok_or_else(|| Error::NoImages { path: manifest.into(), expected: "lines of the split train" })?;
    let splits = Splits { validation: dataset(Split::Validation)?, test: dataset(Split::Test)?, ..Splits::of(train) };
    Ok(findings.into_splits(splits))
}

/// A row's label, and its target if the label alone is not enough.
fn label_and_target(row: &Row, classes: &Classes, manifest: &Path) -> Result<(usize, Option<Box<[f32]>>)> {
    let place = || PathBuf::from(format!("{}, line {}", manifest.display(), row.line));
    let label = |name: &str| classes.label(name, &place()).map(|label| label as usize);
    let mut target = vec![0.0; classes.names.len()];
    match &row.labelling {
        Labelling::One(name) => Ok((label(name)?, None)),
        Labelling::Several(names) => {
            let labels = names.iter().map(|name| label(name)).collect::<Result<Vec<usize>>>()?;
            labels.iter().for_each(|label| target[*label] = 1.0);
            Ok((labels.first().copied().unwrap_or(0), Some(target.into())))
        }
        Labelling::Soft { names, shares, name } => {
            for (name, share) in names.iter().zip(shares) {
                if *share > 0.0 {
                    target[label(name)?] = *share;
                }
            }
            // The first of the most likely.
            let most_likely = (0..target.len()).rev().max_by(|a, b| target[*a].total_cmp(&target[*b])).unwrap_or(0);
            let chosen = name.as_ref().map_or(Ok(most_likely), |name| label(name))?;
            Ok((chosen, Some(target.into())))
        }
    }
}
