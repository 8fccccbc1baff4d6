//! What to do about the issues: a plan, and the cleaned dataset as a manifest. The source is never written to.

pub mod manifest;
pub mod median;

pub use manifest::{Applied, apply};
pub use median::median_filter;

use std::collections::BTreeSet;

use crate::{Issue, Kind, Samples, Split};

/// What becomes of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It stays as it is.
    Keep,
    /// It is left out, for this reason.
    Drop(Kind),
    /// It gets another class.
    Relabel(usize),
    /// It is filtered.
    Denoise,
}

impl Action {
    /// Its name in the manifest.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Keep => "keep",
            Action::Drop(_) => "drop",
            Action::Relabel(_) => "relabel",
            Action::Denoise => "denoise",
        }
    }
}

/// What may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Samples with issues of these kinds are dropped. Of duplicates the first stays, unless their labels contradict each
    /// other: then none does.
    pub drop: BTreeSet<Kind>,
    /// Wrong labels are exchanged for the suggested ones; comes before dropping them.
    pub relabel: bool,
    /// Noisy pictures are filtered; comes before dropping them.
    pub denoise: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let drop = [Kind::Leakage, Kind::ExactDuplicate, Kind::WrongLabel].into();
        Self { drop, relabel: false, denoise: false }
    }
}

/// What becomes of every sample. Only training samples are changed or left out: what is measured with stays as it is. But
/// an unreadable file is left out of any split.
pub fn plan(samples: &Samples, issues: &[Issue], policy: &Policy) -> Vec<Action> {
    let mut actions = vec![Action::Keep; samples.len()];
    let train = |issue: &&Issue| issue.sample.is_some_and(|sample| samples.split(sample) == Split::Train);
    for issue in issues.iter().filter(train) {
        let Some(sample) = issue.sample else { continue };
        match (issue.kind, issue.suggested) {
            (Kind::WrongLabel, Some(class)) if policy.relabel => actions[sample] = Action::Relabel(class),
            (Kind::Noisy, _) if policy.denoise && actions[sample] == Action::Keep => actions[sample] = Action::Denoise,
            _ => {}
        }
    }
    for issue in issues.iter().filter(train).filter(|issue| policy.drop.contains(&issue.kind)) {
        let Some(sample) = issue.sample else { continue };
        let goes = match issue.kind {
            Kind::ExactDuplicate | Kind::NearDuplicate | Kind::NearDuplicateByEmbedding => {
                let is_first = issue.others.iter().all(|other| sample < *other);
                let contradicted = issue.others.iter().any(|other| samples.label(*other) != samples.label(sample));
                contradicted || !is_first
            }
            Kind::WrongLabel => !policy.relabel,
            Kind::Noisy => !policy.denoise,
            _ => true,
        };
        if goes && !matches!(actions[sample], Action::Drop(_)) {
            actions[sample] = Action::Drop(issue.kind);
        }
    }
    for issue in issues.iter().filter(|issue| issue.kind == Kind::Unreadable) {
        issue.sample.into_iter().for_each(|sample| actions[sample] = Action::Drop(Kind::Unreadable));
    }
    actions
}
