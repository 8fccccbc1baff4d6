//! What a run or an ensemble computes of images as one function, views and members included: what an ONNX file of it holds.

use candle_core::{Device, Tensor, TensorId};
use tallow_augment::Size;
use tallow_nn::graph::{Graph, trace};
use tallow_nn::kernels::activation::{Activation, activate};
use tallow_nn::kernels::linear::linear;
use tallow_nn::kernels::softmax::softmax;
use tallow_nn::{Mode, ops};

use crate::ensemble::combine::uniform;
use crate::ensemble::dir::Rule;
use crate::ensemble::stack::FLOOR;
use crate::ensemble::{Ensemble, Member, Stack};
use crate::{Error, Finished, Predictor, Result, RunConfig};

impl Predictor {
    /// The logits `[n, classes]` of images `[n, c, h, w]` from the preprocessing of the [first run](Self::first), in the views that
    /// are set: those of [`predictions`](Self::predictions), in an ensemble the logarithms of its probabilities.
    ///
    /// # Errors
    /// Views that are other crops of a picture; an ensemble that votes; members that take images of another size than the first, or
    /// from other ops; whatever a model fails with.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.check()?;
        Ok(self.unchecked(images)?)
    }

    /// [`forward`](Self::forward) as a graph, for any number of images.
    ///
    /// # Errors
    /// As there; a model that cannot be traced.
    pub fn graph(&self) -> Result<Graph> {
        self.check()?;
        let first = self.first();
        let Size { height, width } = first.preprocessing.size;
        let image = (first.config.model.config.in_chans, height, width);
        Ok(trace(image, |images| self.unchecked(images))?)
    }

    fn unchecked(&self, images: &Tensor) -> tallow_nn::Result<Tensor> {
        match self {
            Self::Run(run) => run_logits(run, images),
            Self::Ensemble(ensemble) => ensemble_logits(ensemble, images),
        }
    }

    /// That it is a function of its first run's images.
    fn check(&self) -> Result<()> {
        let first = self.first();
        match self {
            Self::Run(run) => check(first, run),
            Self::Ensemble(ensemble) if *ensemble.rule() == Rule::Vote => {
                let reason = "votes are counted, which a graph has no op for: make an ensemble by --method average";
                Err(Error::Member { path: ensemble.run().path().to_owned(), reason: reason.to_owned() })
            }
            Self::Ensemble(ensemble) => {
                ensemble.members().iter().flat_map(|member| &member.runs).try_for_each(|run| check(first, run))
            }
        }
    }

    /// The run whose preprocessing the images of a [`graph`](Self::graph) go through: itself, or an ensemble's first.
    pub fn first(&self) -> &Finished {
        match self {
            Self::Run(run) => run,
            Self::Ensemble(ensemble) => &ensemble.members()[0].runs[0],
        }
    }

    /// The names of parameters and buffers by their tensors in a [`graph`](Self::graph); in an ensemble `MEMBER/NAME`, of a
    /// cross-validation `MEMBER/FOLD/NAME`.
    pub fn names(&self) -> Vec<(TensorId, String)> {
        let of = |run: &Finished, prefix: String| -> Vec<(TensorId, String)> {
            let parameters = run.built.store.parameters().map(|(name, var)| (var.as_tensor().id(), name));
            let buffers = run.built.store.buffers().map(|(name, buffer)| (buffer.get().id(), name));
            parameters.chain(buffers).map(|(id, name)| (id, format!("{prefix}{name}"))).collect()
        };
        let of_member = |member: &Member| -> Vec<(TensorId, String)> {
            let prefix = |fold: usize| match member.runs.len() {
                1 => format!("{}/", member.name),
                _ => format!("{}/{fold}/", member.name),
            };
            member.runs.iter().enumerate().flat_map(|(fold, run)| of(run, prefix(fold))).collect()
        };
        match self {
            Self::Run(run) => of(run, String::new()),
            Self::Ensemble(ensemble) => ensemble.members().iter().flat_map(of_member).collect(),
        }
    }
}

/// That a run can take the first's images, and look at them as it does.
fn check(first: &Finished, run: &Finished) -> Result<()> {
    let (ours, theirs) = (&first.config, &run.config);
    let input = |config: &RunConfig| {
        (config.model.config.in_chans, config.model.config.input_size, config.augment.eval.clone())
    };
    let reason = if !run.views().crops.is_empty() {
        "five_crop, ten_crop and scales need the whole picture, and a graph is given one crop: take hflip, vflip or shift"
            .to_owned()
    } else if input(ours) != input(theirs) {
        let first = first.run.path().display();
        format!(
            "it sees images at another size than {first}, in other channels or otherwise resized: they cannot share an input"
        )
    } else {
        return Ok(());
    };
    Err(Error::Member { path: run.run.path().to_owned(), reason })
}

