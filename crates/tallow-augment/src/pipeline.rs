//! The pipeline: ops on 8-bit pixels, normalisation, then ops on normalised pixels, to one constant shape.

use std::sync::Arc;

use image::DynamicImage;

use crate::normalize::NormalizationTable;
use crate::rng::{Rng, chance};
use crate::{Error, Image8, Normalization, NormalizedImage, NormalizedTransform, Result, Size, Stage, Transform};

/// A validated list of ops that turns any image into normalised pixels of one constant shape. Clones share the ops.
#[derive(Debug, Clone)]
pub struct Pipeline {
    input: Option<Size>,
    output: Size,
    channels: usize,
    pixel_ops: Vec<Arc<dyn Transform>>,
    normalization: NormalizationTable,
    normalized_ops: Vec<Arc<dyn NormalizedTransform>>,
}

impl Pipeline {
    /// Builds a pipeline from ops, which may include custom ones. `input` is the size of all input images, if it is
    /// known.
    ///
    /// # Errors
    /// A parameter is out of range; an op on 8-bit pixels follows one on normalised pixels; `channels` is neither 1 nor
    /// 3; the output size is not constant.
    pub fn from_stages(
        stages: Vec<Stage>,
        channels: usize,
        normalization: &Normalization,
        input: Option<Size>,
    ) -> Result<Self> {
        if channels != 1 && channels != 3 {
            return Err(Error::Channels { found: channels });
        }
        if let Some(size) = input.filter(|size| !size.is_valid()) {
            return Err(Error::ImageSize { op: "input", wanted: size, image: size });
        }
        let mut size = input;
        let mut opened_by = None;
        let (mut pixel_ops, mut normalized_ops) = (Vec::new(), Vec::new());
        for (op_index, stage) in stages.into_iter().enumerate() {
            match stage {
                Stage::Pixels(_) if !normalized_ops.is_empty() => {
                    return Err(Error::Order { op_index });
                }
                Stage::Pixels(op) => {
                    op.validate(channels).map_err(at_op(op_index))?;
                    let before = size;
                    size = size_after(op.as_ref(), before).map_err(at_op(op_index))?;
                    if before.is_some() && size.is_none() {
                        opened_by = Some(format!("op {op_index}, {op:?}, lets it vary"));
                    }
                    pixel_ops.push(Arc::from(op));
                }
                Stage::Normalized(op) => {
                    op.validate(channels).map_err(at_op(op_index))?;
                    normalized_ops.push(Arc::from(op));
                }
            }
        }
        let output =
            size.ok_or_else(|| Error::SizeNotConstant { reason: opened_by.unwrap_or_else(|| "no op sets it".into()) })?;
        let normalization = NormalizationTable::new(normalization, channels)?;
        Ok(Self { input, output, channels, pixel_ops, normalization, normalized_ops })
    }

    /// Appends an op to those on 8-bit pixels. Its output must have a constant size.
    ///
    /// # Errors
    /// The op's parameters are invalid, or its output size varies.
    pub fn with(mut self, op: Box<dyn Transform>) -> Result<Self> {
        op.validate(self.channels)?;
        match size_after(op.as_ref(), Some(self.output))? {
            Some(size) => self.output = size,
            None => {
                return Err(Error::SizeNotConstant { reason: format!("{op:?} lets it vary") });
            }
        }
        self.pixel_ops.push(Arc::from(op));
        Ok(self)
    }

    /// Appends an op on normalised pixels.
    ///
    /// # Errors
    /// The op's parameters are invalid.
    pub fn with_normalized(mut self, op: Box<dyn NormalizedTransform>) -> Result<Self> {
        op.validate(self.channels)?;
        self.normalized_ops.push(Arc::from(op));
        Ok(self)
    }

    /// The height, width and channels (1 or 3) of the output.
    pub fn output_shape(&self) -> (usize, usize, usize) {
        (self.output.height, self.output.width, self.channels)
    }

    /// The length of the buffer that [`apply`](Self::apply) fills: height × width × channels.
    pub fn output_len(&self) -> usize {
        self.output.pixels() * self.channels
    }

    /// Whether the pipeline draws nothing at random: the same image always gives the same pixels.
    pub fn is_deterministic(&self) -> bool {
        let never = |p: f64| p <= 0.0;
        let pixels = self.pixel_ops.iter().all(|op| {
            let p = op.probability();
            never(p) || p >= 1.0 && !op.is_random()
        });
        pixels && self.normalized_ops.iter().all(|op| never(op.probability()))
    }

    /// Transforms an image and writes its normalised pixels, channels last (HWC), to `out`. Grey images are converted
    /// to RGB and vice versa, as in Pillow.
    ///
    /// # Errors
    /// The length of `out` is not [`output_len`](Self::output_len); an op refuses the image (too small for a crop, …).
    pub fn apply(&self, image: DynamicImage, rng: &mut Rng, out: &mut [f32]) -> Result<()> {
        if out.len() != self.output_len() {
            return Err(Error::BufferLength { expected: self.output_len(), found: out.len() });
        }
        let pixels = self.transform_pixels(image, rng)?;
        self.normalization.apply(pixels.data(), out);
        self.transform_normalized(rng, out);
        Ok(())
    }

    /// The output of [`apply`](Self::apply) with the same generator as an image to look at (`Luma8` or `Rgb8`): with
    /// the ops on normalised pixels, but without normalisation.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn preview(&self, image: DynamicImage, rng: &mut Rng) -> Result<DynamicImage> {
        let pixels = self.transform_pixels(image, rng)?;
        if self.normalized_ops.is_empty() {
            return Ok(pixels.into_dynamic());
        }
        let mut values = vec![0.0; self.output_len()];
        self.normalization.apply(pixels.data(), &mut values);
        self.transform_normalized(rng, &mut values);
        Ok(Image8::new(self.output, self.channels, self.normalization.invert(&values))?.into_dynamic())
    }

    fn transform_pixels(&self, image: DynamicImage, rng: &mut Rng) -> Result<Image8> {
        let mut pixels = Image8::from_dynamic(image, self.channels)?;
        if let Some(expected) = self.input {
            expect_size("the input", expected, &pixels)?;
        }
        for op in &self.pixel_ops {
            if chance(rng, op.probability()) {
                pixels = op.apply(pixels, rng)?;
            }
        }
        // Only a custom op can fail here.
        expect_size("the last op's output", self.output, &pixels)?;
        Ok(pixels)
    }

    fn transform_normalized(&self, rng: &mut Rng, data: &mut [f32]) {
        for op in &self.normalized_ops {
            if chance(rng, op.probability()) {
                op.apply(&mut NormalizedImage { size: self.output, channels: self.channels, data }, rng);
            }
        }
    }
}

/// The size after an op that may be skipped: known only if it is the same either way.
pub(crate) fn size_after(op: &dyn Transform, before: Option<Size>) -> Result<Option<Size>> {
    let after = op.output_size(before)?;
    let always = op.probability() >= 1.0;
    Ok(after.filter(|_| always || after == before))
}

/// Names the op of an error by its position in the list.
fn at_op(op_index: usize) -> impl Fn(Error) -> Error {
    move |source| Error::AtOp { op_index, source: Box::new(source) }
}

fn expect_size(what: &'static str, expected: Size, image: &Image8) -> Result<()> {
    let found = image.size();
    if found == expected { Ok(()) } else { Err(Error::UnexpectedSize { what, expected, found }) }
}
