//! Test-time augmentation: a model's probabilities are averaged over several views of each image.

use std::sync::Arc;

use candle_core::Tensor;
use tallow_augment::ops::{CenterCrop, OpConfig, Resize, Window, crop};
use tallow_augment::rng::Rng;
use tallow_augment::{
    Error as AugmentError, Image8, Normalization, PaddingMode, Pipeline, PipelineConfig, Size, SizeParam, Stage,
    Transform,
};
use tallow_metrics::softmax;
use tallow_models::Model;
use tallow_nn::{Mode, op};
use tallow_run::{RunSections, View};

use crate::batch::images;
use crate::{Error, Result};

/// The views of each image: the evaluation pipeline and further pipelines, each in several looks (mirrored, shifted).
#[derive(Debug, Clone, Default)]
pub struct TestTime {
    /// Pipelines beside the evaluation pipeline.
    pub(crate) crops: Vec<Arc<Pipeline>>,
    /// The looks at each batch of every pipeline.
    pub(crate) looks: Vec<Look>,
}

impl TestTime {
    /// The views of `augment.tta` of a complete config.
    ///
    /// # Errors
    /// A config without pipeline or pixel statistics; a pipeline that cannot be built.
    pub fn new(config: &RunSections) -> Result<Self> {
        let has = |views: &[View]| config.augment.tta.iter().any(|view| views.contains(view));
        let looks = Look::all(has(&[View::HFlip, View::TenCrop]), has(&[View::VFlip]), has(&[View::Shift]));
        let incomplete = |missing: &'static str| Error::IncompleteConfig { path: "config.toml".into(), missing };
        let augment = &config.augment;
        let eval = augment.eval.as_ref().ok_or_else(|| incomplete("augment.eval"))?;
        let (Some(mean), Some(std)) = (&augment.mean, &augment.std) else {
            return Err(incomplete("augment.mean or std"));
        };
        let normalization = Normalization { mean: mean.clone(), std: std.clone() };
        let (channels, (height, width)) = (config.model.config.in_chans, config.model.config.input_size);
        let size = Size { height, width };
        let build = |stages: &dyn Fn() -> Vec<Stage>| -> Result<Arc<Pipeline>> {
            let built = match Pipeline::from_stages(stages(), channels, &normalization, None) {
                Err(AugmentError::SizeNotConstant { .. }) => {
                    Pipeline::from_stages(stages(), channels, &normalization, Some(size))
                }
                built => built,
            };
            Ok(Arc::new(built?))
        };
        // Evaluated images may be larger than training images.
        let (height, width, _) = build(&|| eval.stages())?.output_shape();
        let size = Size { height, width };
        let mut crops = Vec::new();
        if has(&[View::FiveCrop, View::TenCrop]) {
            for (bottom, right) in [(false, false), (false, true), (true, false), (true, true)] {
                let stages = || {
                    let mut stages = uncropped(eval, size).stages();
                    stages.push(Stage::Pixels(Box::new(Corner { bottom, right, size })));
                    stages
                };
                crops.push(build(&stages)?);
            }
        }
        if has(&[View::Scales]) {
            for zoom in [9.0 / 8.0, 5.0 / 4.0] {
                crops.push(build(&|| zoomed(eval, size, zoom).stages())?);
            }
        }
        Ok(Self { crops, looks })
    }

    /// The number of views of each image.
    pub fn count(&self) -> usize {
        (1 + self.crops.len()) * self.looks.len().max(1)
    }
}

/// The pipeline without its centre crop; if it has none, with an output 8/7 as large.
fn uncropped(eval: &PipelineConfig, size: Size) -> PipelineConfig {
    let mut ops = eval.0.clone();
    match ops.last() {
        Some(OpConfig::CenterCrop(crop)) if crop.size.to_square() == size => {
            ops.pop();
        }
        _ => ops = enlarged(ops, size, 8.0 / 7.0),
    }
    PipelineConfig(ops)
}

/// The pipeline with a resize `zoom` times as large before the centre crop.
fn zoomed(eval: &PipelineConfig, size: Size, zoom: f64) -> PipelineConfig {
    let mut ops = eval.0.clone();
    let middle = CenterCrop { size: exact(size), p: 1.0 };
    match ops.as_mut_slice() {
        [.., OpConfig::Resize(resize), OpConfig::CenterCrop(_)] => {
            let scaled = |side: usize| (side as f64 * zoom).round() as usize;
            resize.size = match resize.size {
                SizeParam::One(short) => SizeParam::One(scaled(short)),
                SizeParam::Exact(sides) => SizeParam::Exact(sides.map(scaled)),
            };
        }
        _ => {
            ops = enlarged(ops, size, zoom);
            ops.push(middle.into());
        }
    }
    PipelineConfig(ops)
}

/// The ops with a larger resize at the end, in place of an existing one.
fn enlarged(mut ops: Vec<OpConfig>, size: Size, zoom: f64) -> Vec<OpConfig> {
    let scaled = |side: usize| (side as f64 * zoom).round() as usize;
    let larger = SizeParam::Exact([scaled(size.height), scaled(size.width)]);
    match ops.last_mut() {
        Some(OpConfig::Resize(resize)) if resize.size == exact(size) => resize.size = larger,
        _ => ops.push(Resize { size: larger, interpolation: Default::default(), p: 1.0 }.into()),
    }
    ops
}

fn exact(size: Size) -> SizeParam {
    SizeParam::Exact([size.height, size.width])
}

/// Cuts out one of the four corners.
#[derive(Debug)]
struct Corner {
    bottom: bool,
    right: bool,
    size: Size,
}

impl Transform for Corner {
    fn output_size(&self, _: Option<Size>) -> tallow_augment::Result<Option<Size>> {
        Ok(Some(self.size))
    }

