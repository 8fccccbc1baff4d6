//! An issue: a finding of the audit.

use crate::IssueKind;

/// An issue of a sample, a class or the dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    /// The kind of issue.
    pub kind: IssueKind,
    /// The sample's index in [`Samples`](crate::Samples); `None` if the issue concerns a class or the whole dataset.
    pub sample: Option<usize>,
    /// The score, 0 (worst) to 1.
    pub score: f64,
    /// The measured value, or the other samples, as text.
    pub detail: String,
    /// The class that the sample probably has, for a wrong label.
    pub suggested: Option<usize>,
    /// The other samples of a group of duplicates.
    pub others: Vec<usize>,
}

impl Issue {
    /// An issue of a sample, without a suggested class.
    pub fn new(kind: IssueKind, sample: usize, score: f64, detail: impl Into<String>) -> Self {
        Self {
            kind,
            sample: Some(sample),
            score: score.clamp(0.0, 1.0),
            detail: detail.into(),
            suggested: None,
            others: Vec::new(),
        }
    }

    /// An issue of the dataset or of a class.
    pub fn of_dataset(kind: IssueKind, score: f64, detail: impl Into<String>) -> Self {
        Self { sample: None, ..Self::new(kind, 0, score, detail) }
    }
}

/// Sorts issues by kind, then from the worst score to the best.
pub fn sort(issues: &mut [Issue]) {
    issues.sort_by(|a, b| {
        let key = |issue: &Issue| (issue.kind, issue.sample);
        a.kind.cmp(&b.kind).then(a.score.total_cmp(&b.score)).then_with(|| key(a).cmp(&key(b)))
    });
}
