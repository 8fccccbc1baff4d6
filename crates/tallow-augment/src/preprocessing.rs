//! The evaluation pipeline as one value: what runs, and what a checkpoint's `config.json` says, in timm's terms.

use serde::{Deserialize, Serialize};

use crate::ops::{CenterCrop, Resize, ResizePad};
use crate::pipeline::size_after;
use crate::{
    Error, Fill, Interpolation, Normalization, OpConfig, Pipeline, PipelineConfig, Result, Size, SizeParam, Stage,
};

/// How an image is scaled before the centre is cropped: timm's `crop_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropMode {
    /// The short side becomes `floor(size / crop_pct)`; the proportions are kept.
    #[default]
    Center,
    /// Each side becomes `floor(size / crop_pct)`; the proportions are not kept.
    Squash,
    /// The image is fitted into `floor(size / crop_pct)` and padded with the mean colour.
    Border,
}

/// What evaluation does to an image before the model sees it.
///
/// The fields other than [`ops`](Self::ops) are those of timm's `pretrained_cfg` and mean what `timm.data.create_transform`
/// makes of them. They describe the usual pipelines exactly: [`from_pipeline`](Self::from_pipeline) finds them, and
/// [`pipeline`](Self::pipeline) gives the same pixels. A pipeline that they cannot describe is kept in `ops`; the other
/// fields then hold the nearest description, for readers that know timm's fields alone.
///
/// ```
/// use tallow_augment::{CropMode, Normalization, PipelineConfig, Preprocessing, Size};
///
/// let ops: PipelineConfig =
///     serde_json::from_str(r#"[{ "op": "Resize", "size": 256 }, { "op": "CenterCrop", "size": 224 }]"#)?;
/// let images = Size { height: 480, width: 640 };
/// let preprocessing = Preprocessing::from_pipeline(&ops, &Normalization::imagenet(), images)?;
/// assert_eq!((preprocessing.crop_mode, preprocessing.crop_pct), (CropMode::Center, 0.875));
/// assert!(preprocessing.is_exact_in_timm());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
/// timm 1.0, `timm.data.transforms_factory.transforms_imagenet_eval`.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// Height and width of the output.
    pub size: Size,
    /// The interpolation of the scaling.
    pub interpolation: Interpolation,
    /// The side of the crop divided by that of the scaled image, above 0.
    pub crop_pct: f64,
    /// How the image is scaled.
    pub crop_mode: CropMode,
    /// Mean and standard deviation of each channel.
    pub normalization: Normalization,
    /// The ops of the pipeline, where timm's fields cannot describe it.
    pub ops: Option<PipelineConfig>,
}

impl Preprocessing {
    /// The default of timm and torchvision: 224 of 256 pixels.
    pub const DEFAULT_CROP_PCT: f64 = 0.875;
    /// Images up to this side, in pixels, are not cropped by default.
    pub const SMALL_IMAGE: usize = 64;

    /// The preprocessing that runs `ops`. Where the ops leave the size open, all images have the size `image`: other
    /// images are scaled to it first.
    ///
    /// # Errors
    /// A pipeline that cannot be built: see [`Pipeline::from_stages`].
    pub fn from_pipeline(ops: &PipelineConfig, normalization: &Normalization, image: Size) -> Result<Self> {
        let channels = normalization.mean.len();
        let ops = Self::sized(ops, image);
        let (height, width, _) = ops.build(channels, normalization)?.output_shape();
        let mut preprocessing = Self::nearest(&ops.0, Size { height, width }, normalization);
        if !(preprocessing.has_timms_pixels() && preprocessing.ops().0 == simplified(&ops.0)) {
            preprocessing.ops = Some(ops);
        }
        Ok(preprocessing)
    }

    /// The ops for images of any size: where they leave the size open, the image is scaled to `image` first, which changes
    /// no image of that size.
    pub fn sized(ops: &PipelineConfig, image: Size) -> PipelineConfig {
        let known = ops.stages().iter().try_fold(None, |size, stage| match stage {
            Stage::Pixels(op) => size_after(op.as_ref(), size),
            Stage::Normalized(_) => Ok(size),
        });
        let first = matches!(known, Ok(None)).then(|| resize([image.height, image.width], Interpolation::default()));
        PipelineConfig(first.into_iter().chain(ops.0.iter().cloned()).collect())
    }

    /// The default evaluation ops for images like `image`, to the output size `size`: small images are scaled to it
    /// exactly, others by the short side to `size / 0.875`, with a centre crop; bilinear.
    pub fn default_ops(image: Size, size: Size) -> PipelineConfig {
        let (crop_mode, crop_pct) = match Self::is_small(image) {
            true => (CropMode::Squash, 1.0),
            false => (CropMode::Center, Self::DEFAULT_CROP_PCT),
        };
        let normalization = Normalization::identity(1);
        let interpolation = Interpolation::Bilinear;
        Self { size, interpolation, crop_pct, crop_mode, normalization, ops: None }.ops()
    }

    /// Whether images like `image` are small: by default they are not cropped.
    pub fn is_small(image: Size) -> bool {
        image.height.max(image.width) <= Self::SMALL_IMAGE
    }

    /// Whether timm's fields describe the pipeline exactly. If not, a reader that knows them alone prepares images
    /// differently.
    pub fn is_exact_in_timm(&self) -> bool {
        self.ops.is_none() && self.has_timms_pixels()
    }

