//! Hyper-parameter importance: the share of the score's variance that each parameter explains on its own.
//!
//! A random forest is fitted to the trials. Each tree divides the space into boxes with one predicted score each, so
//! the marginal over all other parameters can be computed exactly. The importance of a parameter is the variance of its
//! marginal as a share of the tree's total variance. The rest, up to 1, is due to interactions.
//!
//! # Source
//! Hutter, Hoos, Leyton-Brown 2014, *An Efficient Approach for Assessing Hyperparameter Importance* (functional ANOVA);
//! main effects only. Choices are intervals of equal width on one axis.

use rand::Rng as _;
use tallow_base::rng::{Rng, SEARCH, keyed};

use crate::sampler::Observation;
use crate::{DRAW_FOREST, Domain, Space};

/// The number of trees in the forest.
const TREES: u64 = 64;
/// The minimum number of samples in a box.
const LEAF: usize = 2;

/// The share of the score's variance that each parameter explains on its own, 0 to 1, in the order of the space. Every
/// share is 0 with fewer than four scores, or if all scores are equal. Failed trials are left out.
pub fn importance(space: &Space, history: &[Observation]) -> Vec<f64> {
    let unit = |x: f64, domain: &Domain| match domain {
        Domain::Choice(choices) => (x + 0.5) / choices.len() as f64,
        _ => x,
    };
    let finite = history.iter().filter(|seen| seen.score.is_finite());
    let samples: Vec<Sample> = finite
        .map(|seen| {
            let point = seen.point.0.iter().zip(space.parameters());
            Sample { x: point.map(|(x, (_, domain))| unit(*x, domain)).collect(), score: seen.score }
        })
        .collect();
    let mut shares = vec![0.0; space.len()];
    if samples.len() < 2 * LEAF {
        return shares;
    }
    let mut trees = 0;
    for tree in 0..TREES {
        let mut rng = keyed(0, tree, DRAW_FOREST, SEARCH);
        let drawn: Vec<&Sample> = (0..samples.len()).map(|_| &samples[rng.random_range(0..samples.len())]).collect();
        let mut boxes = Vec::new();
        grow(drawn, Region { low: vec![0.0; space.len()], high: vec![1.0; space.len()] }, &mut rng, &mut boxes);
        let mean: f64 = boxes.iter().map(|(region, value)| region.volume() * value).sum();
        let variance: f64 = boxes.iter().map(|(region, value)| region.volume() * (value - mean).powi(2)).sum();
        if variance > 1e-18 {
            trees += 1;
            for (dimension, share) in shares.iter_mut().enumerate() {
                *share += main_effect(&boxes, dimension, mean) / variance;
            }
        }
    }
    shares.iter_mut().for_each(|share| *share /= f64::from(trees.max(1)));
    shares
}

struct Sample {
    x: Vec<f64>,
    score: f64,
}

/// A box in the unit cube.
#[derive(Clone)]
struct Region {
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Region {
    fn volume(&self) -> f64 {
        self.low.iter().zip(&self.high).map(|(low, high)| high - low).product()
    }
}

/// Splits a box until its samples are few or have equal scores, and collects the leaves with their mean scores.
fn grow(samples: Vec<&Sample>, region: Region, rng: &mut Rng, boxes: &mut Vec<(Region, f64)>) {
    let Some((dimension, at)) = best_cut(&samples, rng) else {
        let mean = samples.iter().map(|sample| sample.score).sum::<f64>() / samples.len().max(1) as f64;
        boxes.push((region, mean));
        return;
    };
    let (left, right): (Vec<&Sample>, Vec<&Sample>) = samples.into_iter().partition(|sample| sample.x[dimension] < at);
    let (mut below, mut above) = (region.clone(), region);
    (below.high[dimension], above.low[dimension]) = (at, at);
    grow(left, below, rng, boxes);
    grow(right, above, rng, boxes);
}

/// The split with the least squared error. Each dimension is a candidate with probability 5/6, so that trees differ.
fn best_cut(samples: &[&Sample], rng: &mut Rng) -> Option<(usize, f64)> {
    let dimensions = samples.first()?.x.len();
    let total: f64 = samples.iter().map(|sample| sample.score).sum();
    let mut best: Option<(f64, usize, f64)> = None;
    for dimension in 0..dimensions {
        if dimensions > 1 && rng.random::<f64>() < 1.0 / 6.0 {
            continue;
        }
        let mut sorted: Vec<(f64, f64)> = samples.iter().map(|sample| (sample.x[dimension], sample.score)).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut left = 0.0;
        for i in 1..sorted.len() {
            left += sorted[i - 1].1;
            if i < LEAF || sorted.len() - i < LEAF || sorted[i].0 - sorted[i - 1].0 < 1e-12 {
                continue;
            }
            // The squared error is lowest where Σ (sum² / count) over both parts is highest.
            let right = total - left;
            let gain = left * left / i as f64 + right * right / (sorted.len() - i) as f64;
            if best.is_none_or(|(highest, _, _)| gain > highest) {
                best = Some((gain, dimension, 0.5 * (sorted[i].0 + sorted[i - 1].0)));
            }
        }
    }
    let whole = total * total / samples.len() as f64;
    best.filter(|(gain, _, _)| *gain > whole + 1e-12).map(|(_, dimension, at)| (dimension, at))
}

/// The variance of the marginal along one dimension.
fn main_effect(boxes: &[(Region, f64)], dimension: usize, mean: f64) -> f64 {
    let mut cuts: Vec<f64> =
        boxes.iter().flat_map(|(region, _)| [region.low[dimension], region.high[dimension]]).collect();
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    let along = |pair: &[f64]| {
        let (low, high) = (pair[0], pair[1]);
        let covers = |region: &Region| region.low[dimension] <= low && region.high[dimension] >= high;
        let across = |region: &Region| region.volume() / (region.high[dimension] - region.low[dimension]);
        let average: f64 =
            boxes.iter().filter(|(region, _)| covers(region)).map(|(region, value)| across(region) * value).sum();
        (high - low) * (average - mean).powi(2)
    };
    cuts.windows(2).map(along).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, Point};

    fn shares(score: impl Fn(&Point) -> f64) -> Vec<f64> {
        let text = "a = { low = 0.0, high = 1.0 }\nb = { low = 0.0, high = 1.0 }\nc = { choices = [1, 2, 3] }";
        let space = Space::from_toml(&text.parse().expect("TOML")).expect("a space");
        let observe = |trial| {
            let point = Method::Random.suggest(&space, &[], 3, trial, 0).expect("a point");
            Observation { score: score(&point), point }
        };
        importance(&space, &(0..300).map(observe).collect::<Vec<_>>())
    }

    // Var(4a) = 16/12, Var(2b) = 4/12: shares 0.8 and 0.2.
    #[test]
    fn importance_in_a_sum_is_the_share_of_variance() {
        let shares = shares(|p| 4.0 * p.0[0] + 2.0 * p.0[1]);
        assert!((shares[0] - 0.8).abs() < 0.06 && (shares[1] - 0.2).abs() < 0.06 && shares[2] < 0.03, "{shares:?}");
    }

    #[test]
    fn importance_of_a_choice() {
        let shares = shares(|p| if p.0[2] == 1.0 { 1.0 } else { 0.0 });
        assert!(shares[2] > 0.95 && shares[0] < 0.02, "{shares:?}");
    }

    #[test]
    fn equal_scores_have_no_importance() {
        assert_eq!(shares(|_| 0.5), [0.0; 3]);
    }
}
