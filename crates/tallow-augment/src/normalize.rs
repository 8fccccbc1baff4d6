//! Normalisation of 8-bit pixels: `(pixel / 255 - mean) / std` for each channel.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Size};

/// Mean and standard deviation of each channel, in units of pixel / 255.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Mean of each channel, 0 to 1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, above 0.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Mean 0 and standard deviation 1: pixels are scaled to 0..1.
    pub fn identity(channels: usize) -> Self {
        Self { mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

    /// ImageNet's statistics (RGB), which most pretrained weights expect.
    pub fn imagenet() -> Self {
        Self { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }

    /// The statistics for images of `channels` channels: unchanged if they have as many, else their mean over the channels
    /// for each, as timm does.
    pub fn for_channels(&self, channels: usize) -> Self {
        let each = |values: &[f32]| match values.len() {
            n if n == channels => values.to_vec(),
            n => vec![values.iter().sum::<f32>() / n.max(1) as f32; channels],
        };
        Self { mean: each(&self.mean), std: each(&self.std) }
    }

    fn validate(&self, channels: usize) -> Result<()> {
        let bad = |field, expected: String, found: &[f32]| {
            Err(Error::BadValue { op: "Normalization", field, expected, found: format!("{found:?}") })
        };
        if self.mean.len() != channels || self.mean.iter().any(|m| !m.is_finite()) {
            return bad("mean", format!("{channels} finite numbers, one per channel"), &self.mean);
        }
        if self.std.len() != channels || self.std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return bad("std", format!("{channels} numbers above 0, one per channel"), &self.std);
        }
        Ok(())
    }
}

/// A mutable view of a normalised image, channels last.
#[derive(Debug)]
pub struct NormalizedImage<'a> {
    /// Height and width.
    pub size: Size,
    /// 1 or 3.
    pub channels: usize,
    /// `height * width * channels` values.
    pub data: &'a mut [f32],
}

/// The normalised value of every 8-bit value: one table of 256 entries per channel.
#[derive(Debug, Clone)]
pub(crate) struct NormalizationTable {
    tables: Vec<[f32; 256]>,
    normalization: Normalization,
}

impl NormalizationTable {
    pub(crate) fn new(normalization: &Normalization, channels: usize) -> Result<Self> {
        normalization.validate(channels)?;
        // In f32 and torchvision's order (times 1/255, minus mean, divided by std), for bit-identical results.
        let table = |(mean, std)| std::array::from_fn(|value| (value as f32 * (1.0 / 255.0) - mean) / std);
        let tables = normalization.mean.iter().zip(&normalization.std).map(table).collect();
        Ok(Self { tables, normalization: normalization.clone() })
    }

    /// Writes the normalised `pixels` to `out`; both are channels last and have the same length.
    pub(crate) fn apply(&self, pixels: &[u8], out: &mut [f32]) {
        match self.tables.as_slice() {
            [red, green, blue] => {
                for (out, pixel) in out.chunks_exact_mut(3).zip(pixels.chunks_exact(3)) {
                    out[0] = red[usize::from(pixel[0])];
                    out[1] = green[usize::from(pixel[1])];
                    out[2] = blue[usize::from(pixel[2])];
                }
            }
            tables => {
                for (out, pixel) in out.chunks_exact_mut(tables.len()).zip(pixels.chunks_exact(tables.len())) {
                    for ((out, value), table) in out.iter_mut().zip(pixel).zip(tables) {
                        *out = table[usize::from(*value)];
                    }
                }
            }
        }
    }

    /// The 8-bit pixels whose normalised values are closest to `values`.
    pub(crate) fn invert(&self, values: &[f32]) -> Vec<u8> {
        let Normalization { mean, std } = &self.normalization;
        let channels = mean.len();
        let level = |(i, value): (usize, &f32)| {
            ((value * std[i % channels] + mean[i % channels]) * 255.0).round().clamp(0.0, 255.0) as u8
        };
        values.iter().enumerate().map(level).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverting_gives_the_pixels_back() {
        let table = NormalizationTable::new(&Normalization::imagenet(), 3).unwrap();
        let pixels: Vec<u8> = (0..=255).flat_map(|v| [v, 255 - v, v / 2]).collect();
        let mut values = vec![0.0; pixels.len()];
        table.apply(&pixels, &mut values);
        assert_eq!(table.invert(&values), pixels);
    }

    #[test]
    fn bad_statistics_are_refused() {
        for (mean, std) in [(vec![0.5; 3], vec![0.0; 3]), (vec![0.5], vec![1.0]), (vec![f32::NAN; 3], vec![1.0; 3])] {
            let error = NormalizationTable::new(&Normalization { mean, std }, 3).unwrap_err();
            assert!(matches!(error, Error::BadValue { op: "Normalization", .. }), "{error}");
        }
    }
}
