//! Compares Student's t and confidence intervals with values recorded from SciPy by `fixtures/scripts/intervals.py`.

use serde::Deserialize;
use tallow_metrics::{AcrossFolds, Error, MeanInterval, Scores, evaluate, probability_report, student_t_quantile};

#[derive(Deserialize)]
struct Recorded {
    quantiles: Vec<Quantile>,
    means: Vec<Mean>,
}

#[derive(Deserialize)]
struct Quantile {
    confidence: f64,
    freedom: usize,
    t: f64,
}

#[derive(Deserialize)]
struct Mean {
    values: Vec<f64>,
    test_share: f64,
    #[serde(flatten)]
    expected: MeanInterval,
}

fn recorded() -> Recorded {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/metrics/intervals.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-10 * expected.abs().max(1e-3), "{what}: {found} for {expected}");
}

#[test]
fn quantiles_equal_scipys() {
    for Quantile { confidence, freedom, t } in recorded().quantiles {
        assert_close(student_t_quantile(confidence, freedom), t, &format!("{confidence} of {freedom}"));
    }
    assert_eq!(student_t_quantile(0.95, 0), f64::INFINITY);
}

#[test]
fn intervals_equal_scipys() {
    for Mean { values, test_share, expected } in recorded().means {
        let found = MeanInterval::of(&values, test_share).unwrap();
        assert_close(found.mean, expected.mean, "mean");
        assert_close(found.std, expected.std, "std");
        for (found, expected) in [(found.interval, expected.interval), (found.corrected, expected.corrected)] {
            let ((low, high), (expected_low, expected_high)) = (found.unwrap(), expected.unwrap());
            assert_close(low, expected_low, "low");
            assert_close(high, expected_high, "high");
        }
    }
    let single = MeanInterval::of(&[0.5], 0.25).unwrap();
    assert_eq!(single, MeanInterval { mean: 0.5, std: 0.0, interval: None, corrected: None });
    assert_eq!(MeanInterval::of(&[], 0.25), Err(Error::Empty));
}

#[test]
fn every_metric_of_every_fold_is_in_the_table() {
    let classes: Vec<String> = (0..6).map(|class| class.to_string()).collect();
    let labels: Vec<usize> = (0..12).map(|i| i % 6).collect();
    let fold = |wrong: usize| {
        let predicted = |i: usize| if i < wrong { (labels[i] + 1) % 6 } else { labels[i] };
        let logits: Vec<f32> = (0..72).map(|at| if predicted(at / 6) == at % 6 { 3.0 } else { 0.0 }).collect();
        let evaluation = evaluate(&labels, Scores::Logits(&logits), &classes).unwrap();
        (evaluation, Some(probability_report(&labels, &logits, 6).unwrap()))
    };
    let evaluations = [fold(0), fold(3), fold(6)];
    let across = AcrossFolds::of(&evaluations, 72).unwrap();
    let names: Vec<&str> = across.metrics.iter().map(|metric| metric.name.as_str()).collect();
    let first = ["top1", "top5", "loss", "macro_f1", "macro_precision", "macro_recall", "weighted_f1"];
    assert_eq!(
        names,
        [first.as_slice(), &["roc_auc_macro", "roc_auc_weighted", "average_precision_macro", "brier", "ece"]].concat()
    );
    let top1 = &across.metrics[0];
    assert_eq!(top1.values, [1.0, 0.75, 0.5]);
    assert_eq!(top1.summary, MeanInterval::within((0.0, 1.0), &[1.0, 0.75, 0.5], 0.5, 36).unwrap());
    assert_eq!(across.metrics[2].values[1], evaluations[1].0.loss);
    assert_eq!(across.metrics[7].values[1], evaluations[1].1.as_ref().unwrap().roc_auc_macro.unwrap());
    // A metric that one fold lacks has no row.
    let mut lacking = evaluations.clone();
    lacking[2].1.as_mut().unwrap().roc_auc_macro = None;
    let lacking = AcrossFolds::of(&lacking, 72).unwrap();
    assert!(lacking.metrics.len() == 11 && lacking.metrics.iter().all(|metric| metric.name != "roc_auc_macro"));
    // t of two degrees of freedom is 4.30; 9 and 3.6 samples have the variance of the mean. By Student's t alone the
    // intervals are 0.13 to 1.37 and -0.23 to 1.73.
    let table = across.to_string();
    assert!(
        table.contains("\ntop1                      0.7500   0.2500   0.1888 to 0.9748   0.0926 to 0.9888"),
        "{table}"
    );
    assert_eq!(AcrossFolds::of(&[], 72), Err(Error::Empty));
}

#[test]
fn intervals_of_proportions_stay_within_their_range() {
    let within = |values: &[f64]| MeanInterval::within((0.0, 1.0), values, 0.25, 100).unwrap();
    // Folds that agree: as wide as that of the samples, not of width 0.
    let all_right = within(&[1.0; 5]);
    let (low, high) = all_right.interval.unwrap();
    assert!(low > 0.9 && low < 0.95 && high == 1.0, "{low} {high}");
    let (low, high) = within(&[0.99, 1.0, 0.98, 1.0, 1.0]).corrected.unwrap();
    assert!(low > 0.0 && high < 1.0 && low < 0.994 && high > 0.994, "{low} {high}");
    // Far from both ends it is nearly that of Student's t.
    let values = [0.48, 0.5, 0.52, 0.49, 0.51];
    let (plain, score) =
        (MeanInterval::of(&values, 0.25).unwrap(), MeanInterval::within((0.0, 1.0), &values, 0.25, 10_000));
    let ((low, high), (score_low, score_high)) = (plain.interval.unwrap(), score.unwrap().interval.unwrap());
    assert!(
        (low - score_low).abs() < 1e-4 && (high - score_high).abs() < 1e-4,
        "{low} {score_low} {high} {score_high}"
    );
    // A loss has no highest value.
    let loss = MeanInterval::within((0.0, f64::INFINITY), &[0.1, 2.0], 0.5, 100).unwrap();
    assert!(loss.interval.unwrap().0 == 0.0 && loss.interval.unwrap().1 > 2.0);
}

#[test]
fn names_of_any_length_are_printed() {
    let classes = ["a".repeat(70_000), "b".to_owned()];
    let evaluation = evaluate(&[0, 1], Scores::Logits(&[1.0, 0.0, 0.0, 1.0]), &classes).unwrap();
    assert!(evaluation.to_string().len() < 2000 && evaluation.confusion.to_string().len() < 2000);
}
