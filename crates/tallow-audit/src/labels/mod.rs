//! Wrong labels by confident learning, from the probabilities of a model that was not trained on the samples.

pub mod confident;
pub mod filter;
pub mod probabilities;
pub mod rank;

pub use confident::{ConfidentJoint, confident_joint};
pub use filter::{Filter, find_label_issues, label_issues_mask};
pub use probabilities::Probabilities;
pub use rank::{RankBy, label_quality_scores};

use crate::{Findings, Issue, IssueKind, Note, Samples};

/// The samples whose labels are probably wrong, each with the suggested class. `rows` holds the index of the sample of
/// each row of the probabilities; `source` says where these are from. A note states the model's accuracy.
pub fn find(
    samples: &Samples,
    probabilities: &Probabilities,
    rows: &[usize],
    source: &str,
    filter: Filter,
    rank_by: RankBy,
) -> Findings {
    let scores = label_quality_scores(probabilities, rank_by);
    let classes = samples.class_names();
    let mut issues: Vec<Issue> = find_label_issues(probabilities, filter, rank_by)
        .into_iter()
        .map(|row| {
            let (p, label) = (probabilities.row(row), probabilities.labels()[row]);
            let suggested = probabilities::argmax(p);
            let detail = format!(
                "{} {:.1} %, {} {:.1} %",
                classes[suggested],
                100.0 * p[suggested],
                classes[label],
                100.0 * p[label]
            );
            Issue { suggested: Some(suggested), ..Issue::new(IssueKind::WrongLabel, rows[row], scores[row], detail) }
        })
        .collect();
    crate::sort(&mut issues);
    let (right, all) = (probabilities.correct(), probabilities.len());
    let text = format!(
        "{source}: the model predicts {right} of {all} labels ({:.1} %), and {} labels are selected. A model that is often \
         wrong also lists right labels.",
        100.0 * right as f64 / all.max(1) as f64,
        issues.len()
    );
    Findings { issues, notes: vec![Note { kind: IssueKind::WrongLabel, text }] }
}
