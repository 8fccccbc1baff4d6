//! Stacking: a logistic regression on the members' predictions of samples that they were not trained on.

use serde::{Deserialize, Serialize};
use tallow_data::stratified_k_fold;

use super::logistic::LogisticRegression;

/// The lower bound of probabilities: the last digit of predictions.csv.
pub(crate) const FLOOR: f64 = 1e-6;
/// The candidates of the penalty, as scikit-learn's `C`.
const CANDIDATES: [f64; 7] = [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0];
/// The folds by which the penalty is chosen.
const FOLDS: usize = 5;
/// The samples that the penalty is chosen on at most; of more, every second, third, … is used.
const ENOUGH: usize = 5000;

/// The regression over the logarithms of all members' probabilities.
///
/// # Source
/// Wolpert 1992, "Stacked Generalization"; Ting & Witten 1999, multi-response regression over class probabilities. Over
/// their logarithms as in Kull et al. 2019 (Dirichlet calibration): averaging logarithms and recalibrating a member are
/// then within its reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stack(LogisticRegression);

impl Stack {
    /// Fits the regression; without `c`, with the one of 0.0001, 0.001, … 100 that has the lowest log loss in a
    /// five-fold cross-validation over these same samples.
    ///
    /// # Shapes
    /// `labels`: `n` classes; `members`: row-major `n × classes` probabilities each.
    pub fn fit(labels: &[usize], members: &[Vec<f32>], classes: usize, c: Option<f64>) -> Self {
        let features = features(members, classes);
        let width = members.len() * classes;
        let c = c.unwrap_or_else(|| choose_c(labels, &features, width, classes));
        Self(LogisticRegression::fit(labels, &features, width, classes, c))
    }

    /// The logits of the ensemble, `n × classes`.
    pub fn logits(&self, members: &[Vec<f32>], classes: usize) -> Vec<f32> {
        self.0.logits(&features(members, classes)).into_iter().map(|logit| logit as f32).collect()
    }

    /// The regression.
    pub fn regression(&self) -> &LogisticRegression {
        &self.0
    }

    /// Whether the regression is for this number of members and classes.
    pub fn fits(&self, members: usize, classes: usize) -> bool {
        let Self(LogisticRegression { coef, intercept, .. }) = self;
        coef.len() == classes && intercept.len() == classes && coef.iter().all(|row| row.len() == members * classes)
    }
}

/// `n` rows: the logarithms of the first member's probabilities, the second's, ….
fn features(members: &[Vec<f32>], classes: usize) -> Vec<f64> {
    let rows = members.first().map_or(0, |member| member.len() / classes.max(1));
    let log = |p: &f32| f64::from(*p).max(FLOOR).ln();
    (0..rows)
        .flat_map(|row| members.iter().flat_map(move |member| &member[row * classes..][..classes]))
        .map(log)
        .collect()
}

/// The candidate of lowest cross-validated log loss, the smallest of equals.
fn choose_c(labels: &[usize], features: &[f64], width: usize, classes: usize) -> f64 {
    let every = labels.len().div_ceil(ENOUGH).max(1);
    let taken: Vec<usize> = (0..labels.len()).step_by(every).collect();
    let chosen_labels: Vec<usize> = taken.iter().map(|row| labels[*row]).collect();
    let folds = tallow_data::with_training_parts(stratified_k_fold(&chosen_labels, FOLDS, 0), taken.len());
    let rows = |part: &[usize]| -> (Vec<usize>, Vec<f64>) {
        let rows = part.iter().map(|at| taken[*at]);
        (
            rows.clone().map(|row| labels[row]).collect(),
            rows.flat_map(|row| &features[row * width..][..width]).copied().collect(),
        )
    };
    let mut best = (f64::INFINITY, 1.0);
    for c in CANDIDATES {
        let mut loss = 0.0;
        for fold in folds.iter().filter(|fold| !fold.held_out.is_empty()) {
            let ((labels, features), (held_labels, held)) = (rows(&fold.train), rows(&fold.held_out));
            let fitted = LogisticRegression::fit(&labels, &features, width, classes, c);
            loss += fitted.log_loss(&held_labels, &held) * held_labels.len() as f64;
        }
        if loss < best.0 {
            best = (loss, c);
        }
    }
    best.1
}
