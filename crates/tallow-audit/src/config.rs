//! The settings of an audit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::labels::{Filter, RankBy};
use crate::{Error, IssueKind, Result};

/// Thresholds and methods. Where cleanvision or cleanlab has a check, the default is theirs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditConfig {
    /// Thresholds that replace [`IssueKind::default_threshold`]: a sample with a lower score is an issue. 0 disables a kind.
    pub thresholds: BTreeMap<IssueKind, f64>,
    /// Near duplicates: the number of the 64 bits of a perceptual hash that may differ, 0 to 10.
    pub hash_bits: u32,
    /// Near duplicates: the minimum correlation of two images at 16 × 16 pixels, 0 to 1.
    pub similarity: f64,
    /// Wrong labels: the method that selects them.
    pub filter: Filter,
    /// Wrong labels: the method that scores them.
    pub rank_by: RankBy,
    /// Embeddings: the number of nearest neighbours, 1 or more.
    pub neighbours: usize,
    /// Order: the number of random permutations of the test, 3 or more.
    pub permutations: usize,
    /// Order: the seed of the permutations.
    pub seed: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            thresholds: BTreeMap::new(),
            hash_bits: 4,
            similarity: 0.995,
            filter: Filter::PruneByNoiseRate,
            rank_by: RankBy::SelfConfidence,
            neighbours: 10,
            permutations: 25,
            seed: 0,
        }
    }
}

impl AuditConfig {
    /// The score below which a sample is an issue of this kind; 0 for a kind without a threshold.
    pub fn threshold(&self, kind: IssueKind) -> f64 {
        self.thresholds.get(&kind).copied().or(kind.default_threshold()).unwrap_or(0.0)
    }

    /// Checks the range of each setting.
    ///
    /// # Errors
    /// A setting is out of range, or a kind without a threshold has one.
    pub fn check(&self) -> Result<()> {
        let fail = |field: &str, expected: &str, found: String| {
            Err(Error::Option { field: field.into(), expected: expected.into(), found })
        };
        for (kind, threshold) in &self.thresholds {
            if kind.default_threshold().is_none() {
                return fail(kind.name(), "absent: this kind has no threshold", threshold.to_string());
            }
            if !(0.0..=1.0).contains(threshold) {
                return fail(kind.name(), "a threshold from 0 to 1", threshold.to_string());
            }
        }
        if self.hash_bits > 10 {
            return fail("hash_bits", "from 0 to 10", self.hash_bits.to_string());
        }
        if !(0.0..=1.0).contains(&self.similarity) {
            return fail("similarity", "from 0 to 1", self.similarity.to_string());
        }
        if self.neighbours == 0 {
            return fail("neighbours", "at least 1", "0".into());
        }
        if self.permutations < 3 {
            return fail("permutations", "at least 3", self.permutations.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_errors_that_name_the_setting() {
        assert!(AuditConfig::default().check().is_ok());
        let with = |kind, value| AuditConfig { thresholds: [(kind, value)].into(), ..AuditConfig::default() };
        assert!(with(IssueKind::Dark, 0.5).check().is_ok());
        assert_eq!(with(IssueKind::Dark, 0.5).threshold(IssueKind::Dark), 0.5);
        assert!(with(IssueKind::Dark, 1.5).check().is_err_and(|error| error.to_string().starts_with("`dark`")));
        assert!(with(IssueKind::Unreadable, 0.5).check().is_err());
        assert!(AuditConfig { hash_bits: 11, ..AuditConfig::default() }.check().is_err());
        assert!(AuditConfig { permutations: 2, ..AuditConfig::default() }.check().is_err());
    }
}
