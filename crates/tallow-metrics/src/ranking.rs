//! ROC and precision-recall curves and the areas under them: how well scores rank a class's samples above the others.

use crate::metric::{Compute, Direction, Metric, Unit};
use crate::{Error, ProbabilityReport, Result, check};

/// The area under the ROC curve of each class against the rest: the unweighted mean over classes.
pub static ROC_AUC_MACRO: Metric =
    area_metric("roc_auc_macro", "ROC AUC", "roc_auc_score(multi_class=\"ovr\", average=\"macro\")", |probabilities| {
        probabilities.roc_auc_macro
    });

/// The area under the ROC curve of each class against the rest: the mean over classes weighted by their samples.
pub static ROC_AUC_WEIGHTED: Metric = area_metric(
    "roc_auc_weighted",
    "weighted ROC AUC",
    "roc_auc_score(multi_class=\"ovr\", average=\"weighted\")",
    |probabilities| probabilities.roc_auc_weighted,
);

/// The average precision of each class against the rest: the unweighted mean over classes.
pub static AVERAGE_PRECISION_MACRO: Metric = area_metric(
    "average_precision_macro",
    "average precision",
    "average_precision_score(average=\"macro\")",
    |probabilities| probabilities.average_precision_macro,
);

const fn area_metric(
    name: &'static str,
    label: &'static str,
    sklearn: &'static str,
    compute: fn(&ProbabilityReport) -> Option<f64>,
) -> Metric {
    Metric {
        name,
        label,
        sklearn,
        direction: Direction::HigherIsBetter,
        unit: Unit::Number,
        compute: Compute::Probabilities(compute),
    }
}

/// The points of an ROC curve, one for each distinct score, from the highest score to the lowest.
#[derive(Debug, Clone, PartialEq)]
pub struct RocCurve {
    /// The false-positive rate: the fraction of negatives whose score is at or above each threshold; the first is 0.
    pub fpr: Vec<f64>,
    /// The true-positive rate: the fraction of positives whose score is at or above each threshold; the first is 0.
    pub tpr: Vec<f64>,
    /// The thresholds; the first is infinite: no sample is predicted positive.
    pub thresholds: Vec<f64>,
}

/// The points of a precision-recall curve, one for each distinct score, from the lowest score to the highest.
#[derive(Debug, Clone, PartialEq)]
pub struct PrecisionRecallCurve {
    /// The fraction of positives among the samples at or above each threshold; the last is 1.
    pub precision: Vec<f64>,
    /// The fraction of the positives that are at or above each threshold; the last is 0.
    pub recall: Vec<f64>,
    /// The thresholds, one fewer than points.
    pub thresholds: Vec<f64>,
}

/// The ROC curve of one class against the rest.
///
/// # Errors
/// No samples, different numbers of labels and scores, a score that is not finite, only positives, or no positives.
///
/// # Source
/// `sklearn.metrics.roc_curve` with `drop_intermediate=False`.
pub fn roc_curve(positive: &[bool], scores: &[f32]) -> Result<RocCurve> {
    let (steps, positives, negatives) = both_kinds(positive, scores)?;
    let mut curve = RocCurve { fpr: vec![0.0], tpr: vec![0.0], thresholds: vec![f64::INFINITY] };
    for Step { threshold, above, positives_above } in steps {
        curve.fpr.push((above - positives_above) as f64 / negatives as f64);
        curve.tpr.push(positives_above as f64 / positives as f64);
        curve.thresholds.push(threshold.into());
    }
    Ok(curve)
}

/// The area under the ROC curve: the probability that a positive scores higher than a negative, where a tie counts
/// half.
///
/// # Errors
/// The errors of [`roc_curve`].
///
/// # Source
/// `sklearn.metrics.roc_auc_score` with two classes.
pub fn roc_auc_score(positive: &[bool], scores: &[f32]) -> Result<f64> {
    let (steps, positives, negatives) = both_kinds(positive, scores)?;
    let (mut area, mut before) = (0.0, (0, 0));
    for Step { above, positives_above, .. } in steps {
        let (width, height) = ((above - positives_above) - before.1, positives_above + before.0);
        area += width as f64 * height as f64 / 2.0;
        before = (positives_above, above - positives_above);
    }
    Ok(area / (positives as f64 * negatives as f64))
}

