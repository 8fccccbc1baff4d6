//! The weights of an average with the lowest log loss, fitted on samples that no member was trained on.

/// Weights whose log loss lies this much above the lowest there is, at most, in nats.
const TOLERANCE: f64 = 1e-7;
/// The largest number of passes.
const MAX_PASSES: usize = 20_000;
/// Weights below this are set to 0.
const NEGLIGIBLE: f64 = 1e-5;
/// The lower bound of probabilities: a member that is certain and wrong must not make the loss infinite.
const FLOOR: f64 = 1e-12;

/// Weights, 0 or more with the sum 1, of the average whose log loss on these samples is lowest.
///
/// The loss is convex in the weights. Each pass multiplies a weight by the mean of `p_member / p_ensemble` at the true
/// class, which never raises the loss and needs no step size; `ln` of the largest such mean bounds what is still to be
/// gained, and ends it.
///
/// # Shapes
/// `labels`: `n` classes; `members`: row-major `n × classes` probabilities each.
///
/// # Source
/// Cover 1984, "An algorithm for maximizing expected log investment return": EM for the proportions of a mixture
/// (Dempster, Laird & Rubin 1977). As an ensemble, van der Laan et al. 2007, "Super Learner".
pub fn fit_weights(labels: &[usize], members: &[Vec<f32>], classes: usize) -> Vec<f64> {
    let mut weights = super::combine::uniform(members.len());
    let truth = at_labels(labels, members, classes);
    if truth.is_empty() {
        return weights;
    }
    let n = truth.len() as f64;
    for _ in 0..MAX_PASSES {
        let mut gains = vec![0.0; weights.len()];
        for row in &truth {
            let mixed: f64 = row.iter().zip(&weights).map(|(p, w)| p * w).sum();
            gains.iter_mut().zip(row).for_each(|(gain, p)| *gain += p / mixed);
        }
        gains.iter_mut().for_each(|gain| *gain /= n);
        if gains.iter().copied().fold(0.0, f64::max).ln() <= TOLERANCE {
            break;
        }
        weights.iter_mut().zip(&gains).for_each(|(weight, gain)| *weight *= gain);
    }
    weights.iter_mut().filter(|weight| **weight < NEGLIGIBLE).for_each(|weight| *weight = 0.0);
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// Each member's probability of the true class of each sample.
pub(super) fn at_labels(labels: &[usize], members: &[Vec<f32>], classes: usize) -> Vec<Vec<f64>> {
    let row = |(i, label): (usize, &usize)| {
        members.iter().map(|member| f64::from(member[i * classes + label]).max(FLOOR)).collect()
    };
    labels.iter().enumerate().map(row).collect()
}

/// The log loss of a weighted average, from [`at_labels`].
pub(super) fn log_loss(truth: &[Vec<f64>], weights: &[f64]) -> f64 {
    let loss = |row: &Vec<f64>| -row.iter().zip(weights).map(|(p, w)| p * w).sum::<f64>().ln();
    truth.iter().map(loss).sum::<f64>() / truth.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_members_by_hand() {
        // Of four samples the first member gives three .9 and one .1, the second all .5. Of w and 1 − w the loss
        // −3 ln(.5 + .4w) − ln(.5 − .4w) is lowest where 3(.5 − .4w) = .5 + .4w: w = .625.
        let (labels, first, second) = ([0, 0, 0, 0], [0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.1, 0.9], [0.5; 8]);
        let weights = fit_weights(&labels, &[first.to_vec(), second.to_vec()], 2);
        assert!((weights[0] - 0.625).abs() < 1e-3, "{weights:?}");
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_member_that_only_harms_gets_nothing() {
        let (labels, good, bad) = ([0, 1], [0.9, 0.1, 0.2, 0.8], [0.4, 0.6, 0.6, 0.4]);
        let weights = fit_weights(&labels, &[good.to_vec(), bad.to_vec()], 2);
        assert_eq!(weights, [1.0, 0.0]);
        let zero = fit_weights(&[0], &[vec![0.0, 1.0], vec![0.0, 1.0]], 2);
        assert_eq!(zero, [0.5, 0.5], "probabilities of 0 are no NaN");
    }
}