fn ensemble_logits(ensemble: &Ensemble, images: &Tensor) -> tallow_nn::Result<Tensor> {
    let first = &ensemble.members()[0].runs[0];
    let members = ensemble.members().iter().map(|member| {
        let runs = member.runs.iter().zip(member.columns()).map(|(run, columns)| {
            let logits = run_logits(run, &renormalized(images, first, run)?)?;
            let probabilities =
                if is_multi_label(run) { activate(&logits, Activation::Sigmoid)? } else { softmax(&logits)? };
            if member.in_order() { Ok(probabilities) } else { ops::select(&probabilities, 1, columns) }
        });
        mean(runs, &uniform(member.runs.len()))
    });
    match ensemble.rule() {
        Rule::Average(weights) => {
            let mean = mean(members, weights)?;
            if ensemble.is_multi_label() { logit(&mean) } else { log(&mean, f32::MIN_POSITIVE) }
        }
        Rule::Stack(stack) => {
            let logarithms =
                members.map(|member| log(&member?, FLOOR as f32)).collect::<tallow_nn::Result<Vec<_>>>()?;
            regression(stack, &ops::cat(&logarithms.iter().collect::<Vec<_>>(), 1)?)
        }
        Rule::Vote => Err(tallow_nn::Error::Config { op: "graph", reason: "votes have no graph".to_owned() }),
    }
}

/// As [`predict`](fn@crate::predict) has it: of several views the logarithms of the mean of their probabilities; where several
/// classes can hold at once, the mean of their logits.
fn run_logits(run: &Finished, images: &Tensor) -> tallow_nn::Result<Tensor> {
    let looks = &run.views().looks;
    let logits = |images: &Tensor| run.built.model.forward(images, &Mode::eval());
    if looks.len() <= 1 {
        return logits(images);
    }
    let views = looks.iter().map(|look| logits(&look.of(images)?));
    let weights = uniform(looks.len());
    match is_multi_label(run) {
        true => mean(views, &weights),
        false => log(&mean(views.map(|logits| softmax(&logits?)), &weights)?, f32::MIN_POSITIVE),
    }
}

fn is_multi_label(run: &Finished) -> bool {
    run.config.data.multi_label
}

/// Images with the first run's mean and deviation, with those of another.
fn renormalized(images: &Tensor, first: &Finished, run: &Finished) -> tallow_nn::Result<Tensor> {
    let of = |run: &Finished| {
        let augment = &run.config.augment;
        (augment.mean.clone().unwrap_or_default(), augment.std.clone().unwrap_or_default())
    };
    let ((mean, std), (other_mean, other_std)) = (of(first), of(run));
    if mean == other_mean && std == other_std {
        return Ok(images.clone());
    }
    let channels = mean.len();
    let factors = (0..channels).map(|c| std[c] / other_std[c]).collect();
    let summands = (0..channels).map(|c| (mean[c] - other_mean[c]) / other_std[c]).collect();
    let column = |values: Vec<f32>| Tensor::from_vec(values, (1, channels, 1, 1), &Device::Cpu);
    ops::add(&ops::multiply(images, &column(factors)?)?, &column(summands)?)
}

/// The weighted sum; weights have the sum 1.
fn mean(tables: impl Iterator<Item = tallow_nn::Result<Tensor>>, weights: &[f64]) -> tallow_nn::Result<Tensor> {
    let weighted = tables.zip(weights).map(|(table, weight)| ops::affine(&table?, *weight, 0.0));
    let sum = |sum: tallow_nn::Result<Tensor>, next: tallow_nn::Result<Tensor>| ops::add(&sum?, &next?);
    let none = || tallow_nn::Error::Config { op: "mean", reason: "of nothing".to_owned() };
    weighted.reduce(sum).unwrap_or_else(|| Err(none()))
}

/// Logarithms of what is not below `floor`.
fn log(x: &Tensor, floor: f32) -> tallow_nn::Result<Tensor> {
    let floor = f64::from(floor);
    ops::log(&ops::affine(&activate(&ops::affine(x, 1.0, -floor)?, Activation::Relu)?, 1.0, floor)?)
}

fn logit(p: &Tensor) -> tallow_nn::Result<Tensor> {
    ops::subtract(&log(p, f32::MIN_POSITIVE)?, &log(&ops::affine(p, -1.0, 1.0)?, f32::EPSILON / 2.0)?)
}

fn regression(stack: &Stack, features: &Tensor) -> tallow_nn::Result<Tensor> {
    let regression = stack.regression();
    let coef: Vec<f32> = regression.coef.iter().flatten().map(|value| *value as f32).collect();
    let coef = Tensor::from_vec(coef, (regression.coef.len(), features.dim(1)?), &Device::Cpu)?;
    let intercept: Vec<f32> = regression.intercept.iter().map(|value| *value as f32).collect();
    linear(features, &coef, Some(&Tensor::new(intercept, &Device::Cpu)?))
}
