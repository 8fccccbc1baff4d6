//! A run or an ensemble as one function of images, views and members included: the graph of an ONNX file.

use candle_core::{Device, Tensor, TensorId};
use tallow_nn::graph::{Graph, trace};
use tallow_nn::op::{Activation, activate, linear, softmax};
use tallow_nn::{Mode, op};
use tallow_run::RunSections;

use crate::ensemble::combine::uniform;
use crate::ensemble::dir::Rule;
use crate::ensemble::member::member_error;
use crate::ensemble::stack::FLOOR;
use crate::ensemble::{Ensemble, Member, MemberProblem, Stack};
use crate::{Classifier, Predictor, Result, TrainedRun};

impl Predictor {
    /// The logits `[n, classes]` of images `[n, c, h, w]` behind the preprocessing of the [first run](Self::first), averaged over
    /// the views that are set. They are those of [`predictions`](Self::predictions); of an ensemble, the logarithms of its
    /// probabilities.
    ///
    /// # Errors
    /// Views that are other crops of a picture; an ensemble that votes; members with another input than the first; an error of
    /// a model.
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.check()?;
        Ok(self.unchecked(images)?)
    }

    /// [`forward`](Self::forward) as a graph, for any number of images.
    ///
    /// # Errors
    /// The errors of [`forward`](Self::forward); a model that cannot be traced.
    pub fn graph(&self) -> Result<Graph> {
        self.check()?;
        let (height, width, channels) = self.first_classifier().pipeline.output_shape();
        Ok(trace((channels, height, width), |images| self.unchecked(images))?)
    }

    fn unchecked(&self, images: &Tensor) -> tallow_nn::Result<Tensor> {
        match self {
            Self::Run(run) => classifier_logits(&run.classifier, images),
            Self::Model { classifier, .. } => classifier_logits(classifier, images),
            Self::Ensemble(ensemble) => ensemble_logits(ensemble, images),
        }
    }

    /// Fails unless the predictor is a function of its first run's images.
    fn check(&self) -> Result<()> {
        match self {
            Self::Run(run) => check(run, run),
            Self::Model { .. } => Ok(()),
            Self::Ensemble(ensemble) if *ensemble.rule() == Rule::Vote => {
                Err(member_error(ensemble.dir().path(), MemberProblem::VotesInGraph))
            }
            Self::Ensemble(ensemble) => {
                let first = &ensemble.members()[0].runs[0];
                ensemble.members().iter().flat_map(|member| &member.runs).try_for_each(|run| check(first, run))
            }
        }
    }

    /// The run whose preprocessing the images of a [`graph`](Self::graph) need: the run itself, or an ensemble's first.
    ///
    /// # Errors
    /// [`Error::NoRun`](crate::Error::NoRun).
    pub fn first(&self) -> Result<&TrainedRun> {
        match self {
            Self::Run(run) => Ok(run),
            Self::Ensemble(ensemble) => Ok(&ensemble.members()[0].runs[0]),
            Self::Model { name, .. } => Err(crate::Error::NoRun { name: name.clone() }),
        }
    }

    fn first_classifier(&self) -> &Classifier {
        match self {
            Self::Run(run) => &run.classifier,
            Self::Ensemble(ensemble) => &ensemble.members()[0].runs[0].classifier,
            Self::Model { classifier, .. } => classifier,
        }
    }

    /// The names of parameters and buffers by their tensors in a [`graph`](Self::graph): `MEMBER/NAME` in an ensemble,
    /// `MEMBER/FOLD/NAME` in a cross-validation.
    pub fn names(&self) -> Vec<(TensorId, String)> {
        let of = |classifier: &Classifier, prefix: String| -> Vec<(TensorId, String)> {
            let store = &classifier.built.store;
            let parameters = store.parameters().map(|(name, var)| (var.as_tensor().id(), name));
            let buffers = store.buffers().map(|(name, buffer)| (buffer.get().id(), name));
            parameters.chain(buffers).map(|(id, name)| (id, format!("{prefix}{name}"))).collect()
        };
        let of_member = |member: &Member| -> Vec<(TensorId, String)> {
            let prefix = |fold: usize| match member.runs.len() {
                1 => format!("{}/", member.name),
                _ => format!("{}/{fold}/", member.name),
            };
            member.runs.iter().enumerate().flat_map(|(fold, run)| of(&run.classifier, prefix(fold))).collect()
        };
        match self {
            Self::Run(run) => of(&run.classifier, String::new()),
            Self::Model { classifier, .. } => of(classifier, String::new()),
            Self::Ensemble(ensemble) => ensemble.members().iter().flat_map(of_member).collect(),
        }
    }
}

