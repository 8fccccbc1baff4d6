//! Model soups: one model from the mean of several models' weights.
//!
//! # Source
//! Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
//! increasing inference time".

use candle_core::{DType, Device, Tensor};
use tallow_data::Splits;
use toml::{Table, Value};

use super::member::{Member, member_error};
use super::problem::MemberProblem;
use crate::{Error, Result, TrainedRun, reestimate_batch_norm};

/// Parameters and buffers by name, in a model's order.
pub type Weights = Vec<(String, Tensor)>;

/// The keys of a model's section that change its training, not its function.
const TRAINING_ONLY: [&str; 3] = ["drop_rate", "drop_path_rate", "zero_init_last"];
/// The tolerance of mean and standard deviation of the pixels: those that each run measured on its own training images
/// differ by less.
const PIXEL_TOLERANCE: f32 = 0.01;

/// The mean of each tensor over the ingredients. The mean of equal ingredients equals them to the last bit.
///
/// # Errors
/// Tensors of other names or shapes.
pub fn mean(ingredients: &[&Weights]) -> Result<Weights> {
    let Some((first, others)) = ingredients.split_first() else { return Ok(Vec::new()) };
    let of = |(at, (name, tensor)): (usize, &(String, Tensor))| -> Result<(String, Tensor)> {
        let mut sum = tensor.to_dtype(DType::F64)?;
        for other in others {
            match other.get(at) {
                Some((theirs, tensor)) if theirs == name && tensor.dims() == sum.dims() => {
                    sum = (sum + tensor.to_dtype(DType::F64)?)?;
                }
                found => {
                    let found = found.map_or("nothing".to_owned(), |(name, t)| format!("{name} {:?}", t.dims()));
                    return Err(Error::Mismatch(format!("soup: expected {name} {:?}, found {found}", sum.dims())));
                }
            }
        }
        // Rounded once: a sum of a few f32 is exact in f64, or nearly.
        let mean: Vec<f64> = sum.flatten_all()?.to_vec1::<f64>()?;
        let mean: Vec<f32> = mean.iter().map(|sum| (sum / ingredients.len() as f64) as f32).collect();
        Ok((name.clone(), Tensor::from_vec(mean, sum.dims(), &Device::Cpu)?))
    };
    first.iter().enumerate().map(of).collect()
}

/// The ingredients of a greedy soup and its score: in order of falling score, each is kept if the soup's score with it is no
/// lower than before. `score` evaluates the soup of some ingredients.
///
/// # Errors
/// The errors of `score`.
pub fn choose_greedily(scores: &[f64], mut score: impl FnMut(&[usize]) -> Result<f64>) -> Result<(Vec<usize>, f64)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let Some((&first, rest)) = order.split_first() else { return Ok((Vec::new(), 0.0)) };
    let (mut chosen, mut best) = (vec![first], scores[first]);
    for &candidate in rest {
        let tried: Vec<usize> = chosen.iter().copied().chain([candidate]).collect();
        let reached = score(&tried)?;
        if reached >= best {
            (chosen, best) = (tried, reached);
        }
    }
    Ok((chosen, best))
}

/// Fails unless the members can be averaged: one architecture, the same classes in the same order, one preprocessing.
///
/// # Errors
/// [`Error::Member`], which names the key that differs.
pub fn check_alike(members: &[Member]) -> Result<()> {
    let mut first: Option<&TrainedRun> = None;
    for member in members {
        let [run] = member.runs.as_slice() else {
            return Err(member_error(&member.source, MemberProblem::FoldsInSoup));
        };
        if !member.in_order() {
            return Err(member_error(&member.source, MemberProblem::ClassOrder));
        }
        let Some(first) = first else {
            first = Some(run);
            continue;
        };
        if let Some((key, first, here)) = difference(first, run)? {
            return Err(member_error(&member.source, MemberProblem::OtherModel { key, here, first }));
        }
    }
    Ok(())
}

