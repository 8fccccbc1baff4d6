//! Multinomial logistic regression with an L2 penalty.

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSlice as _;
use serde::{Deserialize, Serialize};

use super::cholesky::Cholesky;
use super::lbfgs;

/// The largest component of the gradient of the mean loss at which fitting ends.
const TOLERANCE: f64 = 1e-7;
/// Steps after which it ends in any case.
const MAX_ITERATIONS: usize = 1000;
/// Samples whose gradients are summed as one piece: sums must not depend on the number of threads.
const PIECE: usize = 1024;

/// `softmax(coef · x + intercept)`: scikit-learn's `LogisticRegression` with its names, for every number of classes with
/// one row per class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogisticRegression {
    /// The inverse of the penalty, relative to the sum of the losses.
    pub c: f64,
    /// One row per class, one column per feature.
    pub coef: Vec<Vec<f64>>,
    /// One number per class.
    pub intercept: Vec<f64>,
}

impl LogisticRegression {
    /// Fits: the lowest `Σ −ln p(label) + ‖coef‖² / (2c)`, intercepts free of charge.
    ///
    /// # Shapes
    /// `labels`: `n` classes, below `classes`; `features`: row-major, `n` rows of `width` finite numbers.
    ///
    /// # Source
    /// The objective of scikit-learn's `LogisticRegression(C=c)`, of three classes and more. Preconditioned by Böhning's
    /// (1992) bound of the Hessian, half of the features' second moments, the same for every class: the logarithms of
    /// alike members' probabilities are so alike that L-BFGS by itself needs thousands of iterations.
    pub fn fit(labels: &[usize], features: &[f64], width: usize, classes: usize, c: f64) -> Self {
        let mut x = vec![0.0; classes * (width + 1)];
        let problem = Problem { labels, features, width, classes, c };
        let bound = problem.bound();
        let precondition = |x: &mut [f64]| problem.solve(&bound, x);
        lbfgs::minimise(&mut x, TOLERANCE, MAX_ITERATIONS, precondition, |x, gradient| problem.value(x, gradient));
        let (coef, intercept) = x.split_at(classes * width);
        let coef = (0..classes).map(|class| coef[class * width..][..width].to_vec()).collect();
        Self { c, coef, intercept: intercept.to_vec() }
    }

    /// The logits of each row of features, `n × classes`.
    pub fn logits(&self, features: &[f64]) -> Vec<f64> {
        let width = self.coef.first().map_or(1, Vec::len).max(1);
        let logit = |row: &[f64], coef: &[f64], intercept: f64| {
            intercept + coef.iter().zip(row).map(|(coef, x)| coef * x).sum::<f64>()
        };
        let logits = |row| self.coef.iter().zip(&self.intercept).map(move |(coef, b)| logit(row, coef, *b));
        features.chunks_exact(width).flat_map(logits).collect()
    }

    /// The mean of `-ln p(label)` of these samples.
    pub fn log_loss(&self, labels: &[usize], features: &[f64]) -> f64 {
        let logits = self.logits(features);
        let rows = logits.chunks_exact(self.intercept.len().max(1));
        let total: f64 = labels.iter().zip(rows).map(|(&label, row)| log_sum_exp(row) - row[label]).sum();
        total / labels.len().max(1) as f64
    }
}

struct Problem<'a> {
    labels: &'a [usize],
    features: &'a [f64],
    width: usize,
    classes: usize,
    c: f64,
}

impl Problem<'_> {
    /// The objective over `n`, and its gradient, at the coefficients and the intercepts behind them.
    fn value(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let n = self.labels.len().max(1) as f64;
        let (coef, _) = x.split_at(self.classes * self.width);
        let pieces = self.labels.par_chunks(PIECE).zip(self.features.par_chunks(PIECE * self.width));
        let pieces: Vec<(f64, Vec<f64>)> = pieces.map(|(labels, features)| self.piece(x, labels, features)).collect();
        gradient.fill(0.0);
        let mut loss = 0.0;
        for (piece_loss, piece) in pieces {
            loss += piece_loss;
            gradient.iter_mut().zip(piece).for_each(|(sum, g)| *sum += g);
        }
        gradient.iter_mut().for_each(|g| *g /= n);
        gradient.iter_mut().zip(coef).for_each(|(g, coef)| *g += coef / (self.c * n));
        loss / n + coef.iter().map(|coef| coef * coef).sum::<f64>() / (2.0 * self.c * n)
    }

    /// An upper bound of the Hessian of each class over `n`, `(width + 1)²`, the intercept last.
    fn bound(&self) -> Cholesky {
        let (size, n) = (self.width + 1, self.labels.len().max(1) as f64);
        let of_piece = |rows: &[f64]| {
            let mut moments = vec![0.0; size * size];
            for row in rows.chunks_exact(self.width) {
                for (i, x) in row.iter().chain([&1.0]).enumerate() {
                    let moments = &mut moments[i * size..][..=i];
                    moments.iter_mut().zip(row.iter().chain([&1.0])).for_each(|(sum, y)| *sum += x * y);
                }
            }
            moments
        };
        let pieces: Vec<Vec<f64>> = self.features.par_chunks(PIECE * self.width).map(of_piece).collect();
        let mut bound = vec![0.0; size * size];
        pieces.iter().for_each(|piece| bound.iter_mut().zip(piece).for_each(|(sum, moment)| *sum += moment));
        bound.iter_mut().for_each(|moment| *moment *= 0.5 / n);
        (0..self.width).for_each(|i| bound[i * size + i] += 1.0 / (self.c * n));
        Cholesky::new(&bound, size)
    }

    /// Solves with the bound for every class.
    fn solve(&self, bound: &Cholesky, x: &mut [f64]) {
        let (coef, intercept) = x.split_at_mut(self.classes * self.width);
        for (coef, intercept) in coef.chunks_exact_mut(self.width).zip(intercept) {
            let mut row = [&*coef, &[*intercept]].concat();
            bound.solve(&mut row);
            coef.copy_from_slice(&row[..self.width]);
            *intercept = row[self.width];
        }
    }

    /// The summed loss of some samples, and its gradient.
    fn piece(&self, x: &[f64], labels: &[usize], features: &[f64]) -> (f64, Vec<f64>) {
        let (coef, intercept) = x.split_at(self.classes * self.width);
        let (mut loss, mut gradient) = (0.0, vec![0.0; x.len()]);
        let (d_coef, d_intercept) = gradient.split_at_mut(self.classes * self.width);
        let mut logits = vec![0.0; self.classes];
        for (&label, row) in labels.iter().zip(features.chunks_exact(self.width)) {
            for (class, logit) in logits.iter_mut().enumerate() {
                let coef = &coef[class * self.width..][..self.width];
                *logit = intercept[class] + coef.iter().zip(row).map(|(coef, x)| coef * x).sum::<f64>();
            }
            let normaliser = log_sum_exp(&logits);
            loss += normaliser - logits[label];
            for (class, logit) in logits.iter().enumerate() {
                let error = (logit - normaliser).exp() - f64::from(u8::from(class == label));
                d_intercept[class] += error;
                let d_coef = &mut d_coef[class * self.width..][..self.width];
                d_coef.iter_mut().zip(row).for_each(|(d, x)| *d += error * x);
            }
        }
        (loss, gradient)
    }
}

/// `ln Σ exp(xᵢ)`, without overflow.
fn log_sum_exp(row: &[f64]) -> f64 {
    let highest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    highest + row.iter().map(|x| (x - highest).exp()).sum::<f64>().ln()
}
