//! Compares metrics and errors with values recorded from scikit-learn by `fixtures/scripts/metrics.py`.

use serde::{Deserialize, de::DeserializeOwned};
use tallow_metrics::precision_recall_fscore::average;
use tallow_metrics::*;

fn recorded<T: DeserializeOwned>(name: &str) -> T {
    let path = format!("{}/../../fixtures/metrics/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn close(case: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{case}: found {found}, expected {expected}");
}

#[derive(Deserialize)]
struct PredictionCase {
    name: String,
    class_names: Vec<String>,
    labels: Vec<usize>,
    predictions: Vec<usize>,
    accuracy: f64,
    confusion: RecordedMatrix,
    reports: Vec<RecordedReport>,
}

#[derive(Deserialize)]
struct RecordedMatrix {
    counts: Vec<Vec<u64>>,
    r#true: Vec<Vec<f64>>,
    pred: Vec<Vec<f64>>,
    all: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct RecordedReport {
    chosen: Vec<usize>,
    text: String,
    text4: String,
    /// Precision, recall, F1 and support, a value per class.
    each: (Vec<f64>, Vec<f64>, Vec<f64>, Vec<u64>),
    micro: (f64, f64, f64, Option<u64>),
    r#macro: (f64, f64, f64, Option<u64>),
    weighted: (f64, f64, f64, Option<u64>),
}

#[test]
fn accuracy_and_confusion_matrix() {
    for case in recorded::<Vec<PredictionCase>>("predictions") {
        close(&case.name, accuracy_score(&case.labels, &case.predictions).unwrap(), case.accuracy, 1e-15);
        let matrix = confusion_matrix(&case.labels, &case.predictions, &case.class_names).unwrap();
        assert_eq!(matrix.counts(), case.confusion.counts, "{}", case.name);
        for (by, expected) in [
            (Normalize::True, &case.confusion.r#true),
            (Normalize::Pred, &case.confusion.pred),
            (Normalize::All, &case.confusion.all),
        ] {
            for (found, expected) in matrix.normalized(by).concat().iter().zip(expected.concat()) {
                close(&case.name, *found, expected, 1e-15);
            }
        }
    }
}

#[test]
fn classification_reports_equal_scikit_learns_in_value_and_layout() {
    for case in recorded::<Vec<PredictionCase>>("predictions") {
        let PredictionCase { name, class_names, labels, predictions, .. } = &case;
        let matrix = confusion_matrix(labels, predictions, class_names).unwrap();
        let whole = classification_report(labels, predictions, class_names).unwrap();
        assert_eq!(whole.to_string(), whole_support(&case.reports[0].text), "{name}");
        for expected in &case.reports {
            let report = classification_report_of(labels, predictions, class_names, &expected.chosen).unwrap();
            assert_eq!(report.to_string(), whole_support(&expected.text), "{name}");
            assert_eq!(format!("{report:.4}"), whole_support(&expected.text4), "{name}");
            for (i, class) in report.classes.iter().enumerate() {
                close(name, class.scores.precision, expected.each.0[i], 1e-12);
                close(name, class.scores.recall, expected.each.1[i], 1e-12);
                close(name, class.scores.f1_score, expected.each.2[i], 1e-12);
                assert_eq!(class.scores.support, expected.each.3[i], "{name}");
            }
            for (by, expected_average) in [
                (Average::Micro, &expected.micro),
                (Average::Macro, &expected.r#macro),
                (Average::Weighted, &expected.weighted),
            ] {
                let found = average(&matrix, &expected.chosen, by);
                close(name, found.precision, expected_average.0, 1e-12);
                close(name, found.recall, expected_average.1, 1e-12);
                close(name, found.f1_score, expected_average.2, 1e-12);
            }
        }
    }
}

/// If no prediction is right, scikit-learn prints the support as a float, `1.0`; this crate prints `1`.
fn whole_support(report: &str) -> String {
    let line = |line: &str| match line.strip_suffix(".0") {
        Some(start) => {
            let digits = start.len() - start.rfind(' ').map_or(0, |space| space + 1);
            let (rest, support) = start.split_at(start.len() - digits);
            format!("{rest}  {support}\n")
        }
        None => format!("{line}\n"),
    };
    report.lines().map(line).collect()
}

#[derive(Deserialize)]
struct ScoreCase {
    name: String,
    classes: usize,
    labels: Vec<usize>,
    logits: Vec<f32>,
    probabilities: Vec<f32>,
    argmax: Vec<usize>,
    /// For k = 1, 2, … classes.
    top_k: Vec<f64>,
    log_loss: f64,
    log_loss_from_logits: f64,
}

#[test]
fn top_k_softmax_and_log_loss() {
    for case in recorded::<Vec<ScoreCase>>("scores") {
        let ScoreCase { name, classes, labels, logits, .. } = &case;
        assert_eq!(argmax(logits, *classes).unwrap(), case.argmax, "{name}");
        for (k, expected) in (1..).zip(&case.top_k) {
            close(name, top_k_accuracy_score(labels, logits, *classes, k).unwrap(), *expected, 1e-15);
        }
        for (found, expected) in softmax(logits, *classes).unwrap().iter().zip(&case.probabilities) {
            close(name, (*found).into(), (*expected).into(), 1e-7);
        }
        // scikit-learn sums float32 probabilities in float32.
        let tolerance = 2e-6 * case.log_loss.max(1.0);
        close(name, log_loss(labels, &case.probabilities, *classes).unwrap(), case.log_loss, tolerance);
        let tolerance = 1e-9 * case.log_loss_from_logits.max(1.0);
        close(name, log_loss_from_logits(labels, logits, *classes).unwrap(), case.log_loss_from_logits, tolerance);
    }
}

#[test]
fn evaluation_agrees_with_the_functions_and_round_trips_through_json() {
    for case in recorded::<Vec<ScoreCase>>("scores") {
        let class_names: Vec<String> = (0..case.classes).map(|class| format!("class {class}")).collect();
        let evaluation = evaluate(&case.labels, Scores::Logits(&case.logits), &class_names).unwrap();
        assert_eq!(evaluation.n, case.labels.len());
        assert_eq!(evaluation.top1, accuracy_score(&case.labels, &case.argmax).unwrap());
        assert_eq!(evaluation.top5, (case.classes > 5).then(|| case.top_k[4]));
        assert_eq!(evaluation.report.accuracy, Some(evaluation.top1));
        close(&case.name, evaluation.loss, case.log_loss_from_logits, 1e-9 * evaluation.loss.max(1.0));

        let json = serde_json::to_string_pretty(&evaluation).unwrap();
        assert_eq!(serde_json::from_str::<Evaluation>(&json).unwrap().confusion, evaluation.confusion);

        let from_probabilities = evaluate(&case.labels, Scores::Probabilities(&case.probabilities), &class_names);
        close(&case.name, from_probabilities.unwrap().loss, case.log_loss, 2e-6 * case.log_loss.max(1.0));
    }
}

#[test]
fn one_class_is_always_right() {
    let only = ["only".to_owned()];
    let evaluation = evaluate(&[0, 0], Scores::Logits(&[3.0, -1.0]), &only).unwrap();
    assert_eq!((evaluation.loss, evaluation.top1, evaluation.top5), (0.0, 1.0, None));
    let evaluation = evaluate(&[0, 0], Scores::Probabilities(&[1.0, 1.0]), &only).unwrap();
    assert_eq!(evaluation.top1, 1.0);
    assert_eq!(top_k_accuracy_score(&[0], &[0.5], 1, 1), Ok(1.0));
}

#[test]
fn errors_of_scikit_learn_are_errors_that_name_the_row() {
    let two = ["a", "b"].map(String::from);
    let nan = Error::NotFinite { row: 1, class: 0, found: f32::INFINITY };
    let found = [
        ("accuracy_score empty", accuracy_score(&[], &[]).err(), Error::Empty),
        ("confusion_matrix empty", confusion_matrix(&[], &[], &two).err(), Error::Empty),
        ("classification_report empty", classification_report(&[], &[], &two).err(), Error::Empty),
        ("log_loss empty", log_loss(&[], &[], 2).err(), Error::Empty),
        ("log_loss one class", log_loss(&[0, 0], &[1.0, 1.0], 1).err(), Error::Classes { needed: 2, found: 1 }),
        (
            "log_loss out of range",
            log_loss(&[0, 1], &[1.5, -0.5, 0.0, 1.0], 2).err(),
            Error::NotAProbability { row: 0, class: 0, found: 1.5 },
        ),
        ("top_k empty", top_k_accuracy_score(&[], &[], 3, 1).err(), Error::Empty),
        ("top_k k=0", top_k_accuracy_score(&[0], &[0.0; 3], 3, 0).err(), Error::ZeroK),
        ("top_k infinite", top_k_accuracy_score(&[0, 1], &[0.0, 1.0, f32::INFINITY, 0.0], 2, 1).err(), nan),
    ];
    let mut refused: std::collections::HashMap<String, String> = recorded("refused");
    for (name, error, expected) in found {
        assert_eq!(error, Some(expected), "{name}");
        assert!(refused.remove(name).is_some(), "{name}: not recorded");
    }
    for (name, error) in [
        ("log_loss nan", log_loss(&[0, 1], &[0.0, 1.0, f32::NAN, 0.0], 2).err()),
        ("top_k nan", top_k_accuracy_score(&[0, 1], &[0.0, 1.0, f32::NAN, 0.0], 2, 1).err()),
    ] {
        assert!(matches!(error, Some(Error::NotFinite { row: 1, class: 0, .. })), "{name}: {error:?}");
        refused.remove(name);
    }
    assert!(refused.is_empty(), "recorded but not tested: {refused:?}");
}

#[test]
fn invalid_input_is_a_typed_error() {
    let two = ["a", "b"].map(String::from);
    let length = |what, expected, found| Some(Error::Length { what, expected, found });
    assert_eq!(accuracy_score(&[0, 1], &[0]).err(), length("predictions", 2, 1));
    assert_eq!(top_k_accuracy_score(&[0, 1], &[0.0; 5], 2, 1).err(), length("scores", 4, 5));
    assert_eq!(softmax(&[0.0; 5], 2).err(), length("scores", 6, 5));
    assert_eq!(softmax(&[], 0).err(), Some(Error::Classes { needed: 1, found: 0 }));
    assert_eq!(evaluate(&[], Scores::Logits(&[]), &two).err(), Some(Error::Empty));
    assert_eq!(evaluate(&[0], Scores::Logits(&[]), &[]).err(), Some(Error::Classes { needed: 1, found: 0 }));
    assert_eq!(
        confusion_matrix(&[0, 1], &[0, 2], &two).err(),
        Some(Error::OutOfRange { what: "prediction", row: 1, found: 2, classes: 2 })
    );
    assert!(matches!(log_loss(&[0], &[0.5, 0.4], 2), Err(Error::RowSum { row: 0, .. })));
    let chosen = |chosen: &[usize]| classification_report_of(&[0, 1], &[0, 1], &two, chosen).err();
    assert_eq!(chosen(&[]), Some(Error::Classes { needed: 1, found: 0 }));
    assert_eq!(chosen(&[1, 1]), Some(Error::ChosenTwice { class: 1 }));
    assert_eq!(chosen(&[2]), Some(Error::OutOfRange { what: "chosen class", row: 0, found: 2, classes: 2 }));
}

#[test]
fn a_confusion_matrix_from_a_file_must_be_square() {
    for broken in [
        r#"{"class_names": ["a", "b"], "counts": [[1, 0]]}"#,
        r#"{"class_names": ["a", "b"], "counts": [[1, 0], [1]]}"#,
        r#"{"class_names": ["a"], "counts": [[1], [1]]}"#,
    ] {
        let error = serde_json::from_str::<ConfusionMatrix>(broken).unwrap_err();
        assert!(error.to_string().contains("confusion matrix"), "{error}");
    }
}

#[test]
fn confusion_matrix_as_a_table() {
    let names = ["T-shirt/top", "Bag", "Ü"].map(String::from);
    let matrix = confusion_matrix(&[0, 0, 1, 1, 1, 0], &[0, 1, 1, 1, 0, 1], &names).unwrap();
    let counts = "\
true \\ predicted  T-shir…  Bag  Ü
     T-shirt/top        1    2  0
             Bag        1    2  0
               Ü        0    0  0
";
    assert_eq!(matrix.to_string(), counts);
    let recall = "\
true \\ predicted  T-shir…   Bag     Ü
     T-shirt/top     0.33  0.67  0.00
             Bag     0.33  0.67  0.00
               Ü     0.00  0.00  0.00
";
    assert_eq!(matrix.table(Some(Normalize::True)), recall);
    let worst = matrix.most_confused(1);
    assert_eq!((worst[0].label, worst[0].predicted, worst[0].count), (0, 1, 2));
    assert_eq!(matrix.most_confused(9).len(), 2);
}
