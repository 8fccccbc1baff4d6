//! Classes with few training samples.
//!
//! # Source
//! cleanlab Datalab's `class_imbalance` reports the rarest class if its share is below 0.1 / classes; this check
//! reports every such class.

use crate::{Issue, IssueKind, Samples};

/// The classes whose share of the training samples, divided by the share in a balanced dataset, is below the threshold.
pub fn find(samples: &Samples, threshold: f64) -> Vec<Issue> {
    let Some((_, train)) = samples.parts().first() else { return Vec::new() };
    let counts = tallow_data::class_counts(train.as_ref());
    let even = train.len() as f64 / counts.len().max(1) as f64;
    let rare = counts.iter().enumerate().filter(|(_, count)| (**count as f64) < threshold * even);
    rare.map(|(class, count)| {
        let name = &samples.class_names()[class];
        let detail = format!("class {name}: {count} of {} training samples, {even:.0} if balanced", train.len());
        Issue::of_dataset(IssueKind::ClassImbalance, *count as f64 / even, detail)
    })
    .collect()
}
