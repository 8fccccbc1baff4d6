//! The directory of an ensemble: its members' weights and configs, and how they are combined.
//!
//! ```text
//! ensemble.toml        method, members with their weights and sources; written last
//! classes.json         class names in the order of the answers
//! environment.json     versions, machine, command line
//! members/NAME/        a run directory without logs: config.toml, classes.json, checkpoints/best.safetensors
//! members/NAME/fold-0/ …  the same for each fold of a cross-validation
//! stack.json           the coefficients, of method = "stack"
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tallow_data::{Dataset, Splits};
use tallow_metrics::logit;

use super::combine::{average, uniform, vote, vote_each};
use super::held_out::shared_validation;
use super::member::{Member, check_kind, logarithms, same_samples};
use super::{Method, Stack};
use crate::{Error, Finished, Predictions, Result, RunDir, View};

/// What makes a folder an ensemble's.
pub(crate) const ENSEMBLE: &str = "ensemble.toml";
const STACK: &str = "stack.json";

/// How the members' probabilities become one answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// By their votes.
    Vote,
    /// By their mean, weights with the sum 1.
    Average(Vec<f64>),
    /// By a logistic regression.
    Stack(Stack),
}

impl Rule {
    /// The logits of the answers, `n × classes`, from each member's probabilities; `several`: of classes that each hold or not.
    pub fn logits(&self, members: &[Vec<f32>], classes: usize, several: bool) -> Vec<f32> {
        match self {
            Self::Vote if several => logit(&vote_each(members)),
            Self::Average(weights) if several => logit(&average(members, weights)),
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
    /// Of which samples the method learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fitted_on: Option<String>,
    members: Vec<MemberRecord>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberRecord {
    name: String,
    /// Where it was copied from; only to be read by people.
    source: String,
    /// Of a weighted average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    /// Run directories, relative to this file; the mean of several counts.
    runs: Vec<String>,
}

/// Several runs that answer together.
pub struct Ensemble {
    run: RunDir,
    classes: Vec<String>,
    members: Vec<Member>,
    rule: Rule,
    method: Method,
    fitted_on: Option<String>,
}

impl Ensemble {
    /// Whether a folder is an ensemble's.
    pub fn is_at(path: &Path) -> bool {
        path.join(ENSEMBLE).is_file()
    }

    /// Writes the directory of an ensemble, with copies of what it takes to use its members.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be written.
    pub fn create(path: &Path, method: Method, rule: &Rule, members: &[Member], fitted_on: Option<&str>) -> Result<()> {
        let classes = members.first().map_or(&[][..], |member| &member.runs[0].classes);
        let run = RunDir::prepare(path, classes)?;
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
            // Of a plain average all are alike, and say nothing.
            let weight = rule.weights().filter(|_| method.is_fitted()).map(|weights| weights[at]);
            let source = member.source.display().to_string();
            records.push(MemberRecord { name: member.name.clone(), source, weight, runs });
        }
        if let Rule::Stack(stack) = rule {
            run.write_json(STACK, stack)?;
        }
        let record = Record { method, fitted_on: fitted_on.map(str::to_owned), members: records };
        let text = toml::to_string_pretty(&record).map_err(|error| Error::Mismatch(error.to_string()))?;
        run.write(ENSEMBLE, text.as_bytes())
    }

    /// Opens such a directory.
    ///
    /// # Errors
    /// A file that is missing, or was edited into something else.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(ENSEMBLE);
        let broken = |path: PathBuf, reason: String| Error::Broken { path, reason };
        let text = std::fs::read_to_string(&file).map_err(Error::io(&file, "read this file"))?;
        let record: Record = toml::from_str(&text).map_err(|error| broken(file.clone(), error.to_string()))?;
        let run = RunDir::at(path);
        let classes = run.classes()?;
        let mut members = Vec::new();
        for member in &record.members {
            if member.runs.is_empty() {
                return Err(broken(file, format!("member {} has no runs", member.name)));
            }
            let runs = member.runs.iter().map(|run| Finished::open(&path.join(run))).collect::<Result<_>>()?;
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
                let stack: Stack = run.read_json(STACK)?;
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
        Ok(Self { run, classes, members, rule, method: record.method, fitted_on: record.fitted_on })
    }

    /// The folder.
    pub fn run(&self) -> &RunDir {
        &self.run
    }

    /// The class names in the order of the answers.
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

    /// Whether several classes can hold at once for what it answers.
    pub fn is_multi_label(&self) -> bool {
        self.members.iter().any(Member::is_multi_label)
    }

    /// How they are combined.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Of which samples the method learnt, in words: `validation, 600 images`.
    pub fn fitted_on(&self) -> Option<&str> {
        self.fitted_on.as_deref()
    }

    /// The members' names.
    pub fn names(&self) -> Vec<&str> {
        self.members.iter().map(|member| member.name.as_str()).collect()
    }

    /// The weights to show: of a plain average none.
    pub fn weights(&self) -> Option<&[f64]> {
        self.rule.weights().filter(|_| self.method.is_fitted())
    }

    /// Takes other views of each image than the members' own.
    ///
    /// # Errors
    /// Those of [`TestTime::new`](crate::TestTime::new).
    pub fn set_tta(&mut self, tta: &[View]) -> Result<()> {
        self.members.iter_mut().flat_map(|member| &mut member.runs).try_for_each(|run| run.set_tta(tta))
    }

    /// Opens the first member's dataset, or another one with the same classes. A validation split that is not held out
    /// from every member is left out: it would flatter.
    ///
    /// # Errors
    /// Those of [`Finished::splits`].
    pub fn splits(&self, spec: Option<&str>) -> Result<Splits> {
        let first = &self.members[0].runs[0];
        let splits = first.splits(spec)?;
        let of_members = spec.is_none_or(|spec| {
            self.members.iter().flat_map(|member| &member.runs).any(|run| run.config.data.spec == spec)
        });
        let leaks = splits.validation.is_some() && of_members && shared_validation(&self.members).is_err();
        Ok(Splits { validation: splits.validation.filter(|_| !leaks), ..splits })
    }

    /// What the ensemble says of every sample of a dataset with its classes, and what each member says.
    ///
    /// # Errors
    /// Those of the members.
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
