//! Compares curves, areas, calibration and temperature with values recorded from scikit-learn and SciPy by
//! `fixtures/scripts/metrics.py`.

use serde::Deserialize;
use tallow_metrics::*;

#[derive(Deserialize)]
struct Case {
    classes: usize,
    labels: Vec<usize>,
    logits: Vec<f32>,
    fpr: Vec<f64>,
    tpr: Vec<f64>,
    roc_thresholds: Vec<f64>,
    precision: Vec<f64>,
    recall: Vec<f64>,
    pr_thresholds: Vec<f64>,
    roc_auc: Vec<f64>,
    roc_auc_macro: f64,
    roc_auc_weighted: f64,
    average_precision: Vec<f64>,
    average_precision_macro: f64,
    brier: f64,
    bin_accuracies: Vec<f64>,
    bin_confidences: Vec<f64>,
    bin_counts: Vec<usize>,
    ece: f64,
    temperature: f64,
    temperature_loss: f64,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/metrics/rankings.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect(path)).expect(path)
}

#[track_caller]
fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let near = found.iter().zip(expected).all(|(f, e)| f == e || (f - e).abs() <= tolerance);
    assert!(near, "{what}: found {found:?}, expected {expected:?}");
}

#[test]
fn curves_equal_scikit_learns() -> Result<()> {
    for case in cases() {
        let positive: Vec<bool> = case.labels.iter().map(|label| *label == 1).collect();
        let scores: Vec<f32> = case.logits.iter().skip(1).step_by(case.classes).copied().collect();
        let roc = roc_curve(&positive, &scores)?;
        close("fpr", &roc.fpr, &case.fpr, 1e-12);
        close("tpr", &roc.tpr, &case.tpr, 1e-12);
        assert_eq!(roc.thresholds[0], f64::INFINITY);
        close("thresholds", &roc.thresholds[1..], &case.roc_thresholds, 1e-6);
        let curve = precision_recall_curve(&positive, &scores)?;
        close("precision", &curve.precision, &case.precision, 1e-12);
        close("recall", &curve.recall, &case.recall, 1e-12);
        close("thresholds", &curve.thresholds, &case.pr_thresholds, 1e-6);
    }
    Ok(())
}

#[test]
fn one_vs_rest_areas_equal_scikit_learns() -> Result<()> {
    for case in cases() {
        let (labels, classes) = (&case.labels, case.classes);
        let probabilities = softmax(&case.logits, classes)?;
        let all =
            |each: Vec<Option<f64>>| each.into_iter().map(|value| value.expect("every class")).collect::<Vec<_>>();
        let roc = one_vs_rest(labels, &probabilities, classes, roc_auc_score)?;
        close("roc_auc", &all(roc), &case.roc_auc, 1e-6);
        let precision = one_vs_rest(labels, &probabilities, classes, average_precision_score)?;
        close("average_precision", &all(precision), &case.average_precision, 1e-6);
        let report = probability_report(labels, &case.logits, classes)?;
        close("macro", &[report.roc_auc_macro.expect("a number")], &[case.roc_auc_macro], 1e-6);
        close("weighted", &[report.roc_auc_weighted.expect("a number")], &[case.roc_auc_weighted], 1e-6);
        close("macro", &[report.average_precision_macro.expect("a number")], &[case.average_precision_macro], 1e-6);
    }
    Ok(())
}

#[test]
fn calibration_and_temperature() -> Result<()> {
    for case in cases() {
        let (labels, classes) = (&case.labels, case.classes);
        let probabilities = softmax(&case.logits, classes)?;
        let found = calibration(labels, &probabilities, classes, 15)?;
        assert_eq!(found.bins.iter().map(|bin| bin.count).collect::<Vec<_>>(), case.bin_counts);
        close("accuracy", &found.bins.iter().map(|bin| bin.accuracy).collect::<Vec<_>>(), &case.bin_accuracies, 1e-12);
        close(
            "confidence",
            &found.bins.iter().map(|bin| bin.confidence).collect::<Vec<_>>(),
            &case.bin_confidences,
            1e-6,
        );
        close("ece", &[found.ece], &[case.ece], 1e-6);
        close("brier", &[brier_score_loss(labels, &probabilities, classes)?], &[case.brier], 1e-6);
        let temperature = fit_temperature(labels, &case.logits, classes)?;
        close("temperature", &[temperature], &[case.temperature], 1e-4 * case.temperature);
        let loss = log_loss_at_temperature(labels, &case.logits, classes, temperature)?;
        close("loss", &[loss], &[case.temperature_loss], 1e-6);
    }
    Ok(())
}

#[test]
fn undefined_curves_are_errors_or_left_out_of_means() -> Result<()> {
    let error = |found| Some(Error::OneKind { found });
    assert_eq!(roc_auc_score(&[true, true], &[0.1, 0.2]).err(), error("positives"));
    assert_eq!(roc_auc_score(&[false], &[0.1]).err(), error("negatives"));
    assert_eq!(average_precision_score(&[true, true], &[0.1, 0.2])?, 1.0);
    assert_eq!(roc_auc_score(&[], &[]).err(), Some(Error::Empty));
    assert!(matches!(roc_auc_score(&[true, false], &[f32::NAN, 0.0]), Err(Error::NotFinite { row: 0, .. })));
    // Class 2 does not occur, so the mean is over the other classes.
    let each = one_vs_rest(&[0, 1, 0], &[0.6, 0.3, 0.1, 0.2, 0.7, 0.1, 0.5, 0.4, 0.1], 3, roc_auc_score)?;
    assert_eq!(each, [Some(1.0), Some(1.0), None]);
    assert_eq!(mean_over_classes(&[0, 1, 0], &each), Some((1.0, 1.0)));
    assert_eq!(mean_over_classes(&[0, 0], &[None, None]), None);
    // All predictions are right: the lowest temperature of the search range is the best.
    assert!(fit_temperature(&[0, 1], &[1.0, 0.0, 0.0, 1.0], 2)? < 0.0011);
    assert_eq!(fit_temperature(&[0, 1], &[0.0; 4], 2)?, 1.0);
    Ok(())
}
