//! Noisy images.

use crate::stats::quantile;
use crate::{Issue, IssueKind, Measures};

/// The noisy images whose amount of noise also exceeds the dataset's upper quartile by more than 3 interquartile
/// ranges: in a dataset of textures many images look noisy.
pub fn find(readable: &[(usize, &Measures)], threshold: f64) -> Vec<Issue> {
    let mut sorted: Vec<f64> = readable.iter().map(|(_, measures)| measures.noise.amount()).collect();
    sorted.sort_by(f64::total_cmp);
    let (q1, q3) = (quantile(&sorted, 0.25), quantile(&sorted, 0.75));
    let stands_out = |m: &Measures| m.noise.score() < threshold && m.noise.amount() > q3 + 3.0 * (q3 - q1);
    let noisy = readable.iter().filter(|(_, measures)| stands_out(measures));
    noisy.map(|(sample, m)| Issue::new(IssueKind::Noisy, *sample, m.noise.score(), m.noise.to_string())).collect()
}
