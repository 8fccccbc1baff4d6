//! Splits by time: the held-out samples are later than all training samples.

use super::folds::Fold;

/// Holds out the latest samples, about `fraction` (0 to 1) of all. Samples with the same time stay together: the
/// boundary is the one between two different times that is closest to `fraction`. Returns the training and the held-out
/// indices, both ascending. If all times are equal, nothing is held out.
pub fn time_split(times: &[f64], fraction: f64) -> (Vec<usize>, Vec<usize>) {
    let order = by_time(times);
    let wanted = (times.len() as f64 * (1.0 - fraction.clamp(0.0, 1.0))).round();
    if wanted as usize >= times.len() {
        return ((0..times.len()).collect(), Vec::new());
    }
    let boundaries = (1..order.len()).filter(|at| times[order[at - 1]] < times[order[*at]]);
    let nearest = boundaries.min_by(|a, b| (*a as f64 - wanted).abs().total_cmp(&(*b as f64 - wanted).abs()));
    let (kept, held_out) = order.split_at(nearest.unwrap_or(order.len()));
    (ascending(kept), ascending(held_out))
}

/// `k` consecutive folds: the samples, sorted by time, are cut into `k` + 1 nearly equal parts; fold `i` holds out part
/// `i` + 1 and trains on all parts before it. As scikit-learn's `TimeSeriesSplit`, except that samples with the same
/// time are never on both sides; a fold for which this is impossible is left out.
pub fn time_series_folds(times: &[f64], k: usize) -> Vec<Fold> {
    let order = by_time(times);
    let start_of_time = |mut at: usize| {
        while at > 0 && at < order.len() && times[order[at - 1]] == times[order[at]] {
            at -= 1;
        }
        at
    };
    // The first part takes the remainder, as in scikit-learn.
    let size = times.len() / (k + 1);
    let cut = |part: usize| start_of_time(times.len() - size * (k - part));
    let folds = (0..k).map(|fold| (cut(fold), cut(fold + 1))).filter(|(start, end)| *start > 0 && start < end);
    folds
        .map(|(start, end)| Fold { train: ascending(&order[..start]), held_out: ascending(&order[start..end]) })
        .collect()
}

/// The indices from the earliest to the latest.
fn by_time(times: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|a, b| times[*a].total_cmp(&times[*b]));
    order
}

fn ascending(indices: &[usize]) -> Vec<usize> {
    let mut indices = indices.to_vec();
    indices.sort_unstable();
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_held_out() {
        let times = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(time_split(&times, 0.4), (vec![1, 3, 4], vec![0, 2]));
        assert_eq!(time_split(&times, 0.0).1, Vec::<usize>::new());
        assert_eq!(time_split(&times, 1.0).0, [1], "the earliest samples are trained on");
    }

    #[test]
    fn one_time_is_on_one_side() {
        let times = [1.0, 2.0, 2.0, 2.0, 3.0];
        assert_eq!(time_split(&times, 0.4), (vec![0, 1, 2, 3], vec![4]));
        assert_eq!(time_split(&times, 0.6).1, [1, 2, 3, 4]);
        assert_eq!(time_split(&[1.0, 1.0], 0.5).1, Vec::<usize>::new());
    }

    #[test]
    fn folds_follow_each_other() {
        let times: Vec<f64> = (0..11).rev().map(f64::from).collect();
        let folds = time_series_folds(&times, 3);
        // scikit-learn's TimeSeriesSplit(3) on 11 samples: sizes 5, 7, 9 and 2 held out each.
        assert_eq!(
            folds.iter().map(|f| (f.train.len(), f.held_out.len())).collect::<Vec<_>>(),
            [(5, 2), (7, 2), (9, 2)]
        );
        for fold in folds {
            let latest = fold.train.iter().map(|i| times[*i]).fold(f64::MIN, f64::max);
            assert!(fold.held_out.iter().all(|i| times[*i] > latest));
        }
        assert!(time_series_folds(&[1.0; 6], 2).is_empty());
    }
}
