//! A random held-out part, stratified by class.

use rand::seq::SliceRandom as _;
use tallow_base::rng;

/// Holds out `fraction` (0 to 1) of the samples, stratified by class.
///
/// Returns the training and the held-out indices, both ascending. The number of held-out samples is `fraction` of all,
/// rounded; the remaining samples are taken from the classes with the largest remainders. Every class keeps at least
/// one training sample.
pub fn stratified_split(labels: &[usize], fraction: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut by_class = indices_by_class(labels);
    let wanted = |class: &Vec<usize>| fraction.clamp(0.0, 1.0) * class.len() as f64;
    let mut counts: Vec<usize> =
        by_class.iter().map(|class| (wanted(class).floor() as usize).min(class.len().saturating_sub(1))).collect();

    let total = (fraction.clamp(0.0, 1.0) * labels.len() as f64).round() as usize;
    let remainder = |class: usize| wanted(&by_class[class]).fract();
    let mut by_remainder: Vec<usize> =
        (0..by_class.len()).filter(|class| counts[*class] + 1 < by_class[*class].len()).collect();
    // The sort is stable: of equal remainders, the lower class comes first.
    by_remainder.sort_by(|a, b| remainder(*b).total_cmp(&remainder(*a)));
    let missing = total.saturating_sub(counts.iter().sum());
    for class in by_remainder.into_iter().take(missing) {
        counts[class] += 1;
    }

    let mut rng = rng::keyed(seed, 0, 0, rng::SPLIT);
    let (mut kept, mut held_out) = (Vec::new(), Vec::new());
    for (class, count) in by_class.iter_mut().zip(counts) {
        class.shuffle(&mut rng);
        held_out.extend_from_slice(&class[..count]);
        kept.extend_from_slice(&class[count..]);
    }
    kept.sort_unstable();
    held_out.sort_unstable();
    (kept, held_out)
}

/// The indices of the samples of each class, ascending, for the classes up to the highest label.
pub(crate) fn indices_by_class(labels: &[usize]) -> Vec<Vec<usize>> {
    let mut by_class = vec![Vec::new(); labels.iter().max().map_or(0, |highest| highest + 1)];
    for (index, label) in labels.iter().enumerate() {
        by_class[*label].push(index);
    }
    by_class
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts_of(indices: &[usize], labels: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; 4];
        indices.iter().for_each(|i| counts[labels[*i]] += 1);
        counts
    }

    #[test]
    fn every_class_keeps_its_share_and_nothing_is_lost() {
        let labels: Vec<usize> = [vec![0; 50], vec![1; 25], vec![2; 24], vec![3; 1]].concat();
        let (kept, held_out) = stratified_split(&labels, 0.1, 3);
        // Shares 5, 2.5, 2.4, 0.1: ten in all, the odd one to the largest remainder.
        assert_eq!(counts_of(&held_out, &labels), [5, 3, 2, 0]);
        let mut all = [kept.clone(), held_out.clone()].concat();
        all.sort();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert!(kept.is_sorted() && held_out.is_sorted());
        assert_eq!(stratified_split(&labels, 0.1, 3), (kept, held_out.clone()));
        assert_ne!(stratified_split(&labels, 0.1, 4).1, held_out);
    }

    #[test]
    fn every_class_keeps_a_sample_to_train_on() {
        let (kept, held_out) = stratified_split(&[0, 1, 1, 2, 2, 2], 0.99, 0);
        assert_eq!(counts_of(&kept, &[0, 1, 1, 2, 2, 2])[..3], [1, 1, 1]);
        assert_eq!(held_out.len(), 3);
        assert_eq!(stratified_split(&[], 0.5, 0), (vec![], vec![]));
        assert_eq!(stratified_split(&[0, 1], 0.0, 0), (vec![0, 1], vec![]));
    }
}
