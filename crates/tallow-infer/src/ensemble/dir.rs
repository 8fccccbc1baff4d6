//! The directory of an ensemble: its members' weights and configs, and the rule that combines them.
//!
//! ```text
//! ensemble.toml        method, members with their weights and sources; written last
//! classes.json         class names in the order of the logits
//! environment.json     versions, machine, command line
//! members/NAME/        a run directory without logs: config.toml, classes.json, checkpoints/best.safetensors
//! members/NAME/fold-0/ …  the same for each fold of a cross-validation
//! stack.json           the coefficients, of method = "stack"
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::DynamicImage;
use serde::{Deserialize, Serialize};
use tallow_data::{Dataset, Splits};
use tallow_metrics::{logit, sigmoid, softmax};
use tallow_run::dir::ENSEMBLE;
use tallow_run::{RunDir, View};

use super::combine::{average, uniform, vote, vote_each};
use super::held_out::shared_validation;
use super::member::{Member, check_kind, logarithms, same_samples};
use super::{Method, Stack};
use crate::{Error, Predictions, Result, TrainedRun};

const STACK: &str = "stack.json";

/// The rule that combines the members' probabilities.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Majority vote.
    Vote,
    /// Weighted mean; the weights sum to 1.
    Average(Vec<f64>),
    /// Logistic regression.
    Stack(Stack),
}

impl Rule {
    /// The logits of the ensemble, `n × classes`, from each member's probabilities. `multi_label`: each class is a question of
    /// its own.
    pub fn logits(&self, members: &[Vec<f32>], classes: usize, multi_label: bool) -> Vec<f32> {
        match self {
            Self::Vote if multi_label => logit(&vote_each(members)),
            Self::Average(weights) if multi_label => logit(&average(members, weights)),
            Self::Vote => logarithms(vote(members, classes)),
            Self::Average(weights) => logarithms(average(members, weights)),
            Self::Stack(stack) => stack.logits(members, classes),
        }
    }

    /// The weights of an average.
    pub fn weights(&self) -> Option<&[f64]> {
        match self {
            Self::Average(weights) => Some(weights),
            Self::Vote | Self::Stack(_) => None,
        }
    }
}

/// `ensemble.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    method: Method,
    /// The samples that the method was fitted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fitted_on: Option<String>,
    members: Vec<MemberRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberRecord {
    name: String,
    /// The folder that it was copied from, for information.
    source: String,
    /// The weight in a weighted average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    /// Run directories relative to this file; the probabilities of several are averaged.
    runs: Vec<String>,
}

/// Several trained runs that are combined into one prediction.
pub struct Ensemble {
    dir: RunDir,
    classes: Vec<String>,
    members: Vec<Member>,
    rule: Rule,
    method: Method,
    fitted_on: Option<String>,
}

impl Ensemble {
    /// Whether a folder is the directory of an ensemble.
    pub fn is_at(path: &Path) -> bool {
        RunDir::is_ensemble(path)
    }

    /// Writes the directory of an ensemble, with copies of its members' configs and weights.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written.
    pub fn create(path: &Path, method: Method, rule: &Rule, members: &[Member], fitted_on: Option<&str>) -> Result<()> {
        let classes = members.first().map_or(&[][..], |member| member.runs[0].classes());
        let run = RunDir::begin(path, classes)?;
        let mut records = Vec::new();
        for (at, member) in members.iter().enumerate() {
            let folder = |index: usize| match member.runs.len() {
                1 => format!("members/{}", member.name),
                _ => format!("members/{}/fold-{index}", member.name),
            };
            let runs: Vec<String> = (0..member.runs.len()).map(folder).collect();
            for (folder, finished) in runs.iter().zip(&member.runs) {
                finished.copy_to(&path.join(folder))?;
            }
            // The weights of a plain average are all equal.
            let weight = rule.weights().filter(|_| method.is_fitted()).map(|weights| weights[at]);
            let source = member.source.display().to_string();
            records.push(MemberRecord { name: member.name.clone(), source, weight, runs });
        }
        if let Rule::Stack(stack) = rule {
            run.write_json(STACK, stack)?;
        }
        let record = Record { method, fitted_on: fitted_on.map(str::to_owned), members: records };
        let text = toml::to_string_pretty(&record).map_err(tallow_run::Error::serialize(ENSEMBLE))?;
        run.write(ENSEMBLE, text.as_bytes())?;
        Ok(run.complete()?)
    }

