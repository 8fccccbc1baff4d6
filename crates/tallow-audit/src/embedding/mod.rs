//! Checks of embeddings, a network's features: outliers, near duplicates, order.

pub mod near;
pub mod neighbours;
pub mod order;
pub mod outlier;

pub use near::near_duplicates;
pub use neighbours::{Neighbours, neighbours};
pub use order::{OrderTest, order};
pub use outlier::outliers;

use crate::{AuditConfig, Error, Issue, IssueKind, Result, Samples};

/// Embeddings: a vector per sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    dim: usize,
    values: Vec<f32>,
}

impl Embeddings {
    /// Creates embeddings from `values`, row-major `n × dim`.
    ///
    /// # Errors
    /// `dim` is 0 or does not divide the number of values, or a value is not finite.
    pub fn new(dim: usize, values: Vec<f32>) -> Result<Self> {
        let fail =
            |expected: &str, found: String| Err(Error::Shape { what: "embeddings", expected: expected.into(), found });
        if dim == 0 || !values.len().is_multiple_of(dim) {
            return fail("complete rows of one or more numbers", format!("{} numbers in rows of {dim}", values.len()));
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return fail("finite numbers", format!("{} in row {}", values[place], place / dim));
        }
        Ok(Self { dim, values })
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The dimension: the length of each vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The vector of sample `index`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..][..self.dim]
    }
}

/// Checks the samples of one split. `rows` holds the index of the sample of each vector.
///
/// All pairs are compared: the time grows with the square of the number of samples.
pub fn find(samples: &Samples, embeddings: &Embeddings, rows: &[usize], config: &AuditConfig) -> Vec<Issue> {
    let found = neighbours(embeddings, config.neighbours);
    if found.is_empty() {
        return Vec::new();
    }
    let mut issues = Vec::new();
    for (row, (score, is_outlier)) in outliers(&found, config.threshold(IssueKind::Outlier)).into_iter().enumerate() {
        if is_outlier {
            let labels = found.of(row).map(|(other, _)| samples.class(rows[other])).take(3).collect::<Vec<_>>();
            let detail = format!("classes of the nearest neighbours: {}", labels.join(", "));
            issues.push(Issue::new(IssueKind::Outlier, rows[row], score, detail));
        }
    }
    let near = near_duplicates(&found, config.threshold(IssueKind::NearDuplicateByEmbedding));
    for (row, (score, others)) in near.into_iter().enumerate().filter(|(_, (_, others))| !others.is_empty()) {
        let others: Vec<usize> = others.iter().map(|other| rows[*other]).collect();
        let detail = format!("like {} and {} more", samples.id(others[0]), others.len() - 1);
        let detail = detail.trim_end_matches(" and 0 more");
        issues.push(Issue { others, ..Issue::new(IssueKind::NearDuplicateByEmbedding, rows[row], score, detail) });
    }
    let OrderTest { statistic, p_value } = order(&found, config.permutations, config.seed);
    if p_value < config.threshold(IssueKind::NonIid) {
        let split = samples.split(rows[0]).name();
        let detail = format!("{split}: p = {p_value:.2e}, statistic {statistic:.3}");
        issues.push(Issue::of_dataset(IssueKind::NonIid, p_value, detail));
    }
    crate::sort(&mut issues);
    issues
}
