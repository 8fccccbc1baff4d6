//! The Cholesky factor of a small symmetric positive definite matrix, and solving with it.

/// `L` of `L·Lᵀ`, row-major, zeros above the diagonal.
pub(super) struct Cholesky {
    n: usize,
    lower: Vec<f64>,
}

impl Cholesky {
    /// Factors a row-major `n × n` matrix, of which the lower half is read. A pivot that rounding took to 0 or below
    /// counts as the smallest share of its diagonal.
    pub fn new(matrix: &[f64], n: usize) -> Self {
        let mut lower = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let (done, rest) = lower.split_at(i * n);
                let row = if i == j { &rest[..j] } else { &done[j * n..][..j] };
                let sum = matrix[i * n + j] - row.iter().zip(&rest[..j]).map(|(a, b)| a * b).sum::<f64>();
                lower[i * n + j] = match i == j {
                    true => sum.max(1e-14 * matrix[i * n + i]).max(f64::MIN_POSITIVE).sqrt(),
                    false => sum / lower[j * n + j],
                };
            }
        }
        Self { n, lower }
    }

    /// Replaces `x` by the solution of `matrix · y = x`.
    pub fn solve(&self, x: &mut [f64]) {
        let n = self.n;
        for i in 0..n {
            let known: f64 = self.lower[i * n..][..i].iter().zip(&*x).map(|(l, x)| l * x).sum();
            x[i] = (x[i] - known) / self.lower[i * n + i];
        }
        for i in (0..n).rev() {
            x[i] /= self.lower[i * n + i];
            let solved = x[i];
            x[..i].iter_mut().zip(&self.lower[i * n..][..i]).for_each(|(x, l)| *x -= l * solved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_by_hand() {
        // [[4, 2, 0], [2, 5, 2], [0, 2, 2]] · (1, −2, 3) = (0, −2, 2).
        let matrix = [4.0, 2.0, 0.0, 2.0, 5.0, 2.0, 0.0, 2.0, 2.0];
        let mut x = [0.0, -2.0, 2.0];
        Cholesky::new(&matrix, 3).solve(&mut x);
        assert!(x.iter().zip([1.0, -2.0, 3.0]).all(|(x, e)| (x - e).abs() < 1e-12), "{x:?}");
    }
}
