//! GaussianBlur: torchvision's (a sampled kernel) as an op, and Pillow's (three box blurs), which policies use.

use serde::{Deserialize, Serialize};

use crate::params::{always, validate_p, validate_positive};
use crate::rng::{Rng, uniform};
use crate::{Error, Image8, PaddingMode, Result, Size, Transform};

const NAME: &str = "GaussianBlur";

/// Blurs with a Gaussian whose standard deviation is drawn uniformly.
///
/// # Source
/// torchvision `v2.GaussianBlur`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlur {
    /// Width (and height) of the kernel in pixels: an odd number, or `[across, down]`.
    pub kernel_size: KernelSize,
    /// Standard deviation in pixels, `[low, high]`.
    #[serde(default = "default_sigma")]
    pub sigma: [f64; 2],
    /// Probability.
    #[serde(default = "always")]
    pub p: f64,
}

fn default_sigma() -> [f64; 2] {
    [0.1, 2.0]
}

/// Size of a blurring kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "an odd number, or [across, down]")]
pub enum KernelSize {
    /// The same across and down.
    One(usize),
    /// Across and down.
    Each([usize; 2]),
}

impl KernelSize {
    /// Across and down.
    pub fn sides(self) -> [usize; 2] {
        match self {
            Self::One(side) => [side; 2],
            Self::Each(sides) => sides,
        }
    }
}

impl Transform for GaussianBlur {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        validate_positive(NAME, "sigma", self.sigma, 1e4)?;
        if self.kernel_size.sides().iter().all(|side| side % 2 == 1 && *side < 1000) {
            return Ok(());
        }
        let (expected, found) = ("odd and below 1000".into(), format!("{:?}", self.kernel_size.sides()));
        Err(Error::BadValue { op: NAME, field: "kernel_size", expected, found })
    }

    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8> {
        let sigma = uniform(rng, self.sigma[0], self.sigma[1]);
        Ok(gaussian_blur(&image, self.kernel_size.sides(), [sigma; 2]))
    }
}

/// The image convolved with a Gaussian of standard deviation `sigma` (across, down), sampled at `kernel` (across, down)
/// pixels, mirrored at its edges.
///
/// # Source
/// torchvision `F.gaussian_blur`.
pub fn gaussian_blur(image: &Image8, kernel: [usize; 2], sigma: [f64; 2]) -> Image8 {
    let values: Vec<f32> = image.data().iter().map(|value| f32::from(*value)).collect();
    let blurred = convolve(&values, image.size(), image.channels(), kernel, sigma);
    let data = blurred.into_iter().map(|value| (value + 0.5) as u8).collect();
    Image8::from_parts(image.size(), image.channels(), data)
}

/// [`gaussian_blur`] of floats, channels last, unrounded.
pub(super) fn convolve(values: &[f32], size: Size, channels: usize, kernel: [usize; 2], sigma: [f64; 2]) -> Vec<f32> {
    let weights = [weights(kernel[0], sigma[0]), weights(kernel[1], sigma[1])];
    pulp::Arch::new().dispatch(Convolve { values, size, channels, weights })
}

struct Convolve<'a> {
    values: &'a [f32],
    size: Size,
    channels: usize,
    /// Across and down.
    weights: [Vec<f32>; 2],
}

/// Compiled once more for AVX2: loops and no closures, which would be left behind.
impl pulp::NullaryFnOnce for Convolve<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn call(self) -> Vec<f32> {
        let Self { values, size, channels, weights: [across, down] } = self;
        let stride = size.width * channels;
        let radius = across.len() / 2;
        let mut padded = vec![0.0; stride + 2 * radius * channels];
        let columns = mirrored(radius, size.width);
        let mut rows = vec![0.0; values.len()];
        for (row, out) in values.chunks_exact(stride).zip(rows.chunks_exact_mut(stride)) {
            for (pixel, column) in padded.chunks_exact_mut(channels).zip(&columns) {
                pixel.copy_from_slice(&row[column * channels..(column + 1) * channels]);
            }
            weighted(out, &padded, &across, channels);
        }
        let mut blurred = vec![0.0; values.len()];
        let lines = mirrored(down.len() / 2, size.height);
        for (y, out) in blurred.chunks_exact_mut(stride).enumerate() {
            for (weight, line) in down.iter().zip(&lines[y..]) {
                for (out, value) in out.iter_mut().zip(&rows[line * stride..(line + 1) * stride]) {
                    *out += weight * value;
                }
            }
        }
        blurred
    }
}

