//! The members of an ensemble: runs, snapshots of a run, or the folds of a cross-validation that answer as one.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tallow_data::Dataset;
use tallow_metrics::logit;

use super::combine::{average, uniform};
use crate::{Error, Finished, Predictions, Result, RunDir};

/// The out-of-fold predictions in the folder of a cross-validation.
const OOF: &str = "oof.csv";
/// What its folds' folders begin with.
const FOLD: &str = "fold-";

/// What has one voice in an ensemble.
pub struct Member {
    /// What it is called in tables and below `members/`.
    pub name: String,
    /// Where it came from.
    pub source: PathBuf,
    /// One run, or the folds of a cross-validation, the mean of whose probabilities counts.
    pub runs: Vec<Finished>,
    /// The out-of-fold predictions of a cross-validation.
    pub oof: Option<PathBuf>,
    /// The column, in each run's probabilities, of each class of the ensemble.
    columns: Vec<Vec<usize>>,
}

impl Member {
    /// A member of runs that all know the ensemble's `classes`, in whatever order.
    ///
    /// # Errors
    /// A run with other classes.
    pub fn new(name: String, source: PathBuf, runs: Vec<Finished>, classes: &[String]) -> Result<Self> {
        let columns = runs.iter().map(|run| columns(classes, &run.classes, run.run.path())).collect::<Result<_>>()?;
        Ok(Self { name, source, runs, oof: None, columns })
    }

    /// Whether several classes can hold at once for what it was trained on.
    pub fn is_multi_label(&self) -> bool {
        self.runs.iter().any(|run| run.config.data.multi_label)
    }

    /// What the member says of every sample of a dataset whose classes are the ensemble's: the mean of its runs'
    /// probabilities, as logits.
    ///
    /// # Errors
    /// Those of its runs.
    pub fn predictions(&self, dataset: &Arc<dyn Dataset>) -> Result<Predictions> {
        let mut first: Option<Predictions> = None;
        let mut tables = Vec::new();
        for (run, columns) in self.runs.iter().zip(&self.columns) {
            let predictions = run.predictions(dataset.clone())?;
            let table = predictions.probabilities()?;
            tables.push(table.chunks_exact(columns.len()).flat_map(|row| columns.iter().map(|at| row[*at])).collect());
            same_samples(first.get_or_insert(predictions.clone()), &predictions, run.run.path())?;
        }
        let mut predictions = first.unwrap_or_default();
        let mean = average(&tables, &uniform(tables.len()));
        predictions.logits = if predictions.is_multi_label() { logit(&mean) } else { logarithms(mean) };
        Ok(predictions)
    }

    /// The column, in each run's probabilities, of each class of the ensemble.
    pub(crate) fn columns(&self) -> &[Vec<usize>] {
        &self.columns
    }

    /// Whether every run has its classes in the ensemble's order.
    pub fn in_order(&self) -> bool {
        self.columns.iter().all(|columns| columns.iter().copied().eq(0..columns.len()))
    }
}

/// Opens runs, their snapshots if asked for, and folders of cross-validations, under names of their own.
///
/// # Errors
/// Fewer than two; one twice; no run; a run without snapshots where they are asked for; other classes than the first's.
pub fn open_all(paths: &[PathBuf], snapshots: bool) -> Result<Vec<Member>> {
    let mut members: Vec<Member> = Vec::new();
    let (mut seen, mut names) = (HashSet::new(), HashSet::new());
    for path in paths {
        if !seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())) {
            return Err(member_error(path, "given twice: a member counts once, --method weighted finds weights"));
        }
        let classes = members.first().map(|member| member.runs[0].classes.clone());
        for mut member in open(path, snapshots, classes)? {
            let numbered = (2..).map(|n| format!("{}-{n}", member.name));
            let name = std::iter::once(member.name.clone()).chain(numbered).find(|name| !names.contains(name));
            member.name = name.unwrap_or_default();
            names.insert(member.name.clone());
            members.push(member);
        }
    }
    if members.len() < 2 {
        let found = members.first().map_or(String::new(), |member| format!(": {}", member.source.display()));
        return Err(Error::Mismatch(format!(
            "an ensemble needs two members, found {}{found}; give more runs, or --snapshots for those of one run",
            members.len()
        )));
    }
    check_kind(&members)?;
    Ok(members)
}

