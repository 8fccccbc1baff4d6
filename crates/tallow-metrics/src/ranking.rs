//! ROC and precision-recall curves with the areas under them: how well scores rank the samples of a class before others.

use crate::{Error, Result, check};

/// The points of a curve at each distinct score, from the highest down.
#[derive(Debug, Clone, PartialEq)]
pub struct RocCurve {
    /// The fraction of negatives at or above each threshold; the first is 0.
    pub fpr: Vec<f64>,
    /// The fraction of positives; the first is 0.
    pub tpr: Vec<f64>,
    /// The scores; the first is infinite, where nothing is called positive.
    pub thresholds: Vec<f64>,
}

/// The points of a precision-recall curve at each distinct score, from the lowest up.
#[derive(Debug, Clone, PartialEq)]
pub struct PrecisionRecallCurve {
    /// The fraction of positives among what is at or above each threshold; the last is 1.
    pub precision: Vec<f64>,
    /// The fraction of positives found there; the last is 0.
    pub recall: Vec<f64>,
    /// The scores, one fewer.
    pub thresholds: Vec<f64>,
}

/// The ROC curve of one class against the rest.
///
/// # Errors
/// No samples; another number of scores; one that is not finite; only positives, or none.
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

/// The area under the ROC curve: how likely a positive scores higher than a negative, ties counting half.
///
/// # Errors
/// As [`roc_curve`].
///
/// # Source
/// `sklearn.metrics.roc_auc_score` of two classes.
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
/// As [`roc_curve`]; samples that are all positive have one.
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

/// Average precision: the mean precision at the places of the positives, `Σ (Rᵢ − Rᵢ₋₁) Pᵢ` over thresholds.
///
/// # Errors
/// As [`precision_recall_curve`].
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

/// `score` of each class against the rest: `None` for a class that has all samples or none of them.
///
/// # Shapes
/// `scores`: row-major `labels.len() × classes`.
///
/// # Errors
/// No samples; labels or scores that do not fit.
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

/// The plain mean of what [`one_vs_rest`] gave, and the mean weighted by each class's samples, over the classes that have
/// a number; none if no class has. scikit-learn refuses where a class is missing.
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

/// What is at or above a threshold.
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
