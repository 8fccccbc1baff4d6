//! Cross-entropy of the softmax, with label smoothing.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use tallow_nn::kernels::softmax::cross_entropy;

use super::{Loss, Targets};
use crate::Result;

/// `loss.name = "cross_entropy"`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrossEntropyConfig {
    /// The share ε of the target that is spread evenly over all classes, 0 to below 1.
    pub label_smoothing: f64,
}

impl CrossEntropyConfig {
    pub(super) fn invalid(&self) -> Option<(&'static str, &'static str)> {
        (!(0.0..1.0).contains(&self.label_smoothing)).then_some(("label_smoothing", "a fraction from 0 to below 1"))
    }
}

/// The mean over the batch of `−Σ target · log softmax(logits)`, with `target = (1 − ε)·onehot(label) + ε/k`.
///
/// # Source
/// Szegedy et al. 2016 (label smoothing); PyTorch's `CrossEntropyLoss(label_smoothing=ε)`.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    label_smoothing: f64,
}

impl CrossEntropy {
    /// The loss with this configuration.
    pub fn new(config: &CrossEntropyConfig) -> Self {
        Self { label_smoothing: config.label_smoothing }
    }
}

impl Loss for CrossEntropy {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> Result<Tensor> {
        let (n, classes) = logits.dims2()?;
        let mut rows = targets.rows(n, classes)?;
        if self.label_smoothing > 0.0 {
            let rest = self.label_smoothing / classes.max(1) as f64;
            for target in &mut rows {
                *target = (f64::from(*target) * (1.0 - self.label_smoothing) + rest) as f32;
            }
        }
        // A sample's loss is linear in its target: its weight goes into the target.
        if let Some(weights) = targets.weights {
            let mean = weights.iter().sum::<f32>() / n.max(1) as f32;
            for (row, weight) in rows.chunks_mut(classes.max(1)).zip(weights) {
                row.iter_mut().for_each(|target| *target *= weight / mean.max(f32::MIN_POSITIVE));
            }
        }
        let targets = Tensor::from_vec(rows, (n, classes), logits.device())?;
        Ok(cross_entropy(logits, &targets)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::Error;

    fn loss(label_smoothing: f64, labels: &[u32]) -> Result<f32> {
        let logits = Tensor::new(&[[1f32, 2.0, -1.0], [0.5, 0.0, 3.0]], &Device::Cpu)?;
        let loss = CrossEntropy::new(&CrossEntropyConfig { label_smoothing });
        Ok(loss.loss(&logits, Targets::of_labels(labels))?.to_scalar()?)
    }

    // torch.nn.functional.cross_entropy(torch.tensor([[1., 2., -1.], [.5, 0., 3.]]), torch.tensor([0, 2]),
    //                                   label_smoothing=...)
    #[test]
    fn equals_pytorchs() -> Result<()> {
        assert!((loss(0.0, &[0, 2])? - 0.736_442_57).abs() < 1e-6);
        assert!((loss(0.1, &[0, 2])? - 0.844_775_9).abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        assert!(matches!(loss(0.0, &[0, 3]), Err(Error::Labels { .. })));
        assert!(matches!(loss(0.0, &[0]), Err(Error::Labels { .. })));
    }
}
