//! The order of the samples in an epoch, which depends on (seed, epoch) alone.

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};
use tallow_base::rng;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::order::run_shuffled;
use crate::split::indices_by_class;

/// The order of the samples in an epoch. An epoch has as many draws as the dataset has samples.
///
/// In TOML: `sampler = "shuffled"`, or `sampler = { class_weighted = [1.0, 5.0] }`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// The dataset's order.
    Sequential,
    /// Every sample once, in a new random order in each epoch.
    #[default]
    Shuffled,
    /// Every class equally often (±1). The samples of a small class are repeated equally often (±1); of a large class,
    /// a different part is drawn in each epoch. Classes without samples are ignored.
    ClassBalanced,
    /// Drawn with replacement, as by PyTorch's `WeightedRandomSampler`; one weight per class. The weights
    /// `1 / class_counts` make the classes equally likely.
    ClassWeighted(Vec<f32>),
    /// Drawn with replacement; one weight per sample, 0 or more.
    SampleWeighted(Vec<f32>),
    /// Repeated augmentation: like `Shuffled`, but each sample is drawn this many times in a row, with different
    /// augmentation. The epoch keeps its length, so that other samples are left out. 1 or more; 1.5 repeats every
    /// second sample.
    ///
    /// Hoffer et al. 2020, <https://arxiv.org/abs/1901.09335>; timm's `RepeatAugSampler` on one process, except that
    /// timm cuts an epoch to a multiple of 256 samples.
    Repeated(f64),
    /// Every sample once: shards (or row groups) in random order, their samples through a shuffle buffer of this size,
    /// so that files are read almost sequentially. For datasets larger than memory. See
    /// [`run_shuffled`](crate::run_shuffled).
    Shards(usize),
}

impl Sampler {
    /// Checks the parameters against the dataset.
    ///
    /// # Errors
    /// The number of weights is not that of the classes or samples; a weight is negative or not finite; no sample has a
    /// weight above 0; fewer than one repeat; an empty buffer.
    pub fn validate(&self, labels: &[usize], classes: usize) -> Result<()> {
        let (field, weights, expected) = match self {
            Sampler::Sequential | Sampler::Shuffled | Sampler::ClassBalanced => return Ok(()),
            Sampler::Repeated(repeats) if *repeats >= 1.0 && repeats.is_finite() => return Ok(()),
            Sampler::Repeated(repeats) => {
                let (expected, found) = ("a number from 1 up".into(), repeats.to_string());
                return Err(Error::Option { field: "sampler.repeated", expected, found });
            }
            Sampler::Shards(buffer) if *buffer > 0 => return Ok(()),
            Sampler::Shards(_) => {
                let (expected, found) = ("at least 1 sample".into(), "0".into());
                return Err(Error::Option { field: "sampler.shards", expected, found });
            }
            Sampler::ClassWeighted(weights) => ("sampler.class_weighted", weights, classes),
            Sampler::SampleWeighted(weights) => ("sampler.sample_weighted", weights, labels.len()),
        };
        let fail = |expected: String, found: String| Err(Error::Option { field, expected, found });
        if weights.len() != expected {
            let what = if field.contains("class") { "classes" } else { "samples" };
            return fail(format!("{expected} weights, as many as {what}"), weights.len().to_string());
        }
        if let Some(weight) = weights.iter().find(|w| !w.is_finite() || **w < 0.0) {
            return fail("finite weights of 0 or more".into(), weight.to_string());
        }
        if self.cumulative(labels).last().is_none_or(|sum| *sum <= 0.0) {
            return fail("above 0 for at least one sample".into(), "only zeros".into());
        }
        Ok(())
    }

    /// The indices of an epoch's samples, as many as `labels`. The parameters must be [valid](Self::validate).
    pub fn order(&self, labels: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
        let mut rng = rng::keyed(seed, epoch, 0, rng::SHUFFLE);
        match self {
            Sampler::Sequential => (0..labels.len()).collect(),
            Sampler::Shuffled => {
                let mut order: Vec<usize> = (0..labels.len()).collect();
                order.shuffle(&mut rng);
                order
            }
            Sampler::Repeated(repeats) => {
                let mut order: Vec<usize> = (0..labels.len()).collect();
                order.shuffle(&mut rng);
                (0..labels.len()).map(|at| order[(at as f64 / repeats) as usize]).collect()
            }
            Sampler::Shards(buffer) => run_shuffled(&[labels.len()], *buffer, seed, epoch),
            Sampler::ClassBalanced => class_balanced(labels, &mut rng),
            Sampler::ClassWeighted(_) | Sampler::SampleWeighted(_) => weighted(&self.cumulative(labels), &mut rng),
        }
    }

    /// [`order`](Self::order) for `dataset` with these labels; [`Sampler::Shards`] uses its runs.
    pub fn order_of(&self, dataset: &dyn Dataset, labels: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
        match (self, dataset.runs()) {
            (Sampler::Shards(buffer), Some(runs)) => run_shuffled(&runs, *buffer, seed, epoch),
            _ => self.order(labels, seed, epoch),
        }
    }

