//! Gaussian blur: torchvision's (a sampled kernel) as an op, and Pillow's (three box blurs) for policies.

use serde::{Deserialize, Serialize};

use crate::params::{always, validate_p, validate_positive};
use crate::rng::{Rng, uniform};
use crate::{Error, Image8, PaddingMode, Result, Size, Transform};

const NAME: &str = "GaussianBlur";

/// Blurs with a Gaussian of uniformly drawn standard deviation.
///
/// # Source
/// torchvision `v2.GaussianBlur`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GaussianBlur {
    /// The size of the kernel in pixels: an odd number, or `[horizontal, vertical]`.
    pub kernel_size: KernelSize,
    /// The range of the standard deviation in pixels, `[low, high]`.
    #[serde(default = "default_sigma")]
    pub sigma: [f64; 2],
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

fn default_sigma() -> [f64; 2] {
    [0.1, 2.0]
}

/// The size of a blur kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "an odd number, or [across, down]")]
pub enum KernelSize {
    /// The same in both directions.
    One(usize),
    /// Horizontal and vertical.
    Each([usize; 2]),
}

impl KernelSize {
    /// Horizontal and vertical.
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

/// Convolves the image with a Gaussian of standard deviation `sigma` (horizontal, vertical), sampled at `kernel` pixels
/// (horizontal, vertical). The image is mirrored at its edges.
///
/// # Source
/// torchvision `F.gaussian_blur`.
pub fn gaussian_blur(image: &Image8, kernel: [usize; 2], sigma: [f64; 2]) -> Image8 {
    Image8::from_parts(
        image.size(),
        image.channels(),
        convolve(image.data(), image.size(), image.channels(), kernel, sigma),
    )
}

/// [`gaussian_blur`] for bytes or floats, channels last.
pub(super) fn convolve<T: Value>(
    values: &[T],
    size: Size,
    channels: usize,
    kernel: [usize; 2],
    sigma: [f64; 2],
) -> Vec<T> {
    let weights = [weights(kernel[0], sigma[0]), weights(kernel[1], sigma[1])];
    pulp::Arch::new().dispatch(Convolve { values, size, channels, weights })
}

/// A value that is summed as f32.
pub(super) trait Value: Copy + Into<f32> {
    /// The value nearest to a sum.
    fn nearest(sum: f32) -> Self;
}

impl Value for u8 {
    #[inline(always)]
    fn nearest(sum: f32) -> Self {
        (sum + 0.5) as u8
    }
}

impl Value for f32 {
    #[inline(always)]
    fn nearest(sum: f32) -> Self {
        sum
    }
}

struct Convolve<'a, T> {
    values: &'a [T],
    size: Size,
    channels: usize,
    /// Horizontal and vertical.
    weights: [Vec<f32>; 2],
}

/// Compiled for AVX2 too. Uses loops, because closures would not be compiled for AVX2.
impl<T: Value> pulp::NullaryFnOnce for Convolve<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn call(self) -> Vec<T> {
        let Self { values, size, channels, weights: [across, down] } = self;
        let stride = size.width * channels;
        let mut padded = vec![0.0; stride + across.len() / 2 * 2 * channels];
        let columns = mirrored(across.len() / 2, size.width);
        let lines = mirrored(down.len() / 2, size.height);
        // Only the next few output rows need a horizontally blurred row: a ring of rows stays in the cache.
        let kept = down.len().min(size.height);
        let mut rows = vec![0.0; kept * stride];
        let mut sums = vec![0.0; stride];
        let mut blurred = vec![T::nearest(0.0); values.len()];
        let mut next = 0;
        for (y, out) in blurred.chunks_exact_mut(stride).enumerate() {
            while next <= (y + down.len() / 2).min(size.height - 1) {
                for (pixel, column) in padded.chunks_exact_mut(channels).zip(&columns) {
                    for (padded, value) in pixel.iter_mut().zip(&values[next * stride + column * channels..]) {
                        *padded = (*value).into();
                    }
                }
                let row = &mut rows[next % kept * stride..][..stride];
                row.fill(0.0);
                weighted(row, &padded, &across, channels);
                next += 1;
            }
            sums.fill(0.0);
            for (weight, line) in down.iter().zip(&lines[y..]) {
                for (sum, value) in sums.iter_mut().zip(&rows[line % kept * stride..][..stride]) {
                    *sum += weight * value;
                }
            }
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = T::nearest(*sum);
            }
        }
        blurred
    }
}

