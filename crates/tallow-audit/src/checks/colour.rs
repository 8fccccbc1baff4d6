//! Grey images in a dataset of colour images. A dataset with as many grey images has no such issue.

use crate::{Issue, IssueKind, Measures};

/// The colourfulness with score 1, in levels.
const COLOURED: f64 = 32.0;

/// The colour score, 0 (grey) to 1.
pub fn score(measures: &Measures) -> f64 {
    (f64::from(measures.colourfulness) / COLOURED).min(1.0)
}

/// The grey images, if fewer than half of all images are grey.
pub fn find(readable: &[(usize, &Measures)], threshold: f64) -> Vec<Issue> {
    let grey: Vec<_> = readable.iter().filter(|(_, measures)| score(measures) < threshold).collect();
    if 2 * grey.len() >= readable.len() {
        return Vec::new();
    }
    let issue = |&&(sample, m): &&(usize, &Measures)| {
        let detail = format!("channels at most {} levels apart", m.colourfulness);
        Issue::new(IssueKind::GreyAmongColour, sample, score(m), detail)
    };
    grey.iter().map(issue).collect()
}
