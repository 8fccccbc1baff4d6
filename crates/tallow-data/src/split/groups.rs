//! Splits that keep groups (patients, scenes) whole.
//!
//! # Source
//! The greedy assignment is that of scikit-learn's `StratifiedGroupKFold`; the draws are our own.

use std::collections::BTreeMap;

use rand::seq::SliceRandom as _;
use tallow_base::rng;

/// The held-out indices of `k` folds, ascending in each. No group is in two folds; the shares of each class in the
/// folds are as equal as whole groups allow. `groups` and `labels` have one entry per sample. If there are fewer groups
/// than folds, some folds are empty.
pub fn group_k_fold(groups: &[usize], labels: &[usize], k: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut folds = vec![Vec::new(); k];
    if k > 0 {
        let shares = vec![1.0 / k as f64; k];
        for (fold, indices) in assign(groups, labels, &shares, seed).into_iter().enumerate() {
            folds[fold] = indices;
        }
    }
    folds
}

/// Holds out `fraction` (0 to 1) of the samples in whole groups, stratified by class as far as groups allow. Returns
/// the training and the held-out indices, both ascending.
pub fn group_split(groups: &[usize], labels: &[usize], fraction: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let fraction = fraction.clamp(0.0, 1.0);
    let mut parts = assign(groups, labels, &[1.0 - fraction, fraction], seed).into_iter();
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// A group: its samples, and its number of samples of each of its classes.
#[derive(Default)]
struct Group {
    indices: Vec<usize>,
    counts: BTreeMap<usize, f64>,
}

/// Divides the groups into parts with the given shares (which add up to 1). Groups with the most uneven classes are
/// placed first, each in the part that brings all parts closest to their shares of each class.
fn assign(groups: &[usize], labels: &[usize], shares: &[f64], seed: u64) -> Vec<Vec<usize>> {
    let mut by_name: BTreeMap<usize, Group> = BTreeMap::new();
    for (index, (group, label)) in groups.iter().zip(labels).enumerate() {
        let group = by_name.entry(*group).or_default();
        group.indices.push(index);
        *group.counts.entry(*label).or_default() += 1.0;
    }
    let classes = labels.iter().max().map_or(0, |highest| highest + 1);
    let mut totals = vec![0.0_f64; classes];
    labels.iter().for_each(|label| totals[*label] += 1.0);

    let mut order: Vec<Group> = by_name.into_values().collect();
    // Shuffled first: the stable sort keeps equal groups in random order.
    order.shuffle(&mut rng::keyed(seed, 0, 0, rng::SPLIT));
    let spread = |group: &Group| {
        let n = classes.max(1) as f64;
        let mean = group.indices.len() as f64 / n;
        group.counts.values().map(|count| count * count).sum::<f64>() / n - mean * mean
    };
    order.sort_by(|a, b| spread(b).total_cmp(&spread(a)));

    let open: Vec<usize> = (0..shares.len()).filter(|part| shares[*part] > 0.0).collect();
    let mut counts = vec![vec![0.0_f64; classes]; shares.len()];
    // For each class: the number of placed samples, and the mean square over the parts of how full they are.
    let (mut placed, mut squares) = (vec![0.0_f64; classes], vec![0.0_f64; classes]);
    let mut parts = vec![Vec::new(); shares.len()];
    for group in order {
        // The change in the standard deviation, over the parts, of how full each is of each class (1: its share). Only
        // the group's classes change.
        let cost = |part: usize| -> f64 {
            let change = |(class, added): (&usize, &f64)| {
                let (total, share) = (totals[*class], shares[part]);
                let filled = |count: f64| count / (total * share);
                let (before, after) = (filled(counts[part][*class]), filled(counts[part][*class] + added));
                let deviation = |placed: f64, squares: f64| (squares - (placed / total).powi(2)).max(0.0).sqrt();
                let squares_after = squares[*class] + share * (after * after - before * before);
                deviation(placed[*class] + added, squares_after) - deviation(placed[*class], squares[*class])
            };
            group.counts.iter().map(change).sum()
        };
        let fill = |part: usize| parts[part].len() as f64 / shares[part];
        let best = open.iter().copied().min_by(|a, b| {
            let (cost_a, cost_b) = (cost(*a), cost(*b));
            // Costs that differ only by rounding are equal.
            let tie = (cost_a - cost_b).abs() <= 1e-9;
            let by_cost = if tie { std::cmp::Ordering::Equal } else { cost_a.total_cmp(&cost_b) };
            by_cost.then_with(|| fill(*a).total_cmp(&fill(*b)))
        });
        let Some(best) = best else { break };
        for (class, added) in &group.counts {
            let filled = |count: f64| count / (totals[*class] * shares[best]);
            let before = counts[best][*class];
            squares[*class] += shares[best] * (filled(before + added).powi(2) - filled(before).powi(2));
            placed[*class] += added;
            counts[best][*class] = before + added;
        }
        parts[best].extend(group.indices);
    }
    parts.iter_mut().for_each(|part: &mut Vec<usize>| part.sort_unstable());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 groups of 1 to 12 samples; a group is mostly of one class.
    fn samples() -> (Vec<usize>, Vec<usize>) {
        let (mut groups, mut labels) = (Vec::new(), Vec::new());
        for group in 0..60 {
            for member in 0..1 + (group * 7) % 12 {
                groups.push(group * 100);
                labels.push(if member % 5 == 4 { (group + 1) % 3 } else { group % 3 });
            }
        }
        (groups, labels)
    }

    #[test]
    fn no_group_is_divided_and_classes_keep_their_shares() {
        let (groups, labels) = samples();
        let folds = group_k_fold(&groups, &labels, 5, 0);
        let mut all = folds.concat();
        all.sort_unstable();
        assert_eq!(all, (0..groups.len()).collect::<Vec<_>>());
        let mut fold_of = BTreeMap::new();
        for (fold, indices) in folds.iter().enumerate() {
            for index in indices {
                assert_eq!(*fold_of.entry(groups[*index]).or_insert(fold), fold);
            }
        }
        for class in 0..3 {
            let total = labels.iter().filter(|label| **label == class).count() as f64;
            for fold in &folds {
                let share = fold.iter().filter(|i| labels[**i] == class).count() as f64 / total;
                assert!((share - 0.2).abs() < 0.03, "class {class}: {share}");
            }
        }
        assert_eq!(folds, group_k_fold(&groups, &labels, 5, 0));
        assert_ne!(folds, group_k_fold(&groups, &labels, 5, 1));
    }

    #[test]
    fn a_fraction_is_held_out_in_whole_groups() {
        let (groups, labels) = samples();
        let (kept, held_out) = group_split(&groups, &labels, 0.25, 3);
        assert_eq!(kept.len() + held_out.len(), groups.len());
        assert!(held_out.iter().all(|i| kept.iter().all(|j| groups[*i] != groups[*j])));
        let share = held_out.len() as f64 / groups.len() as f64;
        assert!((share - 0.25).abs() < 0.03, "{share}");
        assert_eq!(group_split(&groups, &labels, 0.0, 3).1, Vec::<usize>::new());
    }

    #[test]
    fn fewer_groups_than_folds() {
        let folds = group_k_fold(&[7, 7, 9], &[0, 1, 0], 3, 0);
        assert_eq!(folds.iter().filter(|fold| fold.is_empty()).count(), 1);
        assert!(group_k_fold(&[1], &[0], 0, 0).is_empty());
        assert!(group_k_fold(&[], &[], 2, 0).concat().is_empty());
    }
}
