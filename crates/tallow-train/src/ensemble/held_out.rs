//! What members said of samples that none of them was trained on: all that a combination may learn from.

use std::collections::HashSet;
use std::sync::Arc;

use tallow_data::{Dataset, OpenOptions};

use super::member::{Member, member_error, same_samples};
use super::oof::OutOfFold;
use crate::{Error, Predictions, Result};

/// Labels, and each member's probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Of which samples: `validation, 600 images`.
    pub what: String,
    /// The split of the members' own data that they are, if they are one: it must not measure the result.
    pub split: Option<String>,
    /// The classes of the samples; where several can hold at once, the first of each.
    pub labels: Vec<usize>,
    /// Where several classes can hold at once, a 0 or 1 for each: row-major, `n × classes`. Else empty.
    pub targets: Vec<f32>,
    /// One row-major `n × classes` table a member.
    pub members: Vec<Vec<f32>>,
}

impl HeldOut {
    /// The members' out-of-fold predictions, if all have them; else what they say of the validation split that they share;
    /// or of a split of other data (`data`, `split`).
    ///
    /// # Errors
    /// Nothing that is held out from all of them, and why.
    pub fn gather(members: &[Member], classes: &[String], data: Option<&str>, split: Option<&str>) -> Result<Self> {
        if data.is_none() && split.is_none() && members.iter().any(|member| member.oof.is_some()) {
            return out_of_fold(members, classes);
        }
        let refused = |reason: &str| Error::Mismatch(format!("--split {}: {reason}", split.unwrap_or_default()));
        let (name, dataset) = match (data, split) {
            (Some(spec), _) => elsewhere(members, classes, spec, split)?,
            (None, None | Some("validation")) => ("validation".to_owned(), shared_validation(members)?),
            (None, Some("train")) => {
                return Err(refused(
                    "the members were trained on it, and what is fitted there believes them too much; take validation",
                ));
            }
            (None, Some("test")) => {
                return Err(refused(
                    "the test split measures and chooses nothing; take validation, or other data by --data",
                ));
            }
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

    /// Whether several classes can hold at once.
    pub fn is_multi_label(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Each sample and class as a sample of its own, which has the class (1) or has it not (0): their log loss is the mean
    /// binary cross-entropy. For samples of which several classes can hold.
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
    Error::Mismatch(format!("--split {name}: expected train, validation or test"))
}

fn out_of_fold(members: &[Member], classes: &[String]) -> Result<HeldOut> {
    let mut first: Option<(OutOfFold, &std::path::Path)> = None;
    let mut tables = Vec::new();
    for member in members {
        let Some(path) = &member.oof else {
            let reason =
                "it has no oof.csv where other members do: give folders of `cargo xtask crossval` alone, or runs alone";
            return Err(member_error(&member.source, reason));
        };
        let table = OutOfFold::read(path, classes, member.is_multi_label())?;
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

/// A split of data that no member was trained on, by the user's word.
fn elsewhere(
    members: &[Member],
    classes: &[String],
    spec: &str,
    split: Option<&str>,
) -> Result<(String, Arc<dyn Dataset>)> {
    let runs = || members.iter().flat_map(|member| &member.runs);
    if let Some(run) = runs().find(|run| run.config.data.spec == spec) {
        let reason = format!("it was trained on {spec}: leave --data out to take its validation split");
        return Err(member_error(run.run.path(), &reason));
    }
    // How the first member divided its own data is no matter here.
    let own = members[0].runs[0].config.open_options(Some(classes.to_vec()));
    let options = OpenOptions {
        data_dir: own.data_dir,
        class_order: own.class_order,
        classes: own.classes,
        image_column: own.image_column,
        label_column: own.label_column,
        draft: own.draft,
        cache: own.cache,
        cache_side: own.cache_side,
        ..OpenOptions::default()
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
    let missing = || Error::Mismatch(format!("{spec} has no {} split", split.unwrap_or_default()));
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
            let reason = "a cross-validation without oof.csv: its folds together were trained on every sample, so nothing is held out";
            return Err(member_error(&member.source, reason));
        }
        let Some(validation) = run.splits(None)?.validation else {
            let reason = "it was trained without a validation split, so nothing is held out to fit on: train the members \
                          with the same data.validation_fraction and data.split_seed, make them by `cargo xtask crossval`, \
                          or give other data by --data";
            return Err(member_error(&member.source, reason));
        };
        let ids: HashSet<String> = (0..validation.len()).map(|index| validation.id(index)).collect();
        match &shared {
            None => shared = Some((validation, ids, &run.config.data.spec)),
            Some((_, first, spec)) if *first != ids || *spec != run.config.data.spec => {
                let trained = first.iter().filter(|id| !ids.contains(*id)).count();
                let reason = match *spec == run.config.data.spec {
                    false => format!("it was trained on {}, the first member on {spec}", run.config.data.spec),
                    true => format!(
                        "its validation split differs from the first member's: {} images and {}, of which it was trained on {trained}",
                        ids.len(),
                        first.len()
                    ),
                };
                let advice = "nothing is held out from both: train the members with the same data.validation_fraction and data.split_seed";
                return Err(member_error(&member.source, &format!("{reason}; {advice}")));
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