/// The sums of `values`, `step` apart from each place of `out` on, each with its weight.
#[inline(always)]
fn weighted(out: &mut [f32], values: &[f32], weights: &[f32], step: usize) {
    for (i, weight) in weights.iter().enumerate() {
        for (out, value) in out.iter_mut().zip(&values[i * step..]) {
            *out += weight * value;
        }
    }
}

/// Which of `length` pixels stand at the places from `radius` before the first to `radius` behind the last.
fn mirrored(radius: usize, length: usize) -> Vec<usize> {
    let source = |at: usize| PaddingMode::Reflect.source(at as i64 - radius as i64, length);
    (0..length + 2 * radius).map(|at| source(at).unwrap_or(at.saturating_sub(radius).min(length - 1))).collect()
}

/// A Gaussian at `length` places about its middle; the sum is 1.
fn weights(length: usize, sigma: f64) -> Vec<f32> {
    let middle = (length / 2) as f64;
    let density = |i: usize| (-0.5 * ((i as f64 - middle) / sigma).powi(2)).exp();
    let sum: f64 = (0..length).map(density).sum();
    (0..length).map(|i| (density(i) / sum) as f32).collect()
}

/// The image blurred by three boxes a direction that come near a Gaussian of standard deviation `radius`; the edge's
/// pixels are repeated beyond it.
///
/// # Source
/// Pillow `ImageFilter.GaussianBlur`.
pub fn pillow_blur(image: &Image8, radius: f32) -> Image8 {
    const PASSES: usize = 3;
    let box_radius = box_radius(radius, PASSES as f32);
    let channels = image.channels();
    let Size { height, width } = image.size();
    let mut data = image.data().to_vec();
    let mut line = Vec::new();
    for row in data.chunks_exact_mut(width * channels) {
        for _ in 0..PASSES {
            line.clear();
            line.extend_from_slice(row);
            for channel in 0..channels {
                box_blur(&line, row, channel, channels, width, box_radius);
            }
        }
    }
    // Column by column, copied out to be contiguous.
    let mut column = vec![0; height];
    for at in 0..width * channels {
        (0..height).for_each(|y| column[y] = data[y * width * channels + at]);
        for _ in 0..PASSES {
            line.clear();
            line.extend_from_slice(&column);
            box_blur(&line, &mut column, 0, 1, height, box_radius);
        }
        (0..height).for_each(|y| data[y * width * channels + at] = column[y]);
    }
    Image8::from_parts(image.size(), channels, data)
}

/// The radius of the box, fraction included, whose repetition has the deviation `radius`.
fn box_radius(radius: f32, passes: f32) -> f32 {
    let variance = radius * radius / passes;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let mut fraction = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    fraction /= 6.0 * (variance - (whole + 1.0) * (whole + 1.0));
    whole + fraction
}

/// The mean over a box of one channel of a line, in 24-bit fixed point.
fn box_blur(line: &[u8], out: &mut [u8], channel: usize, step: usize, length: usize, radius: f32) {
    let whole = radius as i64;
    let weight = ((1u32 << 24) as f32 / (radius * 2.0 + 1.0)) as u32;
    let edge_weight = ((1u32 << 24) - (whole as u32 * 2 + 1) * weight) / 2;
    let at = |i: i64| u32::from(line[i.clamp(0, length as i64 - 1) as usize * step + channel]);
    let mut sum: u32 = (-whole - 1..whole).map(at).sum();
    for x in 0..length as i64 {
        sum = sum + at(x + whole) - at(x - whole - 1);
        let total = sum * weight + (at(x - whole - 1) + at(x + whole + 1)) * edge_weight;
        out[x as usize * step + channel] = ((total + (1 << 23)) >> 24) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::keyed;

    #[test]
    fn sums_are_kept_and_bad_kernels_refused() {
        let op: GaussianBlur = serde_json::from_str(r#"{ "kernel_size": [5, 3] }"#).unwrap();
        op.validate(3).unwrap();
        let mut data = vec![0; 21 * 21];
        data[21 * 10 + 10] = 255;
        let image = Image8::new(Size { height: 21, width: 21 }, 1, data).unwrap();
        let blurred = op.apply(image.clone(), &mut keyed(0, 0, 0, 0)).unwrap();
        let sum: u32 = blurred.data().iter().map(|v| u32::from(*v)).sum();
        assert!((248..263).contains(&sum), "{sum}");
        let bad: GaussianBlur = serde_json::from_str(r#"{ "kernel_size": 4 }"#).unwrap();
        assert!(matches!(bad.validate(3), Err(Error::BadValue { field: "kernel_size", .. })));
    }
}