/// Fails unless a run takes the first's images, in the same views.
fn check(first: &TrainedRun, run: &TrainedRun) -> Result<()> {
    let input = |config: &RunSections| {
        (config.model.config.in_chans, config.model.config.input_size, config.augment.eval.clone())
    };
    let problem = if !run.classifier.views.crops.is_empty() {
        MemberProblem::CropsInGraph
    } else if input(&first.config) != input(&run.config) {
        MemberProblem::OtherInput { first: first.dir.path().display().to_string() }
    } else {
        return Ok(());
    };
    Err(member_error(run.dir.path(), problem))
}

fn ensemble_logits(ensemble: &Ensemble, images: &Tensor) -> tallow_nn::Result<Tensor> {
    let first = &ensemble.members()[0].runs[0];
    let members = ensemble.members().iter().map(|member| {
        let runs = member.runs.iter().zip(member.columns()).map(|(run, columns)| {
            let logits = classifier_logits(&run.classifier, &renormalized(images, first, run)?)?;
            let probabilities =
                if run.classifier.multi_label { activate(&logits, Activation::Sigmoid)? } else { softmax(&logits)? };
            if member.in_order() { Ok(probabilities) } else { op::select(&probabilities, 1, columns) }
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
            regression(stack, &op::cat(&logarithms.iter().collect::<Vec<_>>(), 1)?)
        }
        Rule::Vote => Err(tallow_nn::Error::Config { op: "graph", reason: "votes have no graph".to_owned() }),
    }
}

/// The logits of [`predict`](fn@crate::predict): with several views the logarithms of the mean of their probabilities, for
/// multi-label data the mean of their logits.
fn classifier_logits(classifier: &Classifier, images: &Tensor) -> tallow_nn::Result<Tensor> {
    let looks = &classifier.views.looks;
    let logits = |images: &Tensor| classifier.built.model.forward(images, &Mode::eval());
    if looks.len() <= 1 {
        return logits(images);
    }
    let views = looks.iter().map(|look| logits(&look.of(images)?));
    let weights = uniform(looks.len());
    match classifier.multi_label {
        true => mean(views, &weights),
        false => log(&mean(views.map(|logits| softmax(&logits?)), &weights)?, f32::MIN_POSITIVE),
    }
}

/// Converts images normalised by the first run's mean and deviation to another run's.
fn renormalized(images: &Tensor, first: &TrainedRun, run: &TrainedRun) -> tallow_nn::Result<Tensor> {
    let of = |run: &TrainedRun| {
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
    op::add(&op::multiply(images, &column(factors)?)?, &column(summands)?)
}

/// The weighted mean; the weights sum to 1.
fn mean(tables: impl Iterator<Item = tallow_nn::Result<Tensor>>, weights: &[f64]) -> tallow_nn::Result<Tensor> {
    let weighted = tables.zip(weights).map(|(table, weight)| op::affine(&table?, *weight, 0.0));
    let sum = |sum: tallow_nn::Result<Tensor>, next: tallow_nn::Result<Tensor>| op::add(&sum?, &next?);
    let none = || tallow_nn::Error::Config { op: "mean", reason: "of nothing".to_owned() };
    weighted.reduce(sum).unwrap_or_else(|| Err(none()))
}

/// Logarithms with the lower bound `floor`.
fn log(x: &Tensor, floor: f32) -> tallow_nn::Result<Tensor> {
    let floor = f64::from(floor);
    op::log(&op::affine(&activate(&op::affine(x, 1.0, -floor)?, Activation::Relu)?, 1.0, floor)?)
}

fn logit(p: &Tensor) -> tallow_nn::Result<Tensor> {
    op::subtract(&log(p, f32::MIN_POSITIVE)?, &log(&op::affine(p, -1.0, 1.0)?, f32::EPSILON / 2.0)?)
}

fn regression(stack: &Stack, features: &Tensor) -> tallow_nn::Result<Tensor> {
    let regression = stack.regression();
    let coef: Vec<f32> = regression.coef.iter().flatten().map(|value| *value as f32).collect();
    let coef = Tensor::from_vec(coef, (regression.coef.len(), features.dim(1)?), &Device::Cpu)?;
    let intercept: Vec<f32> = regression.intercept.iter().map(|value| *value as f32).collect();
    linear(features, &coef, Some(&Tensor::new(intercept, &Device::Cpu)?))
}
