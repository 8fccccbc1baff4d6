//! The members' predictions of samples that none of them was trained on: the data that an ensemble is fitted on.

use std::collections::HashSet;
use std::sync::Arc;

use tallow_data::{Dataset, OpenOptions};

use super::member::{Member, member_error, same_samples};
use super::out_of_fold::OutOfFoldTable;
use super::problem::MemberProblem;
use crate::{Error, Predictions, Result};

/// Labels and each member's probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// The samples, such as `validation, 600 images`.
    pub what: String,
    /// The split of the members' own data, if the samples are one: it must not measure the result.
    pub split: Option<String>,
    /// The classes of the samples; for multi-label data, the first class of each.
    pub labels: Vec<usize>,
    /// For multi-label data, 0 or 1 for each class: row-major, `n × classes`. Else empty.
    pub targets: Vec<f32>,
    /// One row-major `n × classes` table per member.
    pub members: Vec<Vec<f32>>,
}

impl HeldOut {
    /// The members' out-of-fold predictions if all have them; else their predictions of the validation split that they share,
    /// or of a split of other data (`data`, `split`).
    ///
    /// # Errors
    /// Nothing is held out from all members.
    pub fn gather(members: &[Member], classes: &[String], data: Option<&str>, split: Option<&str>) -> Result<Self> {
        if data.is_none() && split.is_none() && members.iter().any(|member| member.oof.is_some()) {
            return out_of_fold(members, classes);
        }
        let (name, dataset) = match (data, split) {
            (Some(spec), _) => elsewhere(members, classes, spec, split)?,
            (None, None | Some("validation")) => ("validation".to_owned(), shared_validation(members)?),
            (None, Some("train")) => return Err(Error::FitOnTrain),
            (None, Some("test")) => return Err(Error::FitOnTest),
            (None, Some(other)) => return Err(unknown_split(other)),
        };
        let mut first: Option<Predictions> = None;
        let mut tables = Vec::new();
        for member in members {
            let predictions = member.predictions(&dataset)?;
            tables.push(predictions.probabilities()?);
            same_samples(first.get_or_insert(predictions.clone()), &predictions, &member.source)?;
        }
        let Predictions { labels, targets, .. } = first.unwrap_or_default();
        if targets.is_empty() == members.iter().any(Member::is_multi_label) {
            let expected = if targets.is_empty() { "several labels" } else { "one label" };
            return Err(Error::Mismatch(format!("{name}: the members give a sample {expected}, these data do not")));
        }
        let split = data.map_or_else(|| name.clone(), |spec| format!("{spec} ({name})"));
        let what = format!("{split}, {} images", labels.len());
        Ok(Self { what, split: data.is_none().then_some(name), labels, targets, members: tables })
    }