/// For each element of `out`, the weighted sum of the `values` from its position on, `step` apart.
#[inline(always)]
fn weighted(out: &mut [f32], values: &[f32], weights: &[f32], step: usize) {
    for (i, weight) in weights.iter().enumerate() {
        for (out, value) in out.iter_mut().zip(&values[i * step..]) {
            *out += weight * value;
        }
    }
}

/// The mirrored pixel of `length` at each position from `radius` before the first to `radius` after the last.
fn mirrored(radius: usize, length: usize) -> Vec<usize> {
    let source = |at: usize| PaddingMode::Reflect.source(at as i64 - radius as i64, length);
    (0..length + 2 * radius).map(|at| source(at).unwrap_or(at.saturating_sub(radius).min(length - 1))).collect()
}

/// A Gaussian sampled at `length` points about its centre, with sum 1.
fn weights(length: usize, sigma: f64) -> Vec<f32> {
    let middle = (length / 2) as f64;
    let density = |i: usize| (-0.5 * ((i as f64 - middle) / sigma).powi(2)).exp();
    let sum: f64 = (0..length).map(density).sum();
    (0..length).map(|i| (density(i) / sum) as f32).collect()
}

/// Blurs the image by three boxes in each direction, which approximate a Gaussian of standard deviation `radius`. The
/// edge pixels are repeated.
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
    // Column by column, each copied to be contiguous.
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

/// The fractional radius of the box whose repetition has the standard deviation `radius`.
fn box_radius(radius: f32, passes: f32) -> f32 {
    let variance = radius * radius / passes;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let mut fraction = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    fraction /= 6.0 * (variance - (whole + 1.0) * (whole + 1.0));
    whole + fraction
}

/// Box blur of one channel of a line, in 24-bit fixed point.
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

    /// Both directions over whole images, one after the other.
    fn plain(values: &[f32], size: Size, channels: usize, [across, down]: [usize; 2], sigma: f64) -> Vec<f32> {
        let Size { height, width } = size;
        let (columns, lines) = (mirrored(across / 2, width), mirrored(down / 2, height));
        let mut rows = vec![0.0; values.len()];
        let mut blurred = rows.clone();
        for (at, sum) in rows.iter_mut().enumerate() {
            let (y, x, c) = (at / channels / width, at / channels % width, at % channels);
            for (weight, column) in weights(across, sigma).iter().zip(&columns[x..]) {
                *sum += weight * values[(y * width + column) * channels + c];
            }
        }
        for (at, sum) in blurred.iter_mut().enumerate() {
            let (y, rest) = (at / channels / width, at % (channels * width));
            for (weight, line) in weights(down, sigma).iter().zip(&lines[y..]) {
                *sum += weight * rows[line * width * channels + rest];
            }
        }
        blurred
    }

    #[test]
    fn a_few_lines_at_a_time_are_as_good_as_the_whole() {
        for (height, width) in [(1, 1), (1, 7), (2, 5), (3, 3), (6, 2), (9, 8), (12, 5)] {
            for kernel in [[1, 1], [3, 5], [7, 3], [1, 9], [21, 21]] {
                for channels in [1, 3] {
                    let size = Size { height, width };
                    let values: Vec<f32> = (0..height * width * channels).map(|i| ((i * 37) % 101) as f32).collect();
                    let expected = plain(&values, size, channels, kernel, 1.3);
                    assert_eq!(convolve(&values, size, channels, kernel, [1.3; 2]), expected, "{size:?} {kernel:?}");
                }
            }
        }
    }

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
