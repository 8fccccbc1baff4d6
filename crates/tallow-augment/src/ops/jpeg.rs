//! JPEG: the artefacts of lossy compression.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::params::{always, validate_p};
use crate::rng::Rng;
use crate::{Error, Image8, Result, Transform};

const NAME: &str = "JPEG";

/// Compresses the image as JPEG with chroma at half resolution, and decodes it.
///
/// # Source
/// torchvision `v2.JPEG`. The decoder's last bits differ from libjpeg's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JPEG {
    /// The quality from 1 to 100: a number, or `[low, high]`, drawn uniformly.
    pub quality: Quality,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

/// A quality of JPEG compression, or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a whole number from 1 to 100, or [low, high]")]
pub enum Quality {
    /// A fixed quality.
    One(u8),
    /// Lowest and highest.
    Between([u8; 2]),
}

impl Quality {
    fn bounds(self) -> [u8; 2] {
        match self {
            Self::One(quality) => [quality; 2],
            Self::Between(bounds) => bounds,
        }
    }
}

impl Transform for JPEG {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        let [low, high] = self.quality.bounds();
        if 1 <= low && low <= high && high <= 100 {
            return Ok(());
        }
        let expected = "a whole number from 1 to 100, or [low, high] within".into();
        Err(Error::BadValue { op: NAME, field: "quality", expected, found: format!("{:?}", [low, high]) })
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        let [low, high] = self.quality.bounds();
        jpeg(image, rng.random_range(low..=high))
    }
}

/// Compresses the image with `quality`, 1 to 100, and decodes it.
///
/// # Errors
/// The codec refuses the image: a side above 65,535 pixels.
///
/// # Source
/// torchvision `F.jpeg`: libjpeg's tables, 4:2:0.
pub fn jpeg(image: Image8, quality: u8) -> Result<Image8> {
    let failed = |message: String| Error::Codec { op: NAME, message };
    let side = |length: usize| u16::try_from(length).map_err(|_| failed(format!("a side of {length} pixels")));
    let (width, height, channels) = (side(image.width())?, side(image.height())?, image.channels());
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, quality.clamp(1, 100));
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::F_2_2);
    let encoded = if channels == 1 {
        encoder.encode(image.data(), width, height, jpeg_encoder::ColorType::Luma)
    } else {
        encoder.encode(&smooth_ycbcr(&image), width, height, jpeg_encoder::ColorType::Ycbcr)
    };
    encoded.map_err(|error| failed(error.to_string()))?;
    let decoded = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg)
        .map_err(|error| failed(error.to_string()))?;
    Image8::from_dynamic(decoded, channels)
}

/// Luma and chroma of each pixel, with the chroma averaged over 2×2 pixels as in libjpeg: the encoder itself keeps one
/// pixel of four.
fn smooth_ycbcr(image: &Image8) -> Vec<u8> {
    let width = image.width();
    let (pixels, _) = image.data().as_chunks::<3>();
    let mut converted: Vec<[f32; 3]> = pixels.iter().map(|pixel| ycbcr(pixel.map(f32::from))).collect();
    for y in (0..image.height()).step_by(2) {
        let rows = [y, (y + 1).min(image.height() - 1)];
        for x in (0..width).step_by(2) {
            let columns = [x, (x + 1).min(width - 1)];
            let places = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(row, column)| rows[row] * width + columns[column]);
            for channel in [1, 2] {
                // libjpeg alternates between rounding halves down and up from column to column.
                let bias = if x / 2 % 2 == 0 { 0.25 } else { 0.5 };
                let mean = (places.iter().map(|at| converted[*at][channel]).sum::<f32>() / 4.0 + bias).floor();
                places.into_iter().for_each(|at| converted[at][channel] = mean);
            }
        }
    }
    converted.into_iter().flat_map(|pixel| pixel.map(|value| value as u8)).collect()
}

/// JFIF's conversion to YCbCr, rounded.
fn ycbcr([r, g, b]: [f32; 3]) -> [f32; 3] {
    [
        0.299 * r + 0.587 * g + 0.114 * b,
        -0.168_736 * r - 0.331_264 * g + 0.5 * b + 128.0,
        0.5 * r - 0.418_688 * g - 0.081_312 * b + 128.0,
    ]
    .map(|value| value.round().clamp(0.0, 255.0))
}
