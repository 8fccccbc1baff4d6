//! A shuffled order that reads a sharded dataset almost sequentially.

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use tallow_base::rng;

/// The indices of a dataset whose samples are stored in `runs` (shards, row groups; see
/// [`Dataset::runs`](crate::Dataset::runs)), each once: the runs in random order, their samples through a shuffle buffer
/// of `buffer` samples. A sample is drawn at most `buffer` positions before its place in the runs, so that files are read
/// almost sequentially. Depends on the arguments alone.
pub fn run_shuffled(runs: &[usize], buffer: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut starts: Vec<(usize, usize)> = Vec::with_capacity(runs.len());
    let mut start = 0;
    for length in runs {
        starts.push((start, *length));
        start += length;
    }
    starts.shuffle(&mut rng::keyed(seed, epoch, 1, rng::SHUFFLE));
    let mut rng = rng::keyed(seed, epoch, 2, rng::SHUFFLE);
    let mut order = Vec::with_capacity(start);
    let mut waiting: Vec<usize> = Vec::with_capacity(buffer.max(1));
    let mut draw = |waiting: &mut Vec<usize>| {
        let at = rng.random_range(0..waiting.len() as u64) as usize;
        waiting.swap_remove(at)
    };
    for index in starts.into_iter().flat_map(|(start, length)| start..start + length) {
        waiting.push(index);
        if waiting.len() >= buffer.max(1) {
            order.push(draw(&mut waiting));
        }
    }
    while !waiting.is_empty() {
        order.push(draw(&mut waiting));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_once_near_its_place() {
        let order = run_shuffled(&[10, 0, 30, 20], 8, 1, 0);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..60).collect::<Vec<_>>());
        assert_eq!(order, run_shuffled(&[10, 0, 30, 20], 8, 1, 0));
        assert_ne!(order, run_shuffled(&[10, 0, 30, 20], 8, 1, 1));
        // Nothing is drawn before the buffer has reached it.
        let lay: Vec<usize> = run_shuffled(&[10, 0, 30, 20], 1, 1, 0);
        for (turn, index) in order.iter().enumerate() {
            let place = lay.iter().position(|other| other == index).unwrap();
            assert!(place < turn + 8, "{index} at {turn} lay at {place}");
        }
        // A buffer of one keeps the order within each run.
        let runs = [0..10, 10..40, 40..60];
        assert!(runs.iter().all(|run| lay.iter().filter(|i| run.contains(*i)).is_sorted()));
        assert!(run_shuffled(&[], 8, 0, 0).is_empty());
    }
}
