//! k folds: every sample is held out exactly once.
//!
//! # Source
//! The properties are those of scikit-learn's `KFold`, `StratifiedKFold` and `RepeatedStratifiedKFold` with
//! `shuffle=True`; the draws are our own.

use rand::seq::SliceRandom as _;
use tallow_base::rng;

use super::stratified::indices_by_class;

/// A division of a dataset's indices. Both lists ascend; together they hold every index once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// The training samples.
    pub train: Vec<usize>,
    /// The held-out samples.
    pub held_out: Vec<usize>,
}

impl Fold {
    /// The fold with these held-out indices of a dataset of `samples` samples.
    pub fn holding_out(held_out: Vec<usize>, samples: usize) -> Self {
        let mut is_held_out = vec![false; samples];
        held_out.iter().for_each(|index| is_held_out[*index] = true);
        Self { train: (0..samples).filter(|index| !is_held_out[*index]).collect(), held_out }
    }
}

/// The held-out indices of `k` folds of `samples` samples, ascending in each fold. The folds' sizes differ by at most
/// one; if there are more folds than samples, some are empty. `k` = 0 gives no folds.
pub fn k_fold(samples: usize, k: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..samples).collect();
    order.shuffle(&mut rng::keyed(seed, 0, 0, rng::SPLIT));
    deal(&order, k)
}

/// The held-out indices of `k` folds, stratified by class, ascending in each fold. The numbers of samples of a class,
/// and of all samples, differ by at most one between folds. A class with fewer than `k` samples is missing from some
/// folds.
pub fn stratified_k_fold(labels: &[usize], k: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut rng = rng::keyed(seed, 0, 0, rng::SPLIT);
    let mut order = Vec::with_capacity(labels.len());
    for mut class in indices_by_class(labels) {
        class.shuffle(&mut rng);
        order.extend(class);
    }
    // Dealt without starting over at each class, so that the remaining samples of all classes spread over the folds.
    deal(&order, k)
}

/// Repeated k-fold of any kind: `folds(seed)`, `folds(seed + 1)`, … for `repeats` seeds.
///
/// ```
/// let labels = [0, 0, 0, 1, 1, 1];
/// let repeated = tallow_data::repeated(2, 7, |seed| tallow_data::stratified_k_fold(&labels, 3, seed));
/// assert_eq!(repeated.len(), 6);
/// assert_eq!(repeated[..3], tallow_data::stratified_k_fold(&labels, 3, 7));
/// ```
pub fn repeated(repeats: usize, seed: u64, folds: impl Fn(u64) -> Vec<Vec<usize>>) -> Vec<Vec<usize>> {
    (0..repeats as u64).flat_map(|repeat| folds(seed.wrapping_add(repeat))).collect()
}

/// The folds with these held-out indices; each trains on all other indices below `samples`.
pub fn with_training_parts(held_out: Vec<Vec<usize>>, samples: usize) -> Vec<Fold> {
    held_out.into_iter().map(|held_out| Fold::holding_out(held_out, samples)).collect()
}

/// Deals samples to `k` folds in turn.
fn deal(order: &[usize], k: usize) -> Vec<Vec<usize>> {
    let mut folds = vec![Vec::with_capacity(order.len() / k.max(1) + 1); k];
    if k > 0 {
        order.iter().enumerate().for_each(|(at, index)| folds[at % k].push(*index));
    }
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_each_once(folds: &[Vec<usize>], samples: usize) {
        let mut all = folds.concat();
        all.sort_unstable();
        assert_eq!(all, (0..samples).collect::<Vec<_>>());
        assert!(folds.iter().all(|fold| fold.is_sorted()));
    }

    #[test]
    fn every_fold_has_its_share_of_every_class() {
        let labels: Vec<usize> = [vec![0; 53], vec![1; 21], vec![2; 7], vec![3; 2]].concat();
        for k in [2, 3, 5, 10] {
            let folds = stratified_k_fold(&labels, k, 1);
            assert_each_once(&folds, labels.len());
            let differ = |counts: Vec<usize>| counts.iter().max().unwrap() - counts.iter().min().unwrap();
            assert!(differ(folds.iter().map(Vec::len).collect()) <= 1);
            for class in 0..4 {
                let count = |fold: &Vec<usize>| fold.iter().filter(|i| labels[**i] == class).count();
                assert!(differ(folds.iter().map(count).collect()) <= 1, "k {k}, class {class}");
            }
        }
        assert_eq!(stratified_k_fold(&labels, 5, 1), stratified_k_fold(&labels, 5, 1));
        assert_ne!(stratified_k_fold(&labels, 5, 1), stratified_k_fold(&labels, 5, 2));
    }

    #[test]
    fn odd_numbers_of_folds_and_samples() {
        assert_each_once(&k_fold(10, 3, 0), 10);
        assert_eq!(k_fold(10, 3, 0).iter().map(Vec::len).collect::<Vec<_>>(), [4, 3, 3]);
        assert_eq!(k_fold(1, 3, 0), [vec![0], vec![], vec![]]);
        assert!(k_fold(5, 0, 0).is_empty());
        assert!(stratified_k_fold(&[], 2, 0).concat().is_empty());
    }

    #[test]
    fn the_training_part_is_the_rest() {
        let folds = with_training_parts(vec![vec![1, 3], vec![0, 2]], 4);
        assert_eq!(folds[0], Fold { train: vec![0, 2], held_out: vec![1, 3] });
        assert_eq!(folds[1], Fold { train: vec![1, 3], held_out: vec![0, 2] });
    }
}
