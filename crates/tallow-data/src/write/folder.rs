//! Writes one folder per split with one sub-folder per class, and a manifest with all properties of the samples.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use super::image_file::image_file;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::sources::paths::Split;

/// Writes `train/<class>/000012.png`, … and `manifest.csv`.
pub(super) fn write(splits: &[(Split, &dyn Dataset)], to: &Path) -> Result<()> {
    let names = splits.first().map_or(&[][..], |(_, dataset)| dataset.class_names());
    let folders = folders(names);
    let manifest = to.join("manifest.csv");
    let csv_error = |error: csv::Error| Error::write(&manifest)(std::io::Error::other(error.to_string()));
    let mut lines = csv::Writer::from_path(&manifest).map_err(csv_error)?;

    let all = || splits.iter().flat_map(|(_, dataset)| (0..dataset.len()).map(move |index| (*dataset, index)));
    let several = splits.iter().any(|(_, dataset)| dataset.is_multi_label());
    let soft = !several && all().any(|(dataset, index)| dataset.target(index).is_some());
    let weighted = all().any(|(dataset, index)| dataset.weight(index) != 1.0);
    let grouped = all().any(|(dataset, index)| dataset.group(index).is_some());
    let timed = all().any(|(dataset, index)| dataset.time(index).is_some());
    let mut header = vec!["path".to_owned(), "split".into(), if several { "labels" } else { "label" }.into()];
    let extra = [(weighted, "weight"), (grouped, "group"), (timed, "time")];
    header.extend(extra.iter().filter(|(is, _)| *is).map(|(_, name)| name.to_string()));
    header.extend(names.iter().filter(|_| soft).map(|name| format!("p_{name}")));
    lines.write_record(&header).map_err(csv_error)?;

    for (split, dataset) in splits {
        // Only classes with samples get a folder: reading an empty class folder is an error.
        let mut made = HashSet::new();
        for index in 0..dataset.len() {
            let (bytes, extension) = image_file(*dataset, index, &["jpg", "png", "webp", "bmp", "gif", "tiff"])?;
            let label = dataset.label(index);
            let folder = to.join(split.name()).join(&folders[label]);
            if made.insert(label) {
                fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
            }
            let path = folder.join(format!("{index:08}.{extension}"));
            fs::write(&path, bytes).map_err(Error::write(&path))?;

            let relative = path.strip_prefix(to).unwrap_or(&path).to_string_lossy().into_owned();
            let target = dataset.target(index);
            let label = match (&target, several) {
                (Some(target), true) => {
                    let holds = names.iter().zip(target).filter(|(_, share)| **share > 0.0);
                    holds.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join("|")
                }
                _ => names[label].clone(),
            };
            let mut line = vec![relative, split.name().into(), label];
            if weighted {
                line.push(dataset.weight(index).to_string());
            }
            if grouped {
                line.push(dataset.group(index).map(|group| group.to_string()).unwrap_or_default());
            }
            if timed {
                line.push(dataset.time(index).map(|time| time.to_string()).unwrap_or_default());
            }
            if soft {
                let share = |class: usize| target.as_ref().map(|target| target[class].to_string()).unwrap_or_default();
                line.extend((0..names.len()).map(share));
            }
            lines.write_record(&line).map_err(csv_error)?;
        }
    }
    lines.flush().map_err(Error::write(&manifest))
}

/// A distinct folder name for each class: its name without characters that paths cannot contain.
fn folders(names: &[String]) -> Vec<String> {
    let mut taken = HashSet::new();
    let plain = |name: &String| {
        let bad = |c: char| matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') || c.is_control();
        let name: String = name.chars().map(|c| if bad(c) { '_' } else { c }).collect();
        let name = name.trim_start_matches('.').to_owned();
        if name.is_empty() { "_".to_owned() } else { name }
    };
    let unique = |name: String| {
        let mut candidate = name.clone();
        let mut number = 2;
        while !taken.insert(candidate.to_lowercase()) {
            candidate = format!("{name}_{number}");
            number += 1;
        }
        candidate
    };
    names.iter().map(plain).map(unique).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_folder_of_its_own() {
        let names = ["T-shirt/top", "T-shirt_top", "..", "A", "a", "plain"].map(String::from);
        assert_eq!(folders(&names), ["T-shirt_top", "T-shirt_top_2", "_", "A", "a_2", "plain"]);
    }
}
