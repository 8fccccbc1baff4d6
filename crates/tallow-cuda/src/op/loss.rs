//! The cross-entropy of a batch: loss and gradient in one pass, and what a step tells the host.

use super::run;
use super::softmax::rows_of;
use crate::device::{Array, Device};
use crate::error::{Result, check, int, require};
use crate::launch::{Grid, arguments};
use crate::memory::{Storage, View, ViewMut};

const OP: &str = "cross_entropy";

/// The targets of a batch of `n` samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct Targets<'a> {
    /// The class of each sample. One that is not below `k` makes the sample's loss NaN.
    pub labels: Option<View<'a, u32>>,
    /// `[n, k]`: soft or mixed targets. The labels then only say which samples are right.
    pub soft: Option<View<'a, f32>>,
    /// The weight of each sample.
    pub weights: Option<View<'a, f32>>,
    /// The weight of each class, `[k]`.
    pub class_weights: Option<View<'a, f32>>,
    /// The share of each target that is spread over all classes.
    pub smoothing: f32,
}

/// The loss of each sample, whether it is right, and the gradient of the logits times `scale` (1/n for the mean).
#[derive(Debug)]
pub struct Results<'a, T> {
    /// `[n]`; the mean loss is their sum over n.
    pub losses: ViewMut<'a, f64>,
    /// `[n]`: 1 where the largest logit is the label's; zeros without labels.
    pub correct: Option<ViewMut<'a, u32>>,
    /// `[n, k]`.
    pub gradient: Option<ViewMut<'a, T>>,
}

/// `−Σ target · ln softmax(logits)` of each row, with the targets smoothed and weighted as PyTorch's `CrossEntropyLoss`
/// does.
///
/// # Errors
/// No targets; arrays of other lengths; a failed launch.
pub fn cross_entropy<D: Device, T: Storage>(
    device: &D,
    logits: View<T>,
    k: usize,
    targets: Targets,
    scale: f32,
    results: Results<T>,
) -> Result<()> {
    let (rows, k_int) = rows_of(OP, logits.len(), k)?;
    let n = rows as usize;
    let Targets { labels, soft, weights, class_weights, smoothing } = targets;
    require(OP, labels.is_some() || soft.is_some(), "labels or soft targets", "none")?;
    require(OP, (0.0..=1.0).contains(&smoothing), "a smoothing of 0 to 1", smoothing)?;
    check(OP, "the labels", n, labels.map_or(n, |l| l.len()))?;
    check(OP, "the soft targets", n * k, soft.map_or(n * k, |s| s.len()))?;
    check(OP, "the weights", n, weights.map_or(n, |w| w.len()))?;
    check(OP, "the class weights", k, class_weights.map_or(k, |w| w.len()))?;
    check(OP, "the losses", n, results.losses.len())?;
    check(OP, "what is correct", n, results.correct.as_ref().map_or(n, ViewMut::len))?;
    check(OP, "the gradient", n * k, results.gradient.as_ref().map_or(n * k, ViewMut::len))?;
    require(OP, n > 0, "at least one sample", n)?;
    let mut scales = None;
    if weights.is_some() || class_weights.is_some() {
        let mut found = Array::<_, f32>::uninit(device, n)?;
        let by_label = labels.filter(|_| soft.is_none());
        let arguments = arguments![by_label, weights, class_weights, &found.view_mut(), rows, k_int];
        // SAFETY: labels and weights have n values, the class weights k; the kernel checks that a label is below k.
        unsafe { run(device, "softmax", "sample_scales", Grid::blocks(1), arguments)? };
        scales = Some(found);
    }
    let arguments = arguments![
        logits,
        labels,
        soft,
        scales.as_ref().map(Array::view),
        class_weights,
        smoothing,
        scale,
        &results.losses,
        results.correct.as_ref(),
        results.gradient.as_ref(),
        rows,
        k_int,
    ];
    // SAFETY: the arrays have the lengths that were checked; a label is compared, and indexes nothing here.
    unsafe { run(device, "softmax", format!("cross_entropy{}", T::SUFFIX), Grid::warps(n), arguments) }
}

/// The gradient of soft targets: `−ln softmax(logits)`, times `scale`.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn target_grad<D: Device, T: Storage>(
    device: &D,
    logits: View<T>,
    k: usize,
    scale: f32,
    gradient: ViewMut<f32>,
) -> Result<()> {
    let (rows, k) = rows_of(OP, logits.len(), k)?;
    check(OP, "the gradient", logits.len(), gradient.len())?;
    if rows == 0 {
        return Ok(());
    }
    let arguments = arguments![logits, &gradient, scale, rows, k];
    // SAFETY: both arrays have rows · k values.
    unsafe { run(device, "softmax", format!("target_grad{}", T::SUFFIX), Grid::warps(rows as usize), arguments) }
}

/// The mean loss (as f32 bits), the number of right samples and the number of finite losses: 12 bytes that the host reads
/// some steps later.
///
/// # Errors
/// Arrays of other lengths; a failed launch.
pub fn summarise<D: Device>(
    device: &D,
    losses: View<f64>,
    correct: Option<View<u32>>,
    summary: ViewMut<u32>,
) -> Result<()> {
    check("summarise", "what is correct", losses.len(), correct.map_or(losses.len(), |c| c.len()))?;
    check("summarise", "the summary", 3, summary.len())?;
    require("summarise", !losses.is_empty(), "at least one loss", 0)?;
    let arguments = arguments![losses, correct, &summary, int("summarise", "samples", losses.len())?];
    // SAFETY: the arrays have the lengths that were checked.
    unsafe { run(device, "softmax", "summarise", Grid::blocks(1), arguments) }
}