    /// Whether the data are multi-label.
    pub fn is_multi_label(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Each sample and class of multi-label data as a sample with two classes: it has the class (1) or not (0). The log loss of
    /// these is the mean binary cross-entropy.
    pub fn by_pairs(&self) -> Self {
        let pairs = |table: &Vec<f32>| table.iter().flat_map(|p| [1.0 - p, *p]).collect();
        Self {
            labels: self.targets.iter().map(|target| usize::from(*target > 0.5)).collect(),
            targets: Vec::new(),
            members: self.members.iter().map(pairs).collect(),
            ..self.clone()
        }
    }

    /// These samples with some logits, `n × classes`.
    pub(super) fn with_logits(&self, logits: Vec<f32>, classes: usize) -> Predictions {
        Predictions {
            logits,
            classes,
            labels: self.labels.clone(),
            targets: self.targets.clone(),
            ..Default::default()
        }
    }
}

fn unknown_split(name: &str) -> Error {
    Error::UnknownSplit { name: name.to_owned() }
}

fn out_of_fold(members: &[Member], classes: &[String]) -> Result<HeldOut> {
    let mut first: Option<(OutOfFoldTable, &std::path::Path)> = None;
    let mut tables = Vec::new();
    for member in members {
        let Some(path) = &member.oof else {
            return Err(member_error(&member.source, MemberProblem::NoOutOfFold));
        };
        let table = OutOfFoldTable::read(path, classes, member.is_multi_label())?;
        match &first {
            None => {
                tables.push(table.probabilities.clone());
                first = Some((table, path));
            }
            Some((first, of)) => tables.push(table.ordered_as(first, path, of)?.probabilities),
        }
    }
    let (labels, targets) = first.map_or_else(Default::default, |(table, _)| (table.labels, table.targets));
    Ok(HeldOut {
        what: format!("out-of-fold predictions of {} images", labels.len()),
        split: None,
        labels,
        targets,
        members: tables,
    })
}

/// A split of other data, which the caller says that no member was trained on.
fn elsewhere(
    members: &[Member],
    classes: &[String],
    spec: &str,
    split: Option<&str>,
) -> Result<(String, Arc<dyn Dataset>)> {
    let runs = || members.iter().flat_map(|member| &member.runs);
    if let Some(run) = runs().find(|run| run.config.data.spec == spec) {
        return Err(member_error(run.dir.path(), MemberProblem::TrainedOn { data: spec.to_owned() }));
    }
    // The division of the first member's own data does not apply here.
    let own = members[0].runs[0].config.open_options(Some(classes.to_vec()));
    let options = OpenOptions {
        validation_fraction: 0.0,
        fold: None,
        group_column: None,
        time_column: None,
        stream: false,
        samples_per_epoch: None,
        seed: 0,
        ..own
    };
    let splits = tallow_data::open(spec, &options)?;
    let found = match split {
        Some("train") => Some(("train", splits.train)),
        Some("validation") => splits.validation.map(|dataset| ("validation", dataset)),
        Some("test") => splits.test.map(|dataset| ("test", dataset)),
        Some(other) => return Err(unknown_split(other)),
        None => {
            let chosen = splits.validation.map(|dataset| ("validation", dataset));
            let chosen = chosen.or(splits.test.map(|dataset| ("test", dataset)));
            Some(chosen.unwrap_or(("train", splits.train)))
        }
    };
    let missing = || Error::NoSplit { data: spec.to_owned(), name: split.unwrap_or_default().to_owned() };
    found.map(|(name, dataset)| (name.to_owned(), dataset)).ok_or_else(missing)
}

/// The validation split of all members, held out from each.
///
/// # Errors
/// A member without one, or with another one; a cross-validation, whose folds were trained on everything.
pub fn shared_validation(members: &[Member]) -> Result<Arc<dyn Dataset>> {
    let mut shared: Option<(Arc<dyn Dataset>, HashSet<String>, &str)> = None;
    for run in members.iter().flat_map(|member| member.runs.iter().map(move |run| (member, run))) {
        let (member, run) = run;
        if member.runs.len() > 1 {
            return Err(member_error(&member.source, MemberProblem::FoldsWithoutOutOfFold));
        }
        let Some(validation) = run.splits(None)?.validation else {
            return Err(member_error(&member.source, MemberProblem::NoValidation));
        };
        let ids: HashSet<String> = (0..validation.len()).map(|index| validation.id(index)).collect();
        match &shared {
            None => shared = Some((validation, ids, &run.config.data.spec)),
            Some((_, first, spec)) if *first != ids || *spec != run.config.data.spec => {
                let trained = first.iter().filter(|id| !ids.contains(*id)).count();
                let here = run.config.data.spec.clone();
                let problem = match *spec == here {
                    false => MemberProblem::OtherData { here, first: (*spec).to_owned() },
                    true => MemberProblem::OtherValidation { here: ids.len(), first: first.len(), trained },
                };
                return Err(member_error(&member.source, problem));
            }
            Some(_) => {}
        }
    }
    shared.map(|(dataset, _, _)| dataset).ok_or_else(|| Error::Mismatch("no members".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::fit_weights;

    #[test]
    fn each_sample_and_class_is_a_sample_of_two_classes() {
        // As in weights.rs: of four pairs the first member gives three .9 and one .1, the second all .5.
        let held_out = HeldOut {
            what: String::new(),
            split: None,
            labels: vec![0, 0],
            targets: vec![1.0, 0.0, 1.0, 1.0],
            members: vec![vec![0.9, 0.1, 0.9, 0.1], vec![0.5; 4]],
        };
        let pairs = held_out.by_pairs();
        assert_eq!(pairs.labels, [1, 0, 1, 1]);
        assert_eq!(pairs.members[1], [0.5; 8]);
        let weights = fit_weights(&pairs.labels, &pairs.members, 2);
        assert!((weights[0] - 0.625).abs() < 1e-3, "{weights:?}");
    }
}
