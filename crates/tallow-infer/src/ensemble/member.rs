//! The members of an ensemble: runs, snapshots of a run, or the folds of a cross-validation as one member.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::DynamicImage;
use tallow_data::Dataset;
use tallow_metrics::logit;
use tallow_run::RunDir;

use super::combine::{average, uniform};
use super::problem::MemberProblem;
use crate::{Error, Predictions, Result, TrainedRun};

/// The out-of-fold predictions in the folder of a cross-validation.
const OOF: &str = "oof.csv";
/// The prefix of the folders of folds.
const FOLD: &str = "fold-";

/// A member of an ensemble.
pub struct Member {
    /// Its name in tables and below `members/`.
    pub name: String,
    /// The folder that it was opened from.
    pub source: PathBuf,
    /// One run, or the folds of a cross-validation, whose probabilities are averaged.
    pub runs: Vec<TrainedRun>,
    /// The out-of-fold predictions of a cross-validation.
    pub oof: Option<PathBuf>,
    /// The column, in each run's probabilities, of each class of the ensemble.
    columns: Vec<Vec<usize>>,
}

impl Member {
    /// A member of runs that all have the ensemble's `classes`, in any order.
    ///
    /// # Errors
    /// A run with other classes.
    pub fn new(name: String, source: PathBuf, runs: Vec<TrainedRun>, classes: &[String]) -> Result<Self> {
        let columns = runs.iter().map(|run| columns(classes, run.classes(), run.dir.path())).collect::<Result<_>>()?;
        Ok(Self { name, source, runs, oof: None, columns })
    }

    /// Whether it was trained on multi-label data.
    pub fn is_multi_label(&self) -> bool {
        self.runs.iter().any(|run| run.config.data.multi_label)
    }

    /// The predictions of every sample of a dataset with the ensemble's classes: the mean of the runs' probabilities, as
    /// logits.
    ///
    /// # Errors
    /// The errors of its runs.
    pub fn predictions(&self, dataset: &Arc<dyn Dataset>) -> Result<Predictions> {
        let mut first: Option<Predictions> = None;
        let mut tables = Vec::new();
        for (run, columns) in self.runs.iter().zip(&self.columns) {
            let predictions = run.predictions(dataset.clone())?;
            let table = predictions.probabilities()?;
            tables.push(table.chunks_exact(columns.len()).flat_map(|row| columns.iter().map(|at| row[*at])).collect());
            same_samples(first.get_or_insert(predictions.clone()), &predictions, run.dir.path())?;
        }
        let mut predictions = first.unwrap_or_default();
        let mean = average(&tables, &uniform(tables.len()));
        predictions.logits = if predictions.is_multi_label() { logit(&mean) } else { logarithms(mean) };
        Ok(predictions)
    }

    /// The mean of the runs' probabilities of each image, row-major, in the ensemble's order of classes.
    ///
    /// # Errors
    /// An image that the preprocessing refuses; an error of a model.
    pub fn probabilities(&self, images: &[DynamicImage]) -> Result<Vec<f32>> {
        let mut tables = Vec::new();
        for (run, columns) in self.runs.iter().zip(&self.columns) {
            let table = run.classifier.probabilities(images)?;
            tables.push(table.chunks_exact(columns.len()).flat_map(|row| columns.iter().map(|at| row[*at])).collect());
        }
        Ok(average(&tables, &uniform(tables.len())))
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

/// Opens runs, optionally their snapshots, and folders of cross-validations; each member gets a name of its own.
///
/// # Errors
/// Fewer than two members; a run given twice; a folder that is not a run; a run without snapshots; other classes than the first
/// member's.
pub fn open_all(paths: &[PathBuf], snapshots: bool) -> Result<Vec<Member>> {
    let mut members: Vec<Member> = Vec::new();
    let (mut seen, mut names) = (HashSet::new(), HashSet::new());
    for path in paths {
        if !seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())) {
            return Err(member_error(path, MemberProblem::GivenTwice));
        }
        let classes = members.first().map(|member| member.runs[0].classes().to_vec());
        for mut member in open(path, snapshots, classes)? {
            let numbered = (2..).map(|n| format!("{}-{n}", member.name));
            let name = std::iter::once(member.name.clone()).chain(numbered).find(|name| !names.contains(name));
            member.name = name.unwrap_or_default();
            names.insert(member.name.clone());
            members.push(member);
        }
    }
    if members.len() < 2 {
        return Err(Error::TooFewMembers { found: members.len() });
    }
    check_kind(&members)?;
    Ok(members)
}

/// Fails unless all members give a sample one label, or all several.
pub(super) fn check_kind(members: &[Member]) -> Result<()> {
    let runs = || members.iter().flat_map(|member| &member.runs);
    let several = runs().next().is_some_and(|run| run.config.data.multi_label);
    match runs().find(|run| run.config.data.multi_label != several) {
        None => Ok(()),
        Some(run) => {
            let (here, first) = if several { ("one label", "several") } else { ("several labels", "one") };
            Err(member_error(run.dir.path(), MemberProblem::OtherLabels { here, first }))
        }
    }
}

fn open(path: &Path, snapshots: bool, classes: Option<Vec<String>>) -> Result<Vec<Member>> {
    let name = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let member = |name: String, runs: Vec<TrainedRun>| {
        let classes = classes.clone().unwrap_or_else(|| runs.first().map_or(Vec::new(), |run| run.classes().to_vec()));
        Member::new(name, path.to_owned(), runs, &classes)
    };
    let folds = folds(path);
    if !folds.is_empty() {
        if snapshots {
            return Err(member_error(path, MemberProblem::SnapshotsOfFolds));
        }
        let mut member = member(name, folds.iter().map(|fold| TrainedRun::open(fold)).collect::<Result<_>>()?)?;
        member.oof = Some(path.join(OOF)).filter(|path| path.is_file());
        return Ok(vec![member]);
    }
    if !snapshots {
        return Ok(vec![member(name, vec![TrainedRun::open(path)?])?]);
    }
    let run = RunDir::open(path)?;
    let found = run.snapshots();
    if found.is_empty() {
        return Err(member_error(path, MemberProblem::NoSnapshots));
    }
    let open = |(at, weights): (usize, &PathBuf)| {
        member(format!("{name}-{}", at + 1), vec![TrainedRun::with_weights(run.clone(), weights)?])
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

/// The index of each of `classes` in `theirs`.
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
    Err(member_error(path, MemberProblem::OtherClasses(reason)))
}

/// Fails unless two tables are of the same samples.
pub(super) fn same_samples(first: &Predictions, other: &Predictions, path: &Path) -> Result<()> {
    if first.ids == other.ids {
        return Ok(());
    }
    Err(member_error(path, MemberProblem::OtherSamples { here: other.ids.len(), first: first.ids.len() }))
}

/// The logarithms of probabilities, as logits.
pub(super) fn logarithms(mut probabilities: Vec<f32>) -> Vec<f32> {
    probabilities.iter_mut().for_each(|p| *p = p.max(f32::MIN_POSITIVE).ln());
    probabilities
}

pub(crate) fn member_error(path: &Path, problem: MemberProblem) -> Error {
    Error::Member { path: path.to_owned(), problem }
}
