//! Whether all files of a numbered set are there: `train-00000-of-00005.parquet`, ….

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::names::listed;
use crate::options::OpenOptions;

/// The largest set that is checked; a damaged name can hold any number.
const MOST: usize = 1 << 20;

/// Refuses a set of numbered files that lacks some, unless `options.allow_missing_files`; notes gaps in names that count
/// without saying how many there are.
pub(crate) fn check_complete(files: &[PathBuf], options: &OpenOptions, findings: &mut Findings) -> Result<()> {
    let mut sets: BTreeMap<Numbered, (BTreeSet<usize>, &Path)> = BTreeMap::new();
    let mut counted: BTreeMap<(PathBuf, String, usize, String), BTreeSet<usize>> = BTreeMap::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some((set, index)) = Numbered::of(path, &name) {
            sets.entry(set).or_insert((BTreeSet::new(), path)).0.insert(index);
        } else if let Some((before, digits, after)) = last_number(&name) {
            let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
            let index = digits.parse().unwrap_or(usize::MAX);
            counted.entry((folder, before.to_owned(), digits.len(), after.to_owned())).or_default().insert(index);
        }
    }
    for (set, (there, path)) in &sets {
        let missing = (0..set.total).filter(|index| !there.contains(index)).map(|index| set.name(index)).collect();
        refuse_missing(path, missing, set.total, options, findings)?;
    }
    for ((_, before, width, after), there) in &counted {
        let (Some(first), Some(last)) = (there.first(), there.last()) else { continue };
        let gaps: Vec<String> = (*first..*last)
            .take(MOST)
            .filter(|index| !there.contains(index))
            .map(|index| format!("{before}{index:0width$}{after}"))
            .collect();
        // A few gaps in a sequence are files that are missing; many are another way to count.
        if !gaps.is_empty() && gaps.len() < there.len() {
            findings.note(format!("the numbers of the files have gaps: {} are not there", listed(&gaps)));
        }
    }
    Ok(())
}

/// Refuses missing files, or notes them if they may be missing.
pub(crate) fn refuse_missing(
    path: &Path,
    missing: Vec<String>,
    total: usize,
    options: &OpenOptions,
    findings: &mut Findings,
) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    if options.allow_missing_files {
        findings.note(format!("{} of {total} files are missing: {}", missing.len(), listed(&missing)));
        return Ok(());
    }
    findings.problem(Error::MissingFiles { path: path.into(), missing, total })
}

/// A set of files named `PREFIX-INDEX-of-TOTALSUFFIX`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Numbered {
    folder: PathBuf,
    prefix: String,
    /// The digits of an index.
    width: usize,
    total: usize,
    /// TOTAL as it is written, and what follows.
    suffix: String,
}

impl Numbered {
    /// The set of a file and its index in it.
    fn of(path: &Path, name: &str) -> Option<(Self, usize)> {
        let (before, rest) = name.split_once("-of-")?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let total = rest[..digits].parse().ok().filter(|total| (1..=MOST).contains(total))?;
        let prefix = before.trim_end_matches(|c: char| c.is_ascii_digit());
        let index = before[prefix.len()..].parse().ok()?;
        let set = Self {
            folder: path.parent().unwrap_or(Path::new("")).to_path_buf(),
            prefix: prefix.into(),
            width: before.len() - prefix.len(),
            total,
            suffix: rest.into(),
        };
        Some((set, index))
    }

    fn name(&self, index: usize) -> String {
        let Self { prefix, width, suffix, .. } = self;
        format!("{prefix}{index:0width$}-of-{suffix}")
    }
}

/// The last number in a name that has leading zeros or several digits, and what is before and behind it.
fn last_number(name: &str) -> Option<(&str, &str, &str)> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = name[..end].trim_end_matches(|c: char| c.is_ascii_digit()).len();
    (end - start > 2).then(|| (&name[..start], &name[start..end], &name[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str], options: &OpenOptions) -> Result<Findings> {
        let files: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        let mut findings = Findings::new(options);
        check_complete(&files, options, &mut findings)?;
        Ok(findings)
    }

    #[test]
    fn missing_files_of_a_numbered_set_are_named() {
        let whole =
            ["d/train-00000-of-00002.parquet", "d/train-00001-of-00002.parquet", "d/test-00000-of-00001.parquet"];
        assert!(check(&whole, &OpenOptions::default()).is_ok());
        let error = check(&whole[1..], &OpenOptions::default()).err().unwrap().to_string();
        assert!(error.contains("1 of 2") && error.contains("train-00000-of-00002.parquet"), "{error}");
        let allowed = OpenOptions { allow_missing_files: true, ..OpenOptions::default() };
        assert!(check(&whole[1..], &allowed).is_ok());
        assert!(check(&["a-1-of-99999999999999.tar", "no-of-numbers.tar"], &OpenOptions::default()).is_ok());
    }

    #[test]
    fn gaps_in_a_sequence_are_noted() {
        let notes = |names: &[&str]| check(names, &OpenOptions::default()).unwrap().notes().to_vec();
        assert!(notes(&["x-000.tar", "x-001.tar", "x-003.tar"])[0].contains("x-002.tar"));
        assert!(notes(&["x-000.tar", "x-001.tar", "y-005.tar", "z-1000.tar"]).is_empty());
        assert!(notes(&["x-000.tar", "x-100.tar"]).is_empty(), "every hundredth");
    }
}