/// The first key in which two runs differ as models, with the value of each.
fn difference(first: &TrainedRun, other: &TrainedRun) -> Result<Option<(String, String, String)>> {
    let table = |run: &TrainedRun| {
        Table::try_from(&run.config.model).map_err(tallow_run::Error::serialize("the model section"))
    };
    let (a, b) = (table(first)?, table(other)?);
    let show = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
    let keys = a.keys().chain(b.keys()).filter(|key| !TRAINING_ONLY.contains(&key.as_str()));
    for key in keys {
        if a.get(key) != b.get(key) {
            return Ok(Some((format!("model.{key}"), show(a.get(key)), show(b.get(key)))));
        }
    }
    let (a, b) = (&first.config.augment, &other.config.augment);
    if a.eval != b.eval {
        let show = |eval: &Option<_>| serde_json::to_string(eval).unwrap_or_default();
        return Ok(Some(("augment.eval".into(), show(&a.eval), show(&b.eval))));
    }
    for (key, a, b) in [("augment.mean", &a.mean, &b.mean), ("augment.std", &a.std, &b.std)] {
        let (a, b) = (a.as_deref().unwrap_or_default(), b.as_deref().unwrap_or_default());
        if a.len() != b.len() || a.iter().zip(b).any(|(a, b)| (a - b).abs() > PIXEL_TOLERANCE) {
            return Ok(Some((key.into(), format!("{a:?}"), format!("{b:?}"))));
        }
    }
    Ok(None)
}

/// A model that takes the averaged weights, and the data that its running statistics are estimated on.
pub struct SoupModel {
    /// The first ingredient's run, whose weights are replaced.
    pub run: TrainedRun,
    splits: Splits,
}

impl SoupModel {
    /// A model for ingredients like `run`.
    ///
    /// # Errors
    /// A dataset that cannot be opened.
    pub fn new(run: TrainedRun) -> Result<Self> {
        let splits = run.splits(None)?;
        Ok(Self { run, splits })
    }

    /// Sets the weights to the mean of the ingredients'. BatchNorm's statistics are estimated anew over the training images of
    /// the run, with its augmentation: those of single models do not fit the mean of their weights.
    ///
    /// # Errors
    /// Ingredients that differ in names or shapes; images that cannot be read.
    pub fn set(&self, ingredients: &[&Weights]) -> Result<()> {
        let built = &self.run.classifier.built;
        for (name, tensor) in mean(ingredients)? {
            built.store.set(&name, &tensor)?;
        }
        let has_statistics = built.store.buffers().any(|(name, _)| name.ends_with("running_mean"));
        if !has_statistics || all_equal(ingredients)? {
            return Ok(());
        }
        let loader = self.run.train_loader(&self.splits)?;
        reestimate_batch_norm(built.model.as_ref(), &built.store, &loader, (self.run.config.train.seed, 0))
    }
}

/// Whether all ingredients hold the same numbers.
fn all_equal(ingredients: &[&Weights]) -> Result<bool> {
    let Some((first, others)) = ingredients.split_first() else { return Ok(true) };
    let values = |tensor: &Tensor| -> Result<Vec<f32>> { Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?) };
    for other in others {
        for ((_, a), (_, b)) in first.iter().zip(other.iter()) {
            if values(a)? != values(b)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(values: &[f32]) -> Weights {
        let tensor = |v: &[f32]| Tensor::new(v, &Device::Cpu).expect("a tensor");
        vec![("a.weight".into(), tensor(values)), ("a.bias".into(), tensor(&values[..1]))]
    }

    fn values(weights: &Weights) -> Vec<Vec<f32>> {
        weights.iter().map(|(_, tensor)| tensor.to_vec1().expect("numbers")).collect()
    }

    #[test]
    fn a_soup_is_the_mean_and_of_equals_the_same_to_the_last_bit() -> Result<()> {
        let (a, b) = (weights(&[1.0, 2.0, 0.1]), weights(&[3.0, -2.0, 0.3]));
        assert_eq!(values(&mean(&[&a, &b])?), [vec![2.0, 0.0, 0.2], vec![2.0]]);
        let odd = weights(&[0.1, 1.0 / 3.0, 1e-30]);
        assert_eq!(values(&mean(&[&odd, &odd, &odd])?), values(&odd));
        let other: Weights = vec![a[0].clone()];
        let error = mean(&[&a, &other]).expect_err("a tensor is missing").to_string();
        assert!(error.contains("expected a.bias [1], found nothing"), "{error}");
        Ok(())
    }

    #[test]
    fn greedy_keeps_what_does_not_harm() -> Result<()> {
        // Alone: .8, .7, .9. In order 2, 0, 1: with 0 it falls to .85, without it 1 brings .9 again.
        let mut tried = Vec::new();
        let score = |chosen: &[usize]| {
            tried.push(chosen.to_vec());
            Ok(if chosen.contains(&0) { 0.85 } else { 0.9 })
        };
        let (chosen, best) = choose_greedily(&[0.8, 0.7, 0.9], score)?;
        assert_eq!((chosen, best), (vec![2, 1], 0.9));
        assert_eq!(tried, [vec![2, 0], vec![2, 1]]);
        Ok(())
    }
}
