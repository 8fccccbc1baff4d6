//! The `[train.batch_growth]` section.

use serde::{Deserialize, Serialize};
use tallow_optim::InvalidValue;

/// The `[train.batch_growth]` section: batches of `train.batch_size · factor^⌊epoch / every_epochs⌋` samples, epochs counted
/// from 0.
///
/// # Source
/// Smith et al. 2018, "Don't Decay the Learning Rate, Increase the Batch Size".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct BatchGrowthConfig {
    /// The factor by which batches grow, above 1.
    pub factor: f64,
    /// The epochs between two growths, 1 or more.
    pub every_epochs: u64,
    /// The largest batch size; no limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
}

impl Default for BatchGrowthConfig {
    fn default() -> Self {
        Self { factor: 2.0, every_epochs: 1, max: None }
    }
}

impl BatchGrowthConfig {
    /// The first key whose value is out of range, and what is expected of it.
    pub(crate) fn first_invalid(&self) -> Option<InvalidValue> {
        let checks = [
            (self.factor > 1.0 && self.factor.is_finite(), "factor", "a factor above 1"),
            (self.every_epochs > 0, "every_epochs", "1 or more"),
            (self.max != Some(0), "max", "1 or more"),
        ];
        checks.into_iter().find(|(valid, _, _)| !valid).map(|(_, key, expected)| InvalidValue { key, expected })
    }

    /// The samples of a batch in an epoch, counted from 0, where the first epoch has `first`.
    pub fn batch_size(&self, first: usize, epoch: u64) -> usize {
        let times = i32::try_from(epoch / self.every_epochs.max(1)).unwrap_or(i32::MAX);
        // A cast of what is larger than any usize gives the largest.
        let size = (first as f64 * self.factor.powi(times)).round() as usize;
        size.min(self.max.unwrap_or(usize::MAX).max(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_by_the_factor_up_to_the_limit() {
        let growth = BatchGrowthConfig { factor: 1.5, every_epochs: 2, max: Some(250) };
        let sizes: Vec<usize> = (0..8).map(|epoch| growth.batch_size(100, epoch)).collect();
        assert_eq!(sizes, [100, 100, 150, 150, 225, 225, 250, 250]);
        // A limit below the first size leaves that as it is.
        let low = BatchGrowthConfig { max: Some(10), ..BatchGrowthConfig::default() };
        assert_eq!([low.batch_size(100, 0), low.batch_size(100, 9)], [100, 100]);
        assert_eq!(BatchGrowthConfig::default().batch_size(100, 10_000), usize::MAX);
    }
}
