//! Builds an ensemble: opens its members, fits them on held-out predictions, writes the directory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tallow_data::Dataset;
use tallow_metrics::logit;
use tallow_run::RunDir;

use super::combine::uniform;
use super::dir::Rule;
use super::held_out::{HeldOut, shared_validation};
use super::member::{Member, logarithms, open_all};
use super::soup::{SoupModel, Weights, check_alike, choose_greedily};
use super::table::{MemberRow, write_rows};
use super::{Ensemble, Method, Stack, fit_weights, select_greedily};
use crate::{Error, Result, TrainedRun};

/// The report of a soup, in its run directory.
const SOUP: &str = "soup.json";

/// The ensemble to build.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// Run directories, or folders of cross-validations.
    pub runs: &'a [PathBuf],
    /// Whether the members are the snapshots of each run.
    pub snapshots: bool,
    /// The method that combines them.
    pub method: Method,
    /// Other data to fit on than the validation split that the members share.
    pub data: Option<&'a str>,
    /// The split of it.
    pub split: Option<&'a str>,
    /// The penalty of a stack, as scikit-learn's `C`; cross-validated if absent.
    pub c: Option<f64>,
    /// The folder to write; it must be empty or absent.
    pub out: &'a Path,
}

/// The ensemble that was built, with the metrics of its members on the data that it was fitted on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildReport {
    /// The method.
    pub method: Method,
    /// The samples that it was fitted or measured on.
    pub held_out: Option<String>,
    /// Their split, if they are one that the ensemble was fitted on.
    #[serde(skip)]
    pub fitted_split: Option<String>,
    /// The members; without metrics where nothing was held out.
    pub members: Vec<MemberReport>,
    /// The metrics of the result.
    pub result: Option<MemberRow>,
    /// The penalty of a stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<f64>,
}

/// A member of the ensemble that was built.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemberReport {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub source: PathBuf,
    /// Whether it is part of the result.
    pub kept: bool,
    /// Its metrics on the held-out samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<MemberRow>,
}

/// Builds an ensemble or a soup, and writes it.
///
/// # Errors
/// Runs that cannot be combined; nothing held out to fit on; a folder that is not empty.
pub fn build(plan: Plan<'_>) -> Result<BuildReport> {
    RunDir::check_free(plan.out)?;
    let members = open_all(plan.runs, plan.snapshots)?;
    let classes = members[0].runs[0].classes().to_vec();
    if plan.method == Method::Stack && members[0].is_multi_label() {
        return Err(Error::StackOfMultiLabel);
    }
    if plan.method.is_soup() {
        return soup(&plan, &members);
    }
    let mut report = BuildReport::new(plan.method, &members);
    let mut rule = match plan.method {
        Method::Vote => Rule::Vote,
        _ => Rule::Average(uniform(members.len())),
    };
    if plan.method.is_fitted() {
        let held_out = HeldOut::gather(&members, &classes, plan.data, plan.split)?;
        let pairs = held_out.is_multi_label().then(|| held_out.by_pairs());
        let k = if pairs.is_some() { 2 } else { classes.len() };
        let HeldOut { labels, members: tables, .. } = pairs.as_ref().unwrap_or(&held_out);
        rule = match plan.method {
            Method::Stack => Rule::Stack(Stack::fit(labels, tables, k, plan.c)),
            Method::Selection => Rule::Average(select_greedily(labels, tables, k)),
            _ => Rule::Average(fit_weights(labels, tables, k)),
        };
        report.measure(&held_out, &rule, classes.len())?;
    }
    Ensemble::create(plan.out, plan.method, &rule, &members, report.held_out.as_deref())?;
    Ok(report)
}

