//! Checks of single images and of class sizes, one per file; the table below runs them.

pub mod blur;
pub mod brightness;
pub mod colour;
pub mod imbalance;
pub mod information;
pub mod noise;
pub mod shape;

use crate::{AuditConfig, Issue, Kind, Measures, Samples, Scanned};

/// A check: the kind of issue, the score of an image, and the detail of an issue.
type Check = (Kind, fn(&Measures) -> f64, fn(&Measures) -> String);

/// The checks that need no other image. A score below the kind's threshold is an issue.
const CHECKS: &[Check] = &[
    (Kind::Dark, brightness::dark, |m| format!("99 % of the pixels below {:.2}", m.brightness_p99)),
    (Kind::Bright, brightness::bright, |m| format!("95 % of the pixels above {:.2}", m.brightness_p5)),
    (Kind::Blurry, blur::score, |m| {
        format!("standard deviation of edges {:.1} levels, blur effect {:.2}", m.edges.deviation, m.edges.effect)
    }),
    (Kind::LowInformation, information::score, |m| format!("{:.2} bits per pixel", m.entropy)),
    (Kind::OddAspectRatio, shape::aspect_ratio, |m| format!("{} × {} (width × height)", m.width, m.height)),
];

/// Runs all checks on the scanned samples. The issues are sorted by kind, the worst first.
pub fn find(samples: &Samples, scanned: &[Scanned], config: &AuditConfig) -> Vec<Issue> {
    let mut issues = Vec::new();
    let mut readable = Vec::new();
    for (sample, scanned) in scanned.iter().enumerate() {
        match scanned {
            Scanned::Unreadable(reason) => issues.push(Issue::new(Kind::Unreadable, sample, 0.0, reason)),
            Scanned::Image(measures) => readable.push((sample, measures.as_ref())),
        }
    }
    for (kind, score, detail) in CHECKS {
        let threshold = config.threshold(*kind);
        for &(sample, measures) in &readable {
            let score = score(measures);
            if score < threshold {
                issues.push(Issue::new(*kind, sample, score, detail(measures)));
            }
        }
    }
    issues.extend(colour::find(&readable, config.threshold(Kind::GreyAmongColour)));
    issues.extend(noise::find(&readable, config.threshold(Kind::Noisy)));
    issues.extend(shape::odd_sizes(&readable, config.threshold(Kind::OddSize)));
    issues.extend(imbalance::find(samples, config.threshold(Kind::ClassImbalance)));
    crate::sort(&mut issues);
    issues
}

/// The quantile of sorted values at `share`, 0 to 1, by linear interpolation, as NumPy's `percentile`.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    sorted[low] + part * (sorted[(low + 1).min(last)] - sorted[low])
}
