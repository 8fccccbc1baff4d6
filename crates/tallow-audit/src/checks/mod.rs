//! Checks of single images and of class sizes; the table below runs those of single images.

pub mod colour;
pub mod imbalance;
pub mod noise;
pub mod relative;
pub mod shape;

use crate::{AuditConfig, Findings, Issue, IssueKind, Measures, Note, Samples, Scanned};

/// A check of a single image.
struct Check {
    kind: IssueKind,
    /// The score, 0 (worst) to 1. A score below the kind's threshold is an issue.
    score: fn(&Measures) -> f64,
    /// A score that is an issue in every dataset, or below 0.
    always: f64,
    /// The detail of an issue.
    detail: fn(&Measures) -> String,
}

/// The checks of single images. Their thresholds are made for photographs: see [`relative`].
const CHECKS: &[Check] = &[
    Check {
        kind: IssueKind::Dark,
        score: |m| m.brightness_p99,
        always: -1.0,
        detail: |m| format!("99 % of the pixels below {:.2}", m.brightness_p99),
    },
    Check {
        kind: IssueKind::Bright,
        score: |m| 1.0 - m.brightness_p5,
        always: -1.0,
        detail: |m| format!("95 % of the pixels above {:.2}", m.brightness_p5),
    },
    Check {
        kind: IssueKind::Blurry,
        score: |m| m.edges.sharpness(),
        always: -1.0,
        detail: |m| {
            format!("standard deviation of edges {:.1} levels, blur effect {:.2}", m.edges.deviation, m.edges.effect)
        },
    },
    Check {
        kind: IssueKind::LowInformation,
        score: |m| if m.uniform { 0.0 } else { (m.entropy * 0.1).min(1.0) }, // cleanvision's, but for uniform images
        always: 0.0,
        detail: |m| format!("{:.2} bits per pixel", m.entropy),
    },
    Check {
        kind: IssueKind::OddAspectRatio,
        score: |m| m.aspect_ratio(),
        always: -1.0,
        detail: |m| format!("{} × {} (width × height)", m.width, m.height),
    },
];

/// Runs all checks on the scanned samples. The issues are sorted by kind, the worst first. A note names each threshold
/// that was replaced by one relative to the dataset.
pub fn find(samples: &Samples, scanned: &[Scanned], config: &AuditConfig) -> Findings {
    let (mut issues, mut notes) = (Vec::new(), Vec::new());
    let mut readable = Vec::new();
    for (sample, scanned) in scanned.iter().enumerate() {
        match scanned {
            Scanned::Unreadable(reason) => issues.push(Issue::new(IssueKind::Unreadable, sample, 0.0, reason)),
            Scanned::Image(measures) => readable.push((sample, measures.as_ref())),
        }
    }
    for check in CHECKS {
        let scores: Vec<f64> = readable.iter().map(|(_, measures)| (check.score)(measures)).collect();
        let mut threshold = config.threshold(check.kind);
        // A threshold of the user is taken as it is.
        let given = config.thresholds.contains_key(&check.kind);
        let always = if threshold > 0.0 { check.always } else { -1.0 };
        if let Some(relative) = relative::threshold(&scores, threshold).filter(|_| !given) {
            threshold = relative.threshold;
            notes.push(Note { kind: check.kind, text: relative.to_string() });
        }
        for (&(sample, measures), score) in readable.iter().zip(scores) {
            if score < threshold || score <= always {
                issues.push(Issue::new(check.kind, sample, score, (check.detail)(measures)));
            }
        }
    }
    issues.extend(colour::find(&readable, config.threshold(IssueKind::GreyAmongColour)));
    issues.extend(noise::find(&readable, config.threshold(IssueKind::Noisy)));
    issues.extend(shape::odd_sizes(&readable, config.threshold(IssueKind::OddSize)));
    issues.extend(imbalance::find(samples, config.threshold(IssueKind::ClassImbalance)));
    crate::sort(&mut issues);
    Findings { issues, notes }
}
