//! Wrong labels by confident learning, from the probabilities of a model that was not trained on the samples.

pub mod confident;
pub mod filter;
pub mod probabilities;
pub mod rank;

pub use confident::{ConfidentJoint, confident_joint};
pub use filter::{Filter, find_label_issues, label_issues_mask};
pub use probabilities::Probabilities;
pub use rank::{RankBy, label_quality_scores};

use crate::{AuditConfig, Issue, Kind, Samples};

/// The samples whose labels are probably wrong, each with the suggested class. `rows` holds the index of the sample of
/// each row of the probabilities.
pub fn find(samples: &Samples, probabilities: &Probabilities, rows: &[usize], config: &AuditConfig) -> Vec<Issue> {
    let scores = label_quality_scores(probabilities, config.rank_by);
    let classes = samples.class_names();
    let mut issues: Vec<Issue> = find_label_issues(probabilities, config.filter, config.rank_by)
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
            Issue { suggested: Some(suggested), ..Issue::new(Kind::WrongLabel, rows[row], scores[row], detail) }
        })
        .collect();
    crate::sort(&mut issues);
    issues
}
