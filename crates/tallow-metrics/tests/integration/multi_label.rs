//! Compares multi-label metrics with values recorded from scikit-learn by `fixtures/scripts/multi_label.py`.

use std::collections::HashMap;

use serde::Deserialize;
use tallow_metrics::{Error, Evaluation, PrecisionRecallFscore, evaluate_multi_label, sigmoid};

#[derive(Deserialize)]
struct Case {
    name: String,
    classes: Vec<String>,
    targets: Vec<Vec<f32>>,
    logits: Vec<Vec<f32>>,
    report: HashMap<String, PrecisionRecallFscore>,
    subset_accuracy: f64,
    hamming_loss: f64,
    average_precision: Vec<Option<f64>>,
    loss: f64,
}

#[track_caller]
fn close(case: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{case}: {found}, expected {expected}");
}

#[track_caller]
fn same(case: &str, found: &PrecisionRecallFscore, expected: &PrecisionRecallFscore) {
    close(case, found.precision, expected.precision);
    close(case, found.recall, expected.recall);
    close(case, found.f1_score, expected.f1_score);
    assert_eq!(found.support, expected.support, "{case}");
}

#[test]
fn every_metric_equals_scikit_learns() {
    let path = format!("{}/../../fixtures/metrics/multi_label.json", env!("CARGO_MANIFEST_DIR"));
    // Supports are written as floats.
    let text = std::fs::read_to_string(path).unwrap().replace(".0}", "}");
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        let (targets, logits) = (case.targets.concat(), case.logits.concat());
        let found = evaluate_multi_label(&targets, &logits, &case.classes).unwrap();
        let multi = found.multi_label.clone().unwrap();
        close(&case.name, found.loss, case.loss);
        close(&case.name, multi.subset_accuracy, case.subset_accuracy);
        close(&case.name, multi.hamming_loss, case.hamming_loss);
        for class in &found.report.classes {
            same(&case.name, &class.scores, &case.report[&class.name]);
        }
        same(&case.name, &found.report.micro_avg.unwrap(), &case.report["micro avg"]);
        same(&case.name, &found.report.macro_avg, &case.report["macro avg"]);
        same(&case.name, &found.report.weighted_avg, &case.report["weighted avg"]);
        same(&case.name, &multi.samples_avg, &case.report["samples avg"]);
        assert_eq!(multi.average_precision.len(), case.average_precision.len());
        for (found, expected) in multi.average_precision.iter().zip(&case.average_precision) {
            assert_eq!(found.is_some(), expected.is_some(), "{}", case.name);
            close(&case.name, found.unwrap_or(0.0), expected.unwrap_or(0.0));
        }
        let json = serde_json::to_string(&found).unwrap();
        assert!(!json.contains("confusion"));
        let read: Evaluation = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (read.n, read.confusion, read.report.classes.len()),
            (found.n, found.confusion.clone(), case.classes.len())
        );
        close(&case.name, read.multi_label.unwrap().mean_average_precision, multi.mean_average_precision);
        assert!(found.to_string().contains("mAP"));
    }
}

#[test]
fn top1_counts_any_label_and_probabilities_are_independent() {
    let names = ["a", "b"].map(String::from);
    let found = evaluate_multi_label(&[1., 1., 0., 1., 0., 0.], &[3., 1., 2., 1., 0.5, -1.], &names).unwrap();
    assert_eq!(found.top1, 1.0 / 3.0);
    assert_eq!(sigmoid(&[0.0, 1000.0, -1000.0]), [0.5, 1.0, 0.0]);
}

#[test]
fn invalid_input_is_a_typed_error() {
    let names = ["a", "b"].map(String::from);
    assert!(matches!(evaluate_multi_label(&[], &[], &names), Err(Error::Empty)));
    assert!(matches!(evaluate_multi_label(&[], &[], &[]), Err(Error::Classes { .. })));
    assert!(matches!(evaluate_multi_label(&[0., 1.], &[1.], &names), Err(Error::Length { .. })));
    assert!(matches!(evaluate_multi_label(&[0., 1.], &[1., f32::NAN], &names), Err(Error::NotFinite { .. })));
}

#[test]
fn the_logit_is_the_inverse_of_the_sigmoid() {
    let logits = [-30.0, -2.0, 0.0, 0.5, 9.0];
    let back = tallow_metrics::logit(&tallow_metrics::sigmoid(&logits));
    assert!(back.iter().zip(&logits).all(|(a, b)| (a - b).abs() < 2e-3 * (1.0 + b.abs())), "{back:?}");
    assert!(tallow_metrics::logit(&[0.0, 1.0]).iter().all(|logit| logit.is_finite()));
}
