//! The nearest neighbours of every sample, by comparing all pairs.
//!
//! This takes 2 n² d operations. Distances are compared in `f32` and returned in `f64`.

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;

use super::Embeddings;

/// The distance between two embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// The cosine distance, 1 − cos; cleanlab uses it in more than three dimensions.
    Cosine,
    /// The Euclidean distance; cleanlab uses it in up to three dimensions.
    Euclidean,
}

/// The nearest neighbours of every sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// The number of neighbours per sample.
    pub k: usize,
    /// The indices, row-major `n × k`: each row by ascending distance, then by index.
    pub indices: Vec<usize>,
    /// The distances, row-major `n × k`.
    pub distances: Vec<f64>,
}

impl Neighbours {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.indices.len() / self.k.max(1)
    }

    /// Whether there are no neighbours.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The neighbours of sample `index`, with their distances.
    pub fn of(&self, index: usize) -> impl Iterator<Item = (usize, f64)> {
        let range = index * self.k..(index + 1) * self.k;
        self.indices[range.clone()].iter().copied().zip(self.distances[range].iter().copied())
    }

    /// The mean distance of each sample to its neighbours.
    pub fn mean_distances(&self) -> Vec<f64> {
        self.distances.chunks_exact(self.k.max(1)).map(|row| row.iter().sum::<f64>() / row.len() as f64).collect()
    }

    /// The distance of each sample to its nearest neighbour.
    pub fn nearest_distances(&self) -> Vec<f64> {
        self.distances.iter().step_by(self.k.max(1)).copied().collect()
    }
}

/// The number of queries compared at once: each row is read from memory once for all of them.
const TILE: usize = 16;

/// The `k` nearest neighbours of every sample, or all others if there are fewer than `k`. The distance is cosine in
/// more than three dimensions, else Euclidean.
pub fn neighbours(embeddings: &Embeddings, k: usize) -> Neighbours {
    let (n, dim) = (embeddings.len(), embeddings.dim());
    let k = k.min(n.saturating_sub(1));
    if k == 0 {
        return Neighbours { k, indices: Vec::new(), distances: Vec::new() };
    }
    let measure = if dim > 3 { Distance::Cosine } else { Distance::Euclidean };
    let rows = match measure {
        Distance::Cosine => normalised(embeddings),
        Distance::Euclidean => embeddings.values().to_vec(),
    };
    let halves: Vec<f32> = match measure {
        Distance::Cosine => vec![0.0; n],
        Distance::Euclidean => rows.chunks_exact(dim).map(|row| dot(row, row) / 2.0).collect(),
    };
    let mut indices = vec![0; n * k];
    indices.par_chunks_mut(TILE * k).enumerate().for_each(|(tile, found)| {
        let queries = found.len() / k;
        let mut best: Vec<Best> = (0..queries).map(|_| Best::new(k)).collect();
        for (candidate, row) in rows.chunks_exact(dim).enumerate() {
            for (place, best) in best.iter_mut().enumerate() {
                let query = tile * TILE + place;
                // Half the squared distance, up to a constant of the query; or the negative cosine.
                let far = halves[candidate] - dot(&rows[query * dim..][..dim], row);
                if far < best.worst && query != candidate {
                    best.insert(far, candidate);
                }
            }
        }
        for (row, best) in found.chunks_exact_mut(k).zip(&best) {
            row.iter_mut().zip(&best.found).for_each(|(index, (_, found))| *index = *found);
        }
    });
    let mut distances = vec![0.0; n * k];
    distances.par_chunks_mut(k).zip(indices.par_chunks_mut(k)).enumerate().for_each(|(query, (distances, indices))| {
        let exact = |index: &usize| distance(measure, embeddings.row(query), embeddings.row(*index));
        let mut both: Vec<(f64, usize)> = indices.iter().map(|index| (exact(index), *index)).collect();
        both.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for ((distance, index), found) in distances.iter_mut().zip(indices).zip(both) {
            (*distance, *index) = found;
        }
    });
    Neighbours { k, indices, distances }
}

/// The `k` nearest candidates so far, by ascending distance.
struct Best {
    k: usize,
    worst: f32,
    found: Vec<(f32, usize)>,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, worst: f32::INFINITY, found: Vec::with_capacity(k + 1) }
    }

    fn insert(&mut self, far: f32, candidate: usize) {
        let place = self.found.partition_point(|(other, _)| *other <= far);
        self.found.insert(place, (far, candidate));
        self.found.truncate(self.k);
        if let (true, Some((worst, _))) = (self.found.len() == self.k, self.found.last()) {
            self.worst = *worst;
        }
    }
}

/// Rows scaled to unit length; rows of zeros are unchanged.
fn normalised(embeddings: &Embeddings) -> Vec<f32> {
    let mut rows = embeddings.values().to_vec();
    for row in rows.chunks_exact_mut(embeddings.dim()) {
        let norm = dot(row, row).sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|value| *value /= norm);
        }
    }
    rows
}

/// The dot product in 16 partial sums, which the compiler vectorises.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 16];
    let (a_chunks, b_chunks) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..16 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn distance(measure: Distance, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    match measure {
        Distance::Euclidean => pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(),
        Distance::Cosine => {
            let (mut product, mut squares) = (0.0, [0.0; 2]);
            for (a, b) in pairs() {
                product += a * b;
                squares = [squares[0] + a * a, squares[1] + b * b];
            }
            let norms = (squares[0] * squares[1]).sqrt();
            let cosine = if norms > 0.0 { product / norms } else { 0.0 };
            // The rounding error between equal directions counts as 0.
            let far = 1.0 - cosine;
            if far < 1e-12 { 0.0 } else { far }
        }
    }
}
