//! Greedy selection with replacement: weights without a gradient, by choosing members again and again.

use super::weights::{at_labels, log_loss};

/// Choices after which selection ends.
const ROUNDS: usize = 100;

/// Weights of an average: how often each member was chosen, where each choice is the member that lowers the log loss of
/// the average most, and the average after the best round counts. Few choices overfit less than free weights; a member
/// may be chosen again, or never.
///
/// # Shapes
/// As [`fit_weights`](super::fit_weights).
///
/// # Source
/// Caruana et al. 2004, "Ensemble Selection from Libraries of Models", with replacement; without its bagging and its
/// sorted initialisation.
pub fn select_greedily(labels: &[usize], members: &[Vec<f32>], classes: usize) -> Vec<f64> {
    let truth = at_labels(labels, members, classes);
    let mut counts = vec![0.0; members.len()];
    let mut best = (f64::INFINITY, super::combine::uniform(members.len()));
    for round in 1..=ROUNDS {
        let mut choice = (f64::INFINITY, 0);
        for member in 0..members.len() {
            counts[member] += 1.0;
            let weights: Vec<f64> = counts.iter().map(|count| count / round as f64).collect();
            let loss = log_loss(&truth, &weights);
            if loss < choice.0 {
                choice = (loss, member);
            }
            counts[member] -= 1.0;
        }
        let Some(count) = counts.get_mut(choice.1) else { break };
        *count += 1.0;
        if choice.0 < best.0 {
            best = (choice.0, counts.iter().map(|count| count / round as f64).collect());
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_choice_is_the_best_member_and_the_rest_helps_it() {
        // As in weights.rs the best weights are .625 and .375: 5 of 8 choices.
        let (labels, first, second) = ([0, 0, 0, 0], [0.9, 0.1, 0.9, 0.1, 0.9, 0.1, 0.1, 0.9], [0.5; 8]);
        let weights = select_greedily(&labels, &[first.to_vec(), second.to_vec()], 2);
        assert_eq!(weights, [0.625, 0.375]);
        let (good, bad) = ([0.9, 0.1, 0.2, 0.8], [0.4, 0.6, 0.6, 0.4]);
        assert_eq!(select_greedily(&[0, 1], &[bad.to_vec(), good.to_vec()], 2), [0.0, 1.0]);
    }
}