/// That all members give a sample one label, or all several.
pub(super) fn check_kind(members: &[Member]) -> Result<()> {
    let runs = || members.iter().flat_map(|member| &member.runs);
    let several = runs().next().is_some_and(|run| run.config.data.multi_label);
    match runs().find(|run| run.config.data.multi_label != several) {
        None => Ok(()),
        Some(run) => {
            let (here, first) = if several { ("one label", "several") } else { ("several labels", "one") };
            let reason = format!("it gives a sample {here}, the first member {first}: they cannot answer together");
            Err(member_error(run.run.path(), &reason))
        }
    }
}

fn open(path: &Path, snapshots: bool, classes: Option<Vec<String>>) -> Result<Vec<Member>> {
    let name = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let member = |name: String, runs: Vec<Finished>| {
        let classes = classes.clone().unwrap_or_else(|| runs.first().map_or(Vec::new(), |run| run.classes.clone()));
        Member::new(name, path.to_owned(), runs, &classes)
    };
    let folds = folds(path);
    if !folds.is_empty() {
        if snapshots {
            return Err(member_error(path, "a cross-validation has no snapshots: leave --snapshots out"));
        }
        let mut member = member(name, folds.iter().map(|fold| Finished::open(fold)).collect::<Result<_>>()?)?;
        member.oof = Some(path.join(OOF)).filter(|path| path.is_file());
        return Ok(vec![member]);
    }
    if !snapshots {
        return Ok(vec![member(name, vec![Finished::open(path)?])?]);
    }
    let run = RunDir::open(path)?;
    let found = run.snapshots();
    if found.is_empty() {
        let reason = "it has no snapshots: train with --set train.snapshots=true --set schedule.name=cosine_restarts";
        return Err(member_error(path, reason));
    }
    let open = |(at, weights): (usize, &PathBuf)| {
        member(format!("{name}-{}", at + 1), vec![Finished::with_weights(run.clone(), weights)?])
    };
    found.iter().enumerate().map(open).collect()
}

/// The folders of a cross-validation's folds, in order.
fn folds(path: &Path) -> Vec<PathBuf> {
    let numbers = |path: &PathBuf| -> Option<Vec<u64>> {
        let rest = path.file_name()?.to_str()?.strip_prefix(FOLD)?;
        path.is_dir().then(|| rest.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect())
    };
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folds: Vec<(Vec<u64>, PathBuf)> = entries.filter_map(|path| Some((numbers(&path)?, path))).collect();
    folds.sort();
    folds.into_iter().map(|(_, path)| path).collect()
}

/// Where each of `classes` stands among `theirs`.
///
/// # Errors
/// A class that only one of them has.
fn columns(classes: &[String], theirs: &[String], path: &Path) -> Result<Vec<usize>> {
    let without =
        |a: &[String], b: &[String]| -> Vec<String> { a.iter().filter(|c| !b.contains(c)).cloned().collect() };
    let (missing, extra) = (without(classes, theirs), without(theirs, classes));
    if missing.is_empty() && extra.is_empty() && classes.len() == theirs.len() {
        return Ok(classes.iter().filter_map(|class| theirs.iter().position(|c| c == class)).collect());
    }
    let list = |what: &str, names: &[String]| match names {
        [] => String::new(),
        _ => format!("; {what} {}", names.iter().take(8).cloned().collect::<Vec<_>>().join(", ")),
    };
    let reason = format!(
        "other classes than the first member's: {} there, {} here{}{}",
        classes.len(),
        theirs.len(),
        list("here is no", &missing),
        list("only here is", &extra)
    );
    Err(member_error(path, &reason))
}

/// That two tables are of the same samples.
pub(super) fn same_samples(first: &Predictions, other: &Predictions, path: &Path) -> Result<()> {
    if first.ids == other.ids {
        return Ok(());
    }
    let reason = format!(
        "it read {} samples where the first member read {}: do they treat images alike that cannot be read (data.on_corrupt)?",
        other.ids.len(),
        first.ids.len()
    );
    Err(member_error(path, &reason))
}

/// Logits that stand for these probabilities.
pub(super) fn logarithms(mut probabilities: Vec<f32>) -> Vec<f32> {
    probabilities.iter_mut().for_each(|p| *p = p.max(f32::MIN_POSITIVE).ln());
    probabilities
}

pub(super) fn member_error(path: &Path, reason: &str) -> Error {
    Error::Member { path: path.to_owned(), reason: reason.to_owned() }
}
