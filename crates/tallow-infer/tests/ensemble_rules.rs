//! Every rule of combination against values recorded from NumPy, SciPy and scikit-learn (fixtures/scripts/ensemble.py).

use serde::Deserialize;
use tallow_infer::ensemble::combine::uniform;
use tallow_infer::ensemble::{LogisticRegression, Stack, average, fit_weights, select_greedily, vote};

#[derive(Deserialize)]
struct Case {
    labels: Vec<usize>,
    classes: usize,
    members: Vec<Vec<f32>>,
    average: Vec<f32>,
    votes: Vec<f32>,
    winners: Vec<usize>,
    weights: Vec<f64>,
    weighted_loss: f64,
    selected: Vec<f64>,
    selected_loss: f64,
    stacks: Vec<RecordedStack>,
}

#[derive(Deserialize)]
struct RecordedStack {
    c: f64,
    coef: Vec<Vec<f64>>,
    intercept: Vec<f64>,
    probabilities: Vec<f64>,
    log_loss: f64,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ensemble/rules.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect(path)).expect(path)
}

#[track_caller]
fn close<'a>(
    what: &str,
    found: impl IntoIterator<Item = f64>,
    expected: impl IntoIterator<Item = &'a f64>,
    tolerance: f64,
) {
    let (found, expected): (Vec<f64>, Vec<f64>) =
        (found.into_iter().collect(), expected.into_iter().copied().collect());
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
    assert!(worst <= tolerance, "{what}: off by {worst}\nfound    {found:?}\nexpected {expected:?}");
}

fn loss(labels: &[usize], probabilities: &[f32], classes: usize) -> f64 {
    let total: f64 = labels.iter().enumerate().map(|(i, l)| -f64::from(probabilities[i * classes + l]).ln()).sum();
    total / labels.len() as f64
}

#[test]
fn averages_and_votes_are_numpys() {
    for case in cases() {
        let mean = average(&case.members, &uniform(case.members.len()));
        assert_eq!(mean.len(), case.labels.len() * case.classes);
        assert!(mean.iter().zip(&case.average).all(|(f, e)| (f - e).abs() < 1e-6));
        let shares = vote(&case.members, case.classes);
        assert_eq!(tallow_metrics::argmax(&shares, case.classes).expect("classes"), case.winners);
        // Behind the mean, which is less than one vote, the votes are whole.
        let votes = shares.iter().zip(&mean).map(|(share, p)| share * (case.members.len() + 1) as f32 - p);
        assert!(votes.zip(&case.votes).all(|(f, e)| (f - e).abs() < 1e-5));
    }
}

#[test]
fn weights_reach_the_loss_of_scipys_slsqp() {
    for case in cases() {
        let weights = fit_weights(&case.labels, &case.members, case.classes);
        let reached = loss(&case.labels, &average(&case.members, &weights), case.classes);
        assert!((reached - case.weighted_loss).abs() < 1e-6, "{reached}, expected {}", case.weighted_loss);
        close("weights", weights.iter().copied(), &case.weights, 2e-3);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12 && weights.iter().all(|w| *w >= 0.0));
    }
}

#[test]
fn greedy_selection_is_numpys() {
    for case in cases() {
        let weights = select_greedily(&case.labels, &case.members, case.classes);
        close("weights", weights.iter().copied(), &case.selected, 1e-12);
        let reached = loss(&case.labels, &average(&case.members, &weights), case.classes);
        assert!((reached - case.selected_loss).abs() < 1e-6 && reached >= case.weighted_loss - 1e-6);
    }
}

#[test]
fn stacks_are_scikit_learns_logistic_regressions() {
    for case in cases() {
        for expected in &case.stacks {
            let stack = Stack::fit(&case.labels, &case.members, case.classes, Some(expected.c));
            let LogisticRegression { c, coef, intercept } = stack.regression();
            assert_eq!(*c, expected.c);
            close("coef", coef.concat(), &expected.coef.concat(), 1e-4);
            close("intercept", intercept.iter().copied(), &expected.intercept, 1e-4);
            let logits = stack.logits(&case.members, case.classes);
            let probabilities = tallow_metrics::softmax(&logits, case.classes).expect("finite");
            let first = probabilities[..expected.probabilities.len()].iter().map(|p| f64::from(*p));
            close("probabilities", first, &expected.probabilities, 1e-5);
            assert!((loss(&case.labels, &probabilities, case.classes) - expected.log_loss).abs() < 1e-5);
        }
    }
}

#[test]
fn the_penalty_is_chosen_on_held_out_parts_and_does_not_depend_on_threads() {
    let fit = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            cases().iter().map(|case| Stack::fit(&case.labels, &case.members, case.classes, None)).collect()
        })
    };
    let (one, four): (Vec<Stack>, Vec<Stack>) = (fit(1), fit(4));
    assert_eq!(one, four);
    // 300 samples cannot bear 410 free coefficients: the largest C must not win.
    assert!(one.iter().all(|stack| stack.regression().c <= 1.0));
}