fn soup(plan: &Plan<'_>, members: &[Member]) -> Result<BuildReport> {
    check_alike(members)?;
    let weights: Vec<Weights> =
        members.iter().map(|member| member.runs[0].classifier.built.store.state_dict()).collect();
    let chosen = |members: &[usize]| -> Vec<&Weights> { members.iter().map(|member| &weights[*member]).collect() };
    let soup = SoupModel::new(TrainedRun::open(members[0].runs[0].dir.path())?)?;
    let mut report = BuildReport::new(plan.method, members);
    let all: Vec<usize> = (0..members.len()).collect();
    // A uniform soup needs no held-out samples, but is evaluated on them if there are some.
    let validation = match shared_validation(members) {
        Err(error) if plan.method.is_fitted() => return Err(error),
        validation => validation.ok(),
    };
    let score = |members: &[usize], dataset: &Arc<dyn Dataset>| -> Result<MemberRow> {
        soup.set(&chosen(members))?;
        let predictions = soup.run.predictions(dataset.clone())?;
        MemberRow::new(plan.method.name(), &predictions)
    };
    let mut kept = all.clone();
    if let Some(validation) = &validation {
        for (member, ingredient) in members.iter().zip(&mut report.members) {
            ingredient.measured = Some(MemberRow::new(&member.name, &member.predictions(validation)?)?);
        }
        if plan.method == Method::Greedy {
            let alone: Vec<f64> = report.members.iter().filter_map(|i| Some(i.measured.as_ref()?.score())).collect();
            (kept, _) = choose_greedily(&alone, |members| Ok(score(members, validation)?.score()))?;
        }
        report.held_out = Some(format!("validation, {} images", validation.len()));
        report.fitted_split = (plan.method == Method::Greedy).then(|| "validation".to_owned());
        report.result = Some(score(&kept, validation)?);
    } else {
        soup.set(&chosen(&kept))?;
    }
    report.members.iter_mut().enumerate().for_each(|(at, ingredient)| ingredient.kept = kept.contains(&at));
    let copy = soup.run.begin_copy(plan.out)?;
    copy.write_json(SOUP, &report)?;
    TrainedRun { dir: copy.clone(), ..soup.run }.export(0)?;
    copy.complete()?;
    Ok(report)
}

impl BuildReport {
    fn new(method: Method, members: &[Member]) -> Self {
        let ingredient = |member: &Member| MemberReport {
            name: member.name.clone(),
            source: member.source.clone(),
            kept: true,
            measured: None,
        };
        let members = members.iter().map(ingredient).collect();
        Self { method, held_out: None, fitted_split: None, members, result: None, c: None }
    }

    fn measure(&mut self, held_out: &HeldOut, rule: &Rule, classes: usize) -> Result<()> {
        let several = held_out.is_multi_label();
        for (at, (ingredient, table)) in self.members.iter_mut().zip(&held_out.members).enumerate() {
            let logits = if several { logit(table) } else { logarithms(table.clone()) };
            let mut row = MemberRow::new(&ingredient.name, &held_out.with_logits(logits, classes))?;
            row.weight = rule.weights().map(|weights| weights[at]);
            ingredient.kept = row.weight != Some(0.0);
            ingredient.measured = Some(row);
        }
        let logits = rule.logits(&held_out.members, classes, several);
        self.result = Some(MemberRow::new(self.method.name(), &held_out.with_logits(logits, classes))?);
        (self.held_out, self.fitted_split) = (Some(held_out.what.clone()), held_out.split.clone());
        if let Rule::Stack(stack) = rule {
            self.c = Some(stack.regression().c);
        }
        Ok(())
    }
}

impl fmt::Display for BuildReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
        write!(f, "{} of {} members: {}", self.method.name(), names.len(), names.join(", "))?;
        let (Some(held_out), Some(result)) = (&self.held_out, &self.result) else { return Ok(()) };
        let verb = if self.method.is_fitted() { "fitted" } else { "measured" };
        write!(f, "\n{verb} on {held_out}")?;
        if self.method.is_fitted() {
            write!(f, ", where a fitted ensemble looks better than it is")?;
        }
        if let Some(c) = self.c {
            write!(f, " (C = {c})")?;
        }
        let rows: Vec<&MemberRow> = self.members.iter().filter_map(|i| i.measured.as_ref()).chain([result]).collect();
        writeln!(f, "\n")?;
        write_rows(f, &rows)?;
        let out: Vec<&str> = self.members.iter().filter(|member| !member.kept).map(|m| m.name.as_str()).collect();
        if !out.is_empty() {
            write!(f, "\n\nleft out: {}", out.join(", "))?;
        }
        let best = self.members.iter().filter_map(|i| Some(i.measured.as_ref()?.score())).fold(0.0, f64::max);
        if self.method.is_soup() && result.score() < best {
            write!(
                f,
                "\n\nThe soup is worse than its best ingredient. Soups are for runs that were fine-tuned from the same weights, or \
                 for late snapshots of one run:\nindependent runs lie too far apart to be averaged. A greedy soup leaves out \
                 harmful ingredients."
            )?;
        }
        Ok(())
    }
}
