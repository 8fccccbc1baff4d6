//! One finding.

use crate::Kind;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Issue {
    /// What.
    pub kind: Kind,
    /// With which sample of [`Samples`](crate::Samples); `None`: with a class or the whole dataset.
    pub sample: Option<usize>,
    /// How it fares, 0 (worst) to 1.
    pub score: f64,
    /// The measured value, the other sample, … in words.
    pub detail: String,
    /// The class that the sample should probably have.
    pub suggested: Option<usize>,
    /// What this is about beside the sample: the other samples of a group of duplicates.
    pub others: Vec<usize>,
}

impl Issue {
    /// An issue of a sample, without suggestion.
    pub fn new(kind: Kind, sample: usize, score: f64, detail: impl Into<String>) -> Self {
        Self {
            kind,
            sample: Some(sample),
            score: score.clamp(0.0, 1.0),
            detail: detail.into(),
            suggested: None,
            others: Vec::new(),
        }
    }

    /// An issue of the dataset or a class.
    pub fn of_dataset(kind: Kind, score: f64, detail: impl Into<String>) -> Self {
        Self { sample: None, ..Self::new(kind, 0, score, detail) }
    }
}

/// Sorts by kind, the worst scores first.
pub fn sort(issues: &mut [Issue]) {
    issues.sort_by(|a, b| {
        let key = |issue: &Issue| (issue.kind, issue.sample);
        a.kind.cmp(&b.kind).then(a.score.total_cmp(&b.score)).then_with(|| key(a).cmp(&key(b)))
    });
}