    fn apply(&self, image: Image8, _: &mut Rng) -> tallow_augment::Result<Image8> {
        let (found, size) = (image.size(), self.size);
        if size.height > found.height || size.width > found.width {
            return Err(AugmentError::CropTooLarge { op: "five_crop", crop: size, image: found });
        }
        let top = if self.bottom { (found.height - size.height) as i64 } else { 0 };
        let left = if self.right { (found.width - size.width) as i64 } else { 0 };
        Ok(crop(&image, Window { top, left, size }, PaddingMode::Constant, [0; 3]))
    }
}

/// A look at a batch: shifted, mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Look {
    /// The shift in steps down and to the right: −1, 0 or 1.
    shift: (i64, i64),
    hflip: bool,
    vflip: bool,
}

impl Look {
    /// All combinations, the unchanged one first.
    fn all(hflip: bool, vflip: bool, shift: bool) -> Vec<Self> {
        let shifts: &[(i64, i64)] = if shift { &[(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)] } else { &[(0, 0)] };
        let either = |on: bool| if on { vec![false, true] } else { vec![false] };
        let mut looks = Vec::new();
        for vflip in either(vflip) {
            for hflip in either(hflip) {
                looks.extend(shifts.iter().map(|shift| Look { shift: *shift, hflip, vflip }));
            }
        }
        looks
    }

    /// The pixels of a batch `[n, h, w, c]` in this look.
    pub fn at(self, pixels: &[f32], (_, h, w, c): (usize, usize, usize, usize)) -> Vec<f32> {
        if self == Self::default() || h * w * c == 0 {
            return pixels.to_vec();
        }
        let (rows, columns) = (self.rows(h), self.columns(w));
        let mut seen = Vec::with_capacity(pixels.len());
        for image in pixels.chunks_exact(h * w * c) {
            for y in &rows {
                let row = &image[y * w * c..][..w * c];
                columns.iter().for_each(|x| seen.extend_from_slice(&row[x * c..][..c]));
            }
        }
        seen
    }

    /// Images `[n, c, h, w]` in this look, recorded in a trace.
    pub fn of(self, images: &Tensor) -> tallow_nn::Result<Tensor> {
        let (_, _, h, w) = images.dims4()?;
        let mut seen = images.clone();
        for (dim, side, places) in [(2, h, self.rows(h)), (3, w, self.columns(w))] {
            if places.iter().copied().ne(0..side) {
                seen = op::select(&seen, dim, &places)?;
            }
        }
        Ok(seen)
    }

    /// The row of the image that appears at each row.
    fn rows(self, h: usize) -> Vec<usize> {
        (0..h).map(|y| source(y, h, self.shift.0, self.vflip)).collect()
    }

    fn columns(self, w: usize) -> Vec<usize> {
        (0..w).map(|x| source(x, w, self.shift.1, self.hflip)).collect()
    }
}

/// The position that appears at position `at` of `side` after a shift by `steps` and a flip; beyond the border, the image is
/// mirrored.
fn source(at: usize, side: usize, steps: i64, flipped: bool) -> usize {
    let (last, step) = (side as i64 - 1, ((side as f64 / 32.0).round() as i64).max(1));
    let at = if flipped { last - at as i64 } else { at as i64 };
    let from = (at - steps * step).abs();
    (if from > last { 2 * last - from } else { from }).clamp(0, last) as usize
}

/// Views of few images go through the model together, up to this many: one image alone does not fill it.
const TOGETHER: usize = 32;

/// Logits of images in one view, or the sum of the scores of several.
pub(crate) struct ViewSum<'a> {
    views: &'a TestTime,
    multi_label: bool,
    classes: usize,
    sums: Vec<f32>,
}

impl<'a> ViewSum<'a> {
    pub fn new(views: &'a TestTime, multi_label: bool, classes: usize) -> Self {
        Self { views, multi_label, classes, sums: Vec::new() }
    }

    /// Adds the scores of a batch in all looks, from `row` on: probabilities, or the logits of multi-label data.
    pub fn add(
        &mut self,
        model: &dyn Model,
        pixels: Vec<f32>,
        shape: (usize, usize, usize, usize),
        row: usize,
    ) -> Result<()> {
        let (n, h, w, c) = shape;
        let logits = |pixels: Vec<f32>, views: usize| -> Result<Vec<f32>> {
            let logits = model.forward(&images(pixels, (views * n, h, w, c))?, &Mode::eval())?;
            Ok(logits.flatten_all()?.to_vec1::<f32>()?)
        };
        if self.views.count() == 1 {
            self.sums.extend(logits(pixels, 1)?);
            return Ok(());
        }
        let (start, len) = (row * self.classes, n * self.classes);
        if self.sums.len() < start + len {
            self.sums.resize(start + len, 0.0);
        }
        let sums = &mut self.sums[start..start + len];
        for looks in self.views.looks.chunks((TOGETHER / n.max(1)).max(1)) {
            let pixels = looks.iter().flat_map(|look| look.at(&pixels, shape)).collect();
            let logits = logits(pixels, looks.len())?;
            let scores = if self.multi_label { logits } else { softmax(&logits, self.classes)? };
            for scores in scores.chunks_exact(len.max(1)) {
                sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
            }
        }
        Ok(())
    }

    /// The logits: of several views the logarithms of the mean of their probabilities, for multi-label data the mean.
    pub fn into_logits(mut self) -> Vec<f32> {
        if self.views.count() > 1 {
            let count = self.views.count() as f32;
            for sum in &mut self.sums {
                let mean = *sum / count;
                *sum = if self.multi_label { mean } else { mean.max(f32::MIN_POSITIVE).ln() };
            }
        }
        self.sums
    }
}

#[cfg(test)]
mod tests;