/// The precision-recall curve of one class against the rest.
///
/// # Errors
/// The errors of [`roc_curve`], except that all samples may be positive.
///
/// # Source
/// `sklearn.metrics.precision_recall_curve`.
pub fn precision_recall_curve(positive: &[bool], scores: &[f32]) -> Result<PrecisionRecallCurve> {
    let (steps, positives) = some_positives(positive, scores)?;
    let mut curve = PrecisionRecallCurve { precision: vec![], recall: vec![], thresholds: vec![] };
    for Step { threshold, above, positives_above } in steps.into_iter().rev() {
        curve.precision.push(positives_above as f64 / above as f64);
        curve.recall.push(positives_above as f64 / positives as f64);
        curve.thresholds.push(threshold.into());
    }
    curve.precision.push(1.0);
    curve.recall.push(0.0);
    Ok(curve)
}

/// Average precision: `Σ (Rᵢ − Rᵢ₋₁) Pᵢ` over thresholds, the area under the precision-recall curve as a step function.
///
/// # Errors
/// The errors of [`precision_recall_curve`].
///
/// # Source
/// `sklearn.metrics.average_precision_score`.
pub fn average_precision_score(positive: &[bool], scores: &[f32]) -> Result<f64> {
    let (steps, positives) = some_positives(positive, scores)?;
    let (mut sum, mut before) = (0.0, 0);
    for Step { above, positives_above, .. } in steps {
        sum += (positives_above - before) as f64 / positives as f64 * positives_above as f64 / above as f64;
        before = positives_above;
    }
    Ok(sum)
}

/// The `score` of each class against the rest; `None` for a class that has all samples or no sample.
///
/// # Shapes
/// `scores`: row-major `labels.len() × classes`.
///
/// # Errors
/// No samples, a label out of range, a wrong number of scores, or a score that is not finite.
pub fn one_vs_rest(
    labels: &[usize],
    scores: &[f32],
    classes: usize,
    score: impl Fn(&[bool], &[f32]) -> Result<f64>,
) -> Result<Vec<Option<f64>>> {
    check::labels("label", labels, classes)?;
    check::scores(scores, labels.len(), classes)?;
    let of = |class: usize| -> Result<Option<f64>> {
        let positive: Vec<bool> = labels.iter().map(|label| *label == class).collect();
        let column: Vec<f32> = scores.iter().skip(class).step_by(classes).copied().collect();
        let count = positive.iter().filter(|positive| **positive).count();
        (count > 0 && count < labels.len()).then(|| score(&positive, &column)).transpose()
    };
    (0..classes).map(of).collect()
}

/// The unweighted mean of the values of [`one_vs_rest`], and the mean weighted by each class's samples. Classes without
/// a value are left out, where scikit-learn raises; `None` if no class has a value.
pub fn mean_over_classes(labels: &[usize], each: &[Option<f64>]) -> Option<(f64, f64)> {
    let defined: Vec<(f64, f64)> = each
        .iter()
        .enumerate()
        .filter_map(|(class, value)| Some((labels.iter().filter(|l| **l == class).count() as f64, (*value)?)))
        .collect();
    let support: f64 = defined.iter().map(|(support, _)| support).sum();
    let plain = defined.iter().map(|(_, value)| value).sum::<f64>() / defined.len().max(1) as f64;
    (support > 0.0).then(|| (plain, defined.iter().map(|(support, value)| support * value).sum::<f64>() / support))
}

/// The counts of samples at or above a threshold.
struct Step {
    threshold: f32,
    above: usize,
    positives_above: usize,
}

fn steps(positive: &[bool], scores: &[f32]) -> Result<Vec<Step>> {
    if positive.is_empty() {
        return Err(Error::Empty);
    }
    check::scores(scores, positive.len(), 1)?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let mut steps: Vec<Step> = Vec::new();
    let (mut above, mut positives_above) = (0, 0);
    for row in order {
        above += 1;
        positives_above += usize::from(positive[row]);
        let step = Step { threshold: scores[row], above, positives_above };
        match steps.last_mut() {
            Some(last) if last.threshold == step.threshold => *last = step,
            _ => steps.push(step),
        }
    }
    Ok(steps)
}

fn some_positives(positive: &[bool], scores: &[f32]) -> Result<(Vec<Step>, usize)> {
    let steps = steps(positive, scores)?;
    match positive.iter().filter(|positive| **positive).count() {
        0 => Err(Error::OneKind { found: "negatives" }),
        positives => Ok((steps, positives)),
    }
}

fn both_kinds(positive: &[bool], scores: &[f32]) -> Result<(Vec<Step>, usize, usize)> {
    let (steps, positives) = some_positives(positive, scores)?;
    match positive.len() - positives {
        0 => Err(Error::OneKind { found: "positives" }),
        negatives => Ok((steps, positives, negatives)),
    }
}
