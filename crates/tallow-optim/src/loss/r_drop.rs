//! R-Drop: the predictions of two passes over a batch, with different dropout, should agree.

use candle_core::Tensor;

use super::rows;
use crate::{Error, Result};

/// The mean over the batch of `(KL(p‖q) + KL(q‖p)) / 2`, `p` and `q` the softmax of row `i` of the first and of the
/// second half of `logits`.
///
/// # Shapes
/// `logits` `[2n, k]`.
///
/// # Errors
/// An odd number of rows.
///
/// # Source
/// Wu et al. 2021, "R-Drop"; the mean over the batch where the paper's code adds up.
pub fn r_drop_divergence(logits: &Tensor) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    if rows % 2 != 0 {
        return Err(Error::Labels { expected: "an even number of rows".to_owned(), found: rows.to_string() });
    }
    let n = rows / 2;
    let z = logits.detach().to_dtype(candle_core::DType::F64)?.to_vec2::<f64>()?;
    let mut gradient = vec![0f32; rows * classes];
    let mut loss = 0.0;
    let share = 0.5 / n.max(1) as f64;
    let (first, second) = gradient.split_at_mut(n * classes);
    for i in 0..n {
        let halves = [rows::log_softmax(&z[i]), rows::log_softmax(&z[n + i])];
        for (own, other, dz) in [(0, 1, &mut *first), (1, 0, &mut *second)] {
            let (log_p, log_q) = (&halves[own], &halves[other]);
            let by_log_p: Vec<f64> = log_p
                .iter()
                .zip(log_q)
                .map(|(log_p, log_q)| {
                    let (p, q) = (log_p.exp(), log_q.exp());
                    loss += share * p * (log_p - log_q);
                    share * (p * (log_p - log_q) + p - q)
                })
                .collect();
            let total: f64 = by_log_p.iter().sum();
            for ((dz, by), log_p) in dz[i * classes..][..classes].iter_mut().zip(by_log_p).zip(log_p) {
                *dz = (by - log_p.exp() * total) as f32;
            }
        }
    }
    rows::with_gradient(logits, loss, gradient)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use tallow_nn::Tape;

    use super::*;

    // a = torch.tensor([[1., 2., -1.], [.5, 0., 3.]], requires_grad=True); b = torch.tensor([[0., 1., 2.], [3., 0., -1.]],
    // requires_grad=True); p, q = a.log_softmax(1), b.log_softmax(1); kl = lambda x, y: F.kl_div(x, y,
    // log_target=True, reduction="batchmean"); ((kl(p, q) + kl(q, p)) / 2).backward()
    #[test]
    fn value_and_gradient_equal_pytorchs() -> Result<()> {
        let logits = [[1f32, 2.0, -1.0], [0.5, 0.0, 3.0], [0.0, 1.0, 2.0], [3.0, 0.0, -1.0]];
        let logits = Var::new(&logits, &Device::Cpu)?;
        let tape = Tape::start();
        let loss = r_drop_divergence(&logits)?;
        let value = loss.to_scalar::<f32>()?;
        assert!((value - RECORDED.0).abs() < 1e-6, "{value}");
        let gradient = tape.backward(&loss)?.get(&logits).expect("a gradient").flatten_all()?.to_vec1::<f32>()?;
        for (found, expected) in gradient.iter().zip(RECORDED.1) {
            assert!((found - expected).abs() < 1e-6, "{gradient:?}");
        }
        Ok(())
    }

    const RECORDED: (f32, [f32; 12]) = (
        2.03629,
        [
            0.05148, 0.139936, -0.191416, -0.32204, -0.037525, 0.359565, -0.102258, -0.277967, 0.380226, 0.269293,
            -0.02582, -0.243474,
        ],
    );
}
