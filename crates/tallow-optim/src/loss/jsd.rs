//! Jensen-Shannon consistency: the predictions of several augmented views of an image should agree.

use candle_core::Tensor;

use super::{Loss, Targets, rows};
use crate::{Error, Result};

/// The lower bound of the mixture's probabilities in logarithms.
const LOWEST: f64 = 1e-7;

/// Cross-entropy of the first `splits`-th of a batch, and `alpha` times the mean divergence of all splits from their
/// mixture. Row `i` of each split must be the same image: `[clean…, augmented…, augmented again…]`.
///
/// It has no name in the config, because the loader makes one view of each image: it is for programs that batch several
/// views themselves. For two passes over the same view, see [`r_drop_divergence`](super::r_drop_divergence).
///
/// # Source
/// Hendrycks et al. 2020 (AugMix); timm's `JsdCrossEntropy`.
#[derive(Debug, Clone)]
pub struct JsdCrossEntropy {
    /// Views of each image, 2 or more.
    pub splits: usize,
    /// The weight of the divergence.
    pub alpha: f64,
    /// Label smoothing of the cross-entropy, 0 to below 1.
    pub label_smoothing: f64,
}

impl Default for JsdCrossEntropy {
    fn default() -> Self {
        Self { splits: 3, alpha: 12.0, label_smoothing: 0.1 }
    }
}

impl Loss for JsdCrossEntropy {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let splits = self.splits.max(1);
        if n % splits != 0 {
            return Err(Error::Labels { expected: format!("a multiple of {splits} rows"), found: n.to_string() });
        }
        let images = n / splits;
        let targets = rows::smoothed(targets, n, classes, self.label_smoothing)?;
        let z = logits.detach().to_dtype(candle_core::DType::F64)?.to_vec2::<f64>()?;
        let log_p: Vec<Vec<f64>> = z.iter().map(|row| rows::log_softmax(row)).collect();
        let mut gradient = vec![0f64; n * classes];
        let mut loss = 0.0;
        let clean = 1.0 / images.max(1) as f64;
        for i in 0..images {
            let t: Vec<f64> = targets[i * classes..][..classes].iter().map(|&t| f64::from(t)).collect();
            let dz = &mut gradient[i * classes..][..classes];
            loss += rows::cross_entropy(&log_p[i], &t, clean, dz);
            let share = self.alpha * clean / splits as f64;
            let views: Vec<usize> = (0..splits).map(|split| split * images + i).collect();
            let p = |view: usize, c: usize| log_p[view][c].exp();
            let mixture: Vec<f64> =
                (0..classes).map(|c| views.iter().map(|&view| p(view, c)).sum::<f64>() / splits as f64).collect();
            for &view in &views {
                let mut dp = vec![0.0; classes];
                for (c, &mixed) in mixture.iter().enumerate() {
                    let log_mixed = mixed.clamp(LOWEST, 1.0).ln();
                    loss += share * p(view, c) * (log_p[view][c] - log_mixed);
                    // The mixture moves with every view: Σ p / (splits · mixture) is 1.
                    let by_mixture = if mixed >= LOWEST { 1.0 } else { 0.0 };
                    dp[c] = share * (log_p[view][c] + 1.0 - log_mixed - by_mixture);
                }
                let probabilities: Vec<f64> = (0..classes).map(|c| p(view, c)).collect();
                rows::through_softmax(&probabilities, &mut dp);
                gradient[view * classes..][..classes].iter_mut().zip(dp).for_each(|(dz, dp)| *dz += dp);
            }
        }
        rows::with_gradient(logits, loss, gradient.iter().map(|&g| g as f32).collect())
    }
}