    /// The ops of the pipeline.
    pub fn ops(&self) -> PipelineConfig {
        if let Some(ops) = &self.ops {
            return ops.clone();
        }
        let Size { height, width } = self.size;
        let interpolation = self.interpolation;
        let scaled = [self.scaled(height), self.scaled(width)];
        let scale = match self.crop_mode {
            CropMode::Center => {
                let size = SizeParam::One(self.scaled(height.min(width)));
                Resize { size, interpolation, p: 1.0 }.into()
            }
            CropMode::Squash => resize(scaled, interpolation),
            CropMode::Border => {
                let level = |mean: &f32| (255.0 * f64::from(*mean)).round_ties_even().clamp(0.0, 255.0) as u8;
                let fill = Fill::Each(self.normalization.mean.iter().map(level).collect());
                ResizePad { size: SizeParam::Exact(scaled), interpolation, fill, p: 1.0 }.into()
            }
        };
        let crop = CenterCrop { size: SizeParam::Exact([height, width]), p: 1.0 }.into();
        match self.crop_mode {
            CropMode::Squash | CropMode::Border if scaled == [height, width] => PipelineConfig(vec![scale]),
            _ => PipelineConfig(vec![scale, crop]),
        }
    }

    /// The pipeline, for images of any size.
    ///
    /// # Errors
    /// A pipeline that cannot be built, or whose output is not of [`size`](Self::size).
    pub fn pipeline(&self) -> Result<Pipeline> {
        let pipeline = self.ops().build(self.normalization.mean.len(), &self.normalization)?;
        let (height, width, _) = pipeline.output_shape();
        let (expected, found) = (self.size, Size { height, width });
        if found != expected {
            return Err(Error::UnexpectedSize { what: "the preprocessing's output", expected, found });
        }
        Ok(pipeline)
    }

    /// timm's fields for a list of ops, taken from the last op that scales.
    fn nearest(ops: &[OpConfig], size: Size, normalization: &Normalization) -> Self {
        let sides = |to: [usize; 2]| crop_pct(&[(size.height, to[0]), (size.width, to[1])]);
        let scaling = ops.iter().rev().find_map(|op| match op {
            OpConfig::Resize(Resize { size: SizeParam::One(short), interpolation, .. }) => {
                Some((CropMode::Center, crop_pct(&[(size.height.min(size.width), *short)]), *interpolation))
            }
            OpConfig::Resize(Resize { size: SizeParam::Exact(to), interpolation, .. }) => {
                Some((CropMode::Squash, sides(*to), *interpolation))
            }
            OpConfig::ResizePad(ResizePad { size: to, interpolation, .. }) => {
                let to = to.to_square();
                Some((CropMode::Border, sides([to.height, to.width]), *interpolation))
            }
            _ => None,
        });
        let (crop_mode, crop_pct, interpolation) = scaling.unwrap_or((CropMode::Center, 1.0, Interpolation::default()));
        Self { size, interpolation, crop_pct, crop_mode, normalization: normalization.clone(), ops: None }
    }

    /// Whether timm computes from these fields the pixels of [`ops`](Self::ops). It does not for a centre crop that is not
    /// square, before which timm scales the image until it covers the crop, nor for padding, where the image may lie one
    /// pixel off.
    fn has_timms_pixels(&self) -> bool {
        match self.crop_mode {
            CropMode::Center => self.scaled(self.size.height) == self.scaled(self.size.width),
            CropMode::Squash => true,
            CropMode::Border => false,
        }
    }

    /// The length to which a side is scaled before it is cropped to `side`, as timm computes it.
    fn scaled(&self, side: usize) -> usize {
        (side as f64 / self.crop_pct).floor() as usize
    }
}

/// A `crop_pct` with `floor(crop / crop_pct) == scaled` in f64 for each pair `(crop, scaled)`: the largest of those with
/// the fewest decimals. Where there is none, the ratio of the first pair.
fn crop_pct(pairs: &[(usize, usize)]) -> f64 {
    let ratios = pairs.iter().map(|&(crop, scaled)| crop as f64 / scaled as f64);
    let most = ratios.fold(f64::INFINITY, f64::min);
    let fits = |pct: &f64| pairs.iter().all(|&(crop, scaled)| (crop as f64 / pct).floor() as usize == scaled);
    // The second one is for where the first, divided in f64, gives one pixel less.
    let decimals = (1..=15).flat_map(|digits| {
        let scale = 10f64.powi(digits);
        let largest = (most * scale).floor();
        [largest / scale, (largest - 1.0) / scale]
    });
    decimals.filter(|pct| *pct > 0.0).find(fits).unwrap_or_else(|| pairs[0].0 as f64 / pairs[0].1 as f64)
}

fn resize(size: [usize; 2], interpolation: Interpolation) -> OpConfig {
    Resize { size: SizeParam::Exact(size), interpolation, p: 1.0 }.into()
}

/// The ops in the form in which [`Preprocessing::ops`] writes them: crops by height and width, none that crops nothing.
fn simplified(ops: &[OpConfig]) -> Vec<OpConfig> {
    let mut simple = Vec::<OpConfig>::with_capacity(ops.len());
    for op in ops {
        match (op, simple.last()) {
            (OpConfig::CenterCrop(crop), last) => {
                let Size { height, width } = crop.size.to_square();
                let size = SizeParam::Exact([height, width]);
                if !matches!(last, Some(OpConfig::Resize(resize)) if resize.size == size && resize.p == 1.0) {
                    simple.push(CenterCrop { size, p: crop.p }.into());
                }
            }
            (op, _) => simple.push(op.clone()),
        }
    }
    simple
}

#[cfg(test)]
mod tests;
