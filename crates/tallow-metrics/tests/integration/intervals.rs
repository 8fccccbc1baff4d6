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
    assert_eq!(top1.summary, MeanInterval::of(&[1.0, 0.75, 0.5], 0.5).unwrap());
    assert_eq!(across.metrics[2].values[1], evaluations[1].0.loss);
    assert_eq!(across.metrics[7].values[1], evaluations[1].1.as_ref().unwrap().roc_auc_macro.unwrap());
    // A metric that one fold lacks has no row.
    let mut lacking = evaluations.clone();
    lacking[2].1.as_mut().unwrap().roc_auc_macro = None;
    let lacking = AcrossFolds::of(&lacking, 72).unwrap();
    assert!(lacking.metrics.len() == 11 && lacking.metrics.iter().all(|metric| metric.name != "roc_auc_macro"));
    // t of two degrees of freedom is 4.30: 0.75 ± 4.30 · 0.25 / √3.
    let table = across.to_string();
    assert!(
        table.contains("\ntop1                      0.7500   0.2500   0.1290 to 1.3710  -0.2319 to 1.7319"),
        "{table}"
    );
    assert_eq!(AcrossFolds::of(&[], 72), Err(Error::Empty));
}
