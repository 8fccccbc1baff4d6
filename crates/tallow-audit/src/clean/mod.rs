//! Cleaning: an action per sample, and the cleaned dataset as a manifest. The source dataset is never written to.

pub mod manifest;
pub mod median;

pub use manifest::{Applied, apply};
pub use median::median_filter;

use std::collections::BTreeSet;

use crate::{Issue, IssueKind, Samples, Split};

/// The action on a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Keep it unchanged.
    Keep,
    /// Drop it because of an issue of this kind.
    Drop(IssueKind),
    /// Give it another class.
    Relabel(usize),
    /// Filter its image.
    Denoise,
}

impl Action {
    /// The action's name in the manifest.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Keep => "keep",
            Action::Drop(_) => "drop",
            Action::Relabel(_) => "relabel",
            Action::Denoise => "denoise",
        }
    }
}

/// The actions that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The kinds of issues whose samples are dropped. The first of a group of duplicates is kept, unless the labels of
    /// the group differ: then all are dropped.
    pub drop: BTreeSet<IssueKind>,
    /// Whether to replace wrong labels by the suggested ones instead of dropping the samples.
    pub relabel: bool,
    /// Whether to filter noisy images instead of dropping them.
    pub denoise: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let drop = [IssueKind::Leakage, IssueKind::ExactDuplicate, IssueKind::WrongLabel].into();
        Self { drop, relabel: false, denoise: false }
    }
}

/// The action on each sample. Only training samples are changed or dropped, so that evaluation stays comparable;
/// unreadable files are dropped from every split.
pub fn plan(samples: &Samples, issues: &[Issue], policy: &Policy) -> Vec<Action> {
    let mut actions = vec![Action::Keep; samples.len()];
    let train = |issue: &&Issue| issue.sample.is_some_and(|sample| samples.split(sample) == Split::Train);
    for issue in issues.iter().filter(train) {
        let Some(sample) = issue.sample else { continue };
        match (issue.kind, issue.suggested) {
            (IssueKind::WrongLabel, Some(class)) if policy.relabel => actions[sample] = Action::Relabel(class),
            (IssueKind::Noisy, _) if policy.denoise && actions[sample] == Action::Keep => {
                actions[sample] = Action::Denoise
            }
            _ => {}
        }
    }
    for issue in issues.iter().filter(train).filter(|issue| policy.drop.contains(&issue.kind)) {
        let Some(sample) = issue.sample else { continue };
        let goes = match issue.kind {
            IssueKind::ExactDuplicate | IssueKind::NearDuplicate | IssueKind::NearDuplicateByEmbedding => {
                let is_first = issue.others.iter().all(|other| sample < *other);
                let contradicted = issue.others.iter().any(|other| samples.label(*other) != samples.label(sample));
                contradicted || !is_first
            }
            IssueKind::WrongLabel => !policy.relabel,
            IssueKind::Noisy => !policy.denoise,
            _ => true,
        };
        if goes && !matches!(actions[sample], Action::Drop(_)) {
            actions[sample] = Action::Drop(issue.kind);
        }
    }
    for issue in issues.iter().filter(|issue| issue.kind == IssueKind::Unreadable) {
        issue.sample.into_iter().for_each(|sample| actions[sample] = Action::Drop(IssueKind::Unreadable));
    }
    actions
}
