//! In which order the samples of an epoch come: a function of (seed, epoch) alone.

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};
use tallow_augment::rng;

use crate::split::indices_by_class;
use crate::{Error, Result};

/// How the samples of an epoch are drawn. An epoch always has as many draws as the dataset has samples.
///
/// In TOML: `sampler = "shuffled"`, or `sampler = { class_weighted = [1.0, 5.0] }`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// In the dataset's order.
    Sequential,
    /// Every sample once, in another order each epoch.
    #[default]
    Shuffled,
    /// Every class equally often (±1). The samples of a small class are repeated, each as often as the others (±1); of
    /// a large class some are left out, others each epoch. Classes without samples do not take part.
    ClassBalanced,
    /// With replacement; each sample's weight is that of its class, one weight a class, as for PyTorch's
    /// `WeightedRandomSampler`. `1 / class_counts` makes the classes equally likely.
    ClassWeighted(Vec<f32>),
    /// With replacement; one weight a sample, 0 or more.
    SampleWeighted(Vec<f32>),
}

impl Sampler {
    /// Checks that the weights fit the dataset.
    ///
    /// # Errors
    /// Not one weight a class or sample, a negative or infinite one, or none above 0 among the samples.
    pub fn validate(&self, labels: &[usize], classes: usize) -> Result<()> {
        let (field, weights, expected) = match self {
            Sampler::Sequential | Sampler::Shuffled | Sampler::ClassBalanced => return Ok(()),
            Sampler::ClassWeighted(weights) => ("sampler.class_weighted", weights, classes),
            Sampler::SampleWeighted(weights) => ("sampler.sample_weighted", weights, labels.len()),
        };
        let fail = |expected: String, found: String| {
            Err(Error::Option {
                field,
                expected,
                found,
            })
        };
        if weights.len() != expected {
            let what = if field.contains("class") {
                "classes"
            } else {
                "samples"
            };
            return fail(
                format!("{expected} weights, as many as {what}"),
                weights.len().to_string(),
            );
        }
        if let Some(weight) = weights.iter().find(|w| !w.is_finite() || **w < 0.0) {
            return fail("finite weights of 0 or more".into(), weight.to_string());
        }
        if self.cumulative(labels).last().is_none_or(|sum| *sum <= 0.0) {
            return fail(
                "above 0 for at least one sample".into(),
                "only zeros".into(),
            );
        }
        Ok(())
    }

    /// The indices of an epoch's samples, as many as labels. Weights must have been [validated](Self::validate).
    pub fn order(&self, labels: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
        let mut rng = rng::keyed(seed, epoch, 0, rng::SHUFFLE);
        match self {
            Sampler::Sequential => (0..labels.len()).collect(),
            Sampler::Shuffled => {
                let mut order: Vec<usize> = (0..labels.len()).collect();
                order.shuffle(&mut rng);
                order
            }
            Sampler::ClassBalanced => class_balanced(labels, &mut rng),
            Sampler::ClassWeighted(_) | Sampler::SampleWeighted(_) => {
                weighted(&self.cumulative(labels), &mut rng)
            }
        }
    }

    /// Running sums of the samples' weights; empty for the other samplers.
    fn cumulative(&self, labels: &[usize]) -> Vec<f64> {
        let mut sum = 0.0;
        let mut add = |weight: f32| {
            sum += f64::from(weight);
            sum
        };
        match self {
            Sampler::ClassWeighted(weights) => labels.iter().map(|l| add(weights[*l])).collect(),
            Sampler::SampleWeighted(weights) => weights.iter().map(|w| add(*w)).collect(),
            _ => Vec::new(),
        }
    }
}

fn class_balanced(labels: &[usize], rng: &mut rng::Rng) -> Vec<usize> {
    let mut classes = indices_by_class(labels);
    classes.retain(|class| !class.is_empty());
    if classes.is_empty() {
        return Vec::new();
    }
    // Shuffled, so that the draws that are left over go to other classes each epoch.
    classes.shuffle(rng);
    let (share, left_over) = (labels.len() / classes.len(), labels.len() % classes.len());
    let mut order = Vec::with_capacity(labels.len());
    for (at, class) in classes.iter_mut().enumerate() {
        class.shuffle(rng);
        let draws = share + usize::from(at < left_over);
        order.extend(class.iter().cycle().take(draws));
    }
    order.shuffle(rng);
    order
}

fn weighted(cumulative: &[f64], rng: &mut rng::Rng) -> Vec<usize> {
    let total = cumulative.last().copied().unwrap_or(0.0);
    // A draw can round up to the total itself: it then belongs to the last sample with a weight.
    let last = cumulative.partition_point(|sum| *sum < total);
    cumulative
        .iter()
        .map(|_| {
            let draw = rng.random::<f64>() * total;
            cumulative.partition_point(|sum| *sum <= draw).min(last)
        })
        .collect()
}