    /// Opens the directory of an ensemble.
    ///
    /// # Errors
    /// A file that is missing, or was edited into something else.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(ENSEMBLE);
        let broken = |path: PathBuf, reason: String| Error::Broken { path, reason };
        let text = std::fs::read_to_string(&file).map_err(tallow_run::Error::io(&file, "read this file"))?;
        let record: Record = toml::from_str(&text).map_err(|error| broken(file.clone(), error.to_string()))?;
        let dir = RunDir::at_complete(path)?;
        let classes = dir.classes()?;
        let mut members = Vec::new();
        for member in &record.members {
            if member.runs.is_empty() {
                return Err(broken(file, format!("member {} has no runs", member.name)));
            }
            let runs = member.runs.iter().map(|run| TrainedRun::open(&path.join(run))).collect::<Result<_>>()?;
            members.push(Member::new(member.name.clone(), member.source.clone().into(), runs, &classes)?);
        }
        if members.is_empty() {
            return Err(broken(file, "it has no members".into()));
        }
        check_kind(&members)?;
        let rule = match record.method {
            Method::Vote => Rule::Vote,
            Method::Average => Rule::Average(uniform(members.len())),
            Method::Weighted | Method::Selection => {
                let weights: Vec<f64> = record.members.iter().filter_map(|member| member.weight).collect();
                let sum: f64 = weights.iter().sum();
                let valid = weights.len() == members.len() && weights.iter().all(|weight| *weight >= 0.0);
                if !valid || (sum - 1.0).abs() > 1e-6 {
                    let reason =
                        format!("expected a weight for each member, 0 or more, with the sum 1, found {weights:?}");
                    return Err(broken(file, reason));
                }
                Rule::Average(weights)
            }
            Method::Stack => {
                let stack: Stack = dir.read_json(STACK)?;
                if !stack.fits(members.len(), classes.len()) {
                    let (members, classes) = (members.len(), classes.len());
                    let reason = format!(
                        "expected {classes} rows of {members} × {classes} coefficients; is it of another ensemble?"
                    );
                    return Err(broken(path.join(STACK), reason));
                }
                Rule::Stack(stack)
            }
            Method::Soup | Method::Greedy => {
                return Err(broken(file, "a soup is one model, and no ensemble of members".into()));
            }
        };
        Ok(Self { dir, classes, members, rule, method: record.method, fitted_on: record.fitted_on })
    }

    /// The directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// The class names in the order of the logits.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The members.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The members, by value.
    pub fn into_members(self) -> Vec<Member> {
        self.members
    }

    /// Whether the members were trained on multi-label data.
    pub fn is_multi_label(&self) -> bool {
        self.members.iter().any(Member::is_multi_label)
    }

    /// The rule that combines the members.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The samples that the method was fitted on, such as `validation, 600 images`.
    pub fn fitted_on(&self) -> Option<&str> {
        self.fitted_on.as_deref()
    }

    /// The members' names.
    pub fn names(&self) -> Vec<&str> {
        self.members.iter().map(|member| member.name.as_str()).collect()
    }

    /// The weights to show; `None` for a plain average.
    pub fn weights(&self) -> Option<&[f64]> {
        self.rule.weights().filter(|_| self.method.is_fitted())
    }

    /// Replaces the views of each image in all members.
    ///
    /// # Errors
    /// The errors of [`TestTime::new`](crate::TestTime::new).
    pub fn set_tta(&mut self, tta: &[View]) -> Result<()> {
        self.members.iter_mut().flat_map(|member| &mut member.runs).try_for_each(|run| run.set_tta(tta))
    }

    /// Opens the first member's dataset, or another one with the same classes. The validation split is left out if it is not
    /// held out from every member.
    ///
    /// # Errors
    /// The errors of [`TrainedRun::splits`].
    pub fn splits(&self, spec: Option<&str>) -> Result<Splits> {
        let first = &self.members[0].runs[0];
        let splits = first.splits(spec)?;
        let of_members = spec.is_none_or(|spec| {
            self.members.iter().flat_map(|member| &member.runs).any(|run| run.config.data.spec == spec)
        });
        let leaks = splits.validation.is_some() && of_members && shared_validation(&self.members).is_err();
        Ok(Splits { validation: splits.validation.filter(|_| !leaks), ..splits })
    }

    /// The probability of each class for each image, row-major `images × classes`.
    ///
    /// # Errors
    /// An image that the preprocessing refuses; an error of a model.
    pub fn probabilities(&self, images: &[DynamicImage]) -> Result<Vec<f32>> {
        let several = self.is_multi_label();
        let mut tables = Vec::new();
        for member in &self.members {
            // By way of logits, as `predictions` goes.
            let mean = member.probabilities(images)?;
            tables.push(match several {
                true => sigmoid(&logit(&mean)),
                false => softmax(&logarithms(mean), self.classes.len())?,
            });
        }
        let logits = self.rule.logits(&tables, self.classes.len(), several);
        Ok(if several { sigmoid(&logits) } else { softmax(&logits, self.classes.len())? })
    }

    /// The predictions of the ensemble on a dataset with its classes, and those of each member.
    ///
    /// # Errors
    /// The errors of the members.
    pub fn predictions(&self, dataset: &Arc<dyn Dataset>) -> Result<(Predictions, Vec<Predictions>)> {
        let mut each: Vec<Predictions> = Vec::new();
        for member in &self.members {
            let predictions = member.predictions(dataset)?;
            same_samples(each.first().unwrap_or(&predictions), &predictions, &member.source)?;
            each.push(predictions);
        }
        let tables = each.iter().map(Predictions::probabilities).collect::<Result<Vec<_>>>()?;
        let several = each.first().is_some_and(Predictions::is_multi_label);
        let logits = self.rule.logits(&tables, self.classes.len(), several);
        Ok((Predictions { logits, ..each.first().cloned().unwrap_or_default() }, each))
    }
}
