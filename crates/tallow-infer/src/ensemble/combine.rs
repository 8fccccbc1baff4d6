//! Voting and averaging of the probabilities of several models.

/// The weighted mean of the members' probabilities.
///
/// # Shapes
/// `members`: one row-major `n × classes` table each, of equal length; `weights`: one number per member, with the sum 1.
pub fn average(members: &[Vec<f32>], weights: &[f64]) -> Vec<f32> {
    let len = members.first().map_or(0, Vec::len);
    let at = |i: usize| members.iter().zip(weights).map(|(member, weight)| f64::from(member[i]) * weight).sum::<f64>();
    (0..len).map(|i| at(i) as f32).collect()
}

/// The share of members that predict each class. The mean probability decides ties.
///
/// A share is `(votes + mean probability) / (members + 1)`: the mean probability is less than a vote, so that it decides
/// between equals and nothing else, and the shares are a distribution without zeros.
///
/// # Shapes
/// As [`average`].
pub fn vote(members: &[Vec<f32>], classes: usize) -> Vec<f32> {
    let mut shares: Vec<f64> = average(members, &uniform(members.len())).into_iter().map(f64::from).collect();
    for member in members {
        for (row, shares) in member.chunks_exact(classes).zip(shares.chunks_exact_mut(classes)) {
            shares[first_highest(row)] += 1.0;
        }
    }
    shares.into_iter().map(|share| (share / (members.len() + 1) as f64) as f32).collect()
}

/// For multi-label data: the share of members that predict a class, with a probability above ½. The mean probability decides
/// ties, as in [`vote`].
///
/// # Shapes
/// As [`average`].
pub fn vote_each(members: &[Vec<f32>]) -> Vec<f32> {
    let mean = average(members, &uniform(members.len()));
    let share = |(at, mean): (usize, f32)| {
        let votes = members.iter().filter(|member| member[at] > 0.5).count() as f64;
        ((votes + f64::from(mean)) / (members.len() + 1) as f64) as f32
    };
    mean.into_iter().enumerate().map(share).collect()
}

/// Equal weights with the sum 1.
pub fn uniform(members: usize) -> Vec<f64> {
    vec![1.0 / members.max(1) as f64; members]
}

/// The class of highest probability in a row, the first of equals.
pub(super) fn first_highest(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (class, value)| if *value > row[best] { class } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    // By hand: three members, two samples, three classes.
    fn members() -> Vec<Vec<f32>> {
        vec![vec![0.6, 0.3, 0.1, 0.5, 0.3, 0.2], vec![0.6, 0.1, 0.3, 0.1, 0.7, 0.2], vec![0.0, 0.9, 0.1, 0.2, 0.2, 0.6]]
    }

    #[track_caller]
    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn averages_are_weighted_means() {
        close(&average(&members(), &uniform(3)), &[0.4, 1.3 / 3.0, 0.5 / 3.0, 0.8 / 3.0, 0.4, 1.0 / 3.0]);
        close(&average(&members(), &[0.5, 0.5, 0.0]), &[0.6, 0.2, 0.2, 0.3, 0.5, 0.2]);
        assert!(average(&[], &[]).is_empty());
    }

    #[test]
    fn each_class_has_its_own_majority() {
        // Three members: two of three say that the first class holds, one of three the second.
        close(
            &vote_each(&[vec![0.6, 0.1], vec![0.6, 0.4], vec![0.1, 0.99]]),
            &[(2.0 + 1.3 / 3.0) / 4.0, (1.0 + 1.49 / 3.0) / 4.0],
        );
        // Two members that disagree: the surer one decides.
        close(&vote_each(&[vec![0.9, 0.6], vec![0.2, 0.1]]), &[1.55 / 3.0, 1.35 / 3.0]);
    }

    #[test]
    fn votes_come_first_and_the_mean_decides_between_equals() {
        let shares = vote(&members(), 3);
        // First sample: two votes for class 0 although the mean prefers class 1. Second: one vote each, the mean decides.
        close(
            &shares,
            &[2.4 / 4.0, (1.0 + 1.3 / 3.0) / 4.0, 0.5 / 12.0, 1.0 / 4.0 + 0.8 / 12.0, 1.4 / 4.0, 4.0 / 12.0],
        );
        assert_eq!((first_highest(&shares[..3]), first_highest(&shares[3..])), (0, 1));
        for row in shares.chunks(3) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}