    /// The cumulative weights of the samples; empty for unweighted samplers.
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
    // Shuffled, so that the remaining draws go to different classes in each epoch.
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
    // A draw that rounds up to the total belongs to the last sample with a weight.
    let last = cumulative.partition_point(|sum| *sum < total);
    cumulative
        .iter()
        .map(|_| {
            let draw = rng.random::<f64>() * total;
            cumulative.partition_point(|sum| *sum <= draw).min(last)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 900 samples of class 0, 90 of class 1, none of class 2, 10 of class 3.
    fn labels() -> Vec<usize> {
        [vec![0; 900], vec![1; 90], vec![3; 10]].concat()
    }

    fn order(sampler: &Sampler, epoch: u64) -> Vec<usize> {
        sampler.validate(&labels(), 4).unwrap();
        sampler.order(&labels(), 5, epoch)
    }

    fn class_counts(order: &[usize]) -> [usize; 4] {
        let labels = labels();
        let mut counts = [0; 4];
        order.iter().for_each(|i| counts[labels[*i]] += 1);
        counts
    }

    fn draws_of_samples(order: &[usize]) -> Vec<usize> {
        let mut draws = vec![0; 1000];
        order.iter().for_each(|i| draws[*i] += 1);
        draws
    }

    #[test]
    fn sequential_and_shuffled_take_every_sample_once() {
        let sequential: Vec<usize> = (0..1000).collect();
        assert_eq!(order(&Sampler::Sequential, 3), sequential);
        let shuffled = order(&Sampler::Shuffled, 0);
        assert_ne!(shuffled, sequential);
        assert_ne!(shuffled, order(&Sampler::Shuffled, 1));
        assert_eq!(shuffled, order(&Sampler::Shuffled, 0));
        assert_eq!(draws_of_samples(&shuffled), [1; 1000]);
        // A sample's mean position over epochs is the middle: 10 standard errors are 289/√400 × 10.
        let mean: f64 =
            (0..400).map(|e| order(&Sampler::Shuffled, e).iter().position(|i| *i == 0).unwrap() as f64).sum::<f64>()
                / 400.0;
        assert!((mean - 499.5).abs() < 145.0, "{mean}");
    }

    #[test]
    fn class_balanced_is_exact() {
        let drawn = order(&Sampler::ClassBalanced, 0);
        let counts = class_counts(&drawn);
        assert_eq!(drawn.len(), 1000);
        assert_eq!(counts[2], 0);
        assert!([0, 1, 3].iter().all(|c| (333..=334).contains(&counts[*c])), "{counts:?}");
        let draws = draws_of_samples(&drawn);
        assert!(draws[..900].iter().all(|n| *n <= 1));
        assert!(draws[900..990].iter().all(|n| (3..=4).contains(n)));
        assert!(draws[990..].iter().all(|n| (33..=34).contains(n)));
        // Not class after class.
        let early = class_counts(&drawn[..300]);
        assert!([0, 1, 3].iter().all(|c| (60..140).contains(&early[*c])), "{early:?}");
        assert_eq!(Sampler::ClassBalanced.order(&[], 0, 0), Vec::<usize>::new());
    }

    #[test]
    fn weights_are_those_of_samples() {
        // 900 × 1 + 90 × 10 + 10 × 90: each class a third, ± 4.7 standard deviations of 14.9.
        let by_class = Sampler::ClassWeighted(vec![1.0, 10.0, 0.0, 90.0]);
        let counts = class_counts(&order(&by_class, 0));
        assert!([0, 1, 3].iter().all(|c| (263..403).contains(&counts[*c])), "{counts:?}");

        let mut weights = vec![0.0; 1000];
        (weights[10], weights[999]) = (1.0, 3.0);
        let draws = draws_of_samples(&order(&Sampler::SampleWeighted(weights), 0));
        assert_eq!(draws[10] + draws[999], 1000);
        assert!((680..820).contains(&draws[999]), "{}", draws[999]);
    }

    #[test]
    fn repeats_are_timms() {
        #[derive(serde::Deserialize)]
        struct Mix {
            repeats: std::collections::HashMap<String, Vec<usize>>,
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/augment_mix/mix.json");
        let Mix { repeats } = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for (repeat, theirs) in repeats {
            let drawn = order(&Sampler::Repeated(repeat.parse().unwrap()), 0);
            assert_eq!(drawn.len(), 1000);
            // Numbered in the order in which they come, as timm's without shuffling.
            let mut seen = Vec::new();
            let numbered: Vec<usize> = drawn
                .iter()
                .map(|sample| {
                    seen.iter().position(|s| s == sample).unwrap_or_else(|| {
                        seen.push(*sample);
                        seen.len() - 1
                    })
                })
                .collect();
            assert_eq!(numbered[..theirs.len()], theirs, "{repeat}");
            assert_ne!(drawn, order(&Sampler::Repeated(repeat.parse().unwrap()), 1));
        }
        assert!(Sampler::Repeated(0.5).validate(&labels(), 4).is_err());
        assert!(serde_json::from_str::<Sampler>(r#"{"repeated": 3}"#).unwrap() == Sampler::Repeated(3.0));
    }

    #[test]
    fn the_config_reads_as_documented() {
        let read = |text| serde_json::from_str::<Sampler>(text).unwrap();
        assert_eq!(read("\"class_balanced\""), Sampler::ClassBalanced);
        assert_eq!(read(r#"{"class_weighted": [1.0, 5.0]}"#), Sampler::ClassWeighted(vec![1.0, 5.0]));
    }
}
