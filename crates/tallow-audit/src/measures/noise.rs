//! Noise: white noise by a filter that is insensitive to edges, salt-and-pepper noise by stray pixels.
//!
//! # Source
//! The filter is that of Immerkær, "Fast Noise Variance Estimation", 1996. The standard deviation is estimated as
//! 1.4826 times the median of the absolute responses, which is less sensitive to edges than their mean. It is compared
//! with the standard deviation of the differences between neighbouring pixels: in white noise both are equal; in fine
//! texture (grass, gravel) neighbours are similar and the first is smaller.

use std::fmt;

use tallow_augment::Image8;

/// The standard deviation of white noise with amount 1, in levels.
const WHITE: f64 = 10.0;
/// The fraction of stray pixels with amount 1.
const STRAY: f64 = 0.01;
/// The minimum difference of a stray pixel from each of its neighbours, in levels.
const STRAY_LEVELS: i32 = 48;

/// The measures of noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// The estimated standard deviation of white noise, in levels.
    pub deviation: f64,
    /// The similarity of the fine structure to white noise: 1 in white noise, less in texture.
    pub whiteness: f64,
    /// The fraction of pixels that differ strongly from all eight neighbours, and from most in the same direction.
    pub stray: f64,
}

impl Noise {
    /// The amount of noise: 1 at a standard deviation of 10 levels or at 1 % stray pixels.
    pub fn amount(&self) -> f64 {
        (self.deviation * self.whiteness.powi(2) / WHITE).max(self.stray / STRAY)
    }

    /// The score, 0 (noisy) to 1: 1/2 at the amount 1.
    pub fn score(&self) -> f64 {
        1.0 / (1.0 + self.amount().powi(2))
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standard deviation {:.1} levels, {:.1} % stray pixels", self.deviation, 100.0 * self.stray)
    }
}

/// Measures the noise of a grey image; 0 for an image with a side below 3 pixels.
pub fn measure(grey: &Image8) -> Noise {
    let (width, height) = (grey.width(), grey.height());
    if width < 3 || height < 3 {
        return Noise { deviation: 0.0, whiteness: 0.0, stray: 0.0 };
    }
    // Histograms of absolute responses: their medians need no sorting.
    let (mut answers, mut differences) = (vec![0u64; 16 * 255 + 1], vec![0u64; 256]);
    let mut stray = 0u64;
    for y in 1..height - 1 {
        let rows = [grey.row(y - 1), grey.row(y), grey.row(y + 1)];
        for x in 1..width - 1 {
            let v = |row: usize, dx: usize| i32::from(rows[row][x + dx - 1]);
            let across = |row: usize| v(row, 0) - 2 * v(row, 1) + v(row, 2);
            answers[(across(0) - 2 * across(1) + across(2)).unsigned_abs() as usize] += 1;
            differences[(v(1, 1) - v(1, 2)).unsigned_abs() as usize] += 1;
            stray += u64::from(is_stray(&v));
        }
    }
    let pixels = ((width - 2) * (height - 2)) as f64;
    let deviation = 1.4826 * median(&answers) / 6.0;
    let difference = 1.4826 * median(&differences) / std::f64::consts::SQRT_2;
    let whiteness = if difference > 0.0 { (deviation / difference).min(1.0) } else { 0.0 };
    Noise { deviation, whiteness, stray: stray as f64 / pixels }
}

/// Whether the middle pixel differs strongly from all neighbours, and from most in the same direction.
fn is_stray(v: &impl Fn(usize, usize) -> i32) -> bool {
    let middle = v(1, 1);
    let mut sides = 0i32;
    for (row, dx) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)] {
        let difference = middle - v(row, dx);
        if difference.abs() < STRAY_LEVELS {
            return false;
        }
        sides += difference.signum();
    }
    sides.abs() >= 4
}

/// The median of a histogram, by linear interpolation.
fn median(counts: &[u64]) -> f64 {
    let half = counts.iter().sum::<u64>() as f64 / 2.0;
    let mut below = 0.0;
    for (value, count) in counts.iter().enumerate() {
        let count = *count as f64;
        if below + count >= half && count > 0.0 {
            // Levels are integers: a median of 0 means less than half a level.
            return if value == 0 { 0.0 } else { value as f64 - 0.5 + (half - below) / count };
        }
        below += count;
    }
    0.0
}

#[cfg(test)]
mod tests {
    use tallow_augment::Size;
    use tallow_base::rng;

    use super::*;

    fn noisy(sigma: f64, stray: f64) -> Noise {
        let (side, mut rng) = (64, rng::keyed(0, 0, 0, rng::SHUFFLE));
        let mut pixel = |i: usize| {
            // The sum of twelve uniform numbers is nearly normal.
            let normal = (0..12).map(|_| rng::uniform(&mut rng, 0.0, 1.0)).sum::<f64>() - 6.0;
            let (x, y) = ((i % side) as f64, (i / side) as f64);
            let level = 100.0 + 0.5 * x + 0.8 * y + sigma * normal;
            if rng::chance(&mut rng, stray) { 255 } else { level.clamp(0.0, 255.0) as u8 }
        };
        let data = (0..side * side).map(&mut pixel).collect();
        measure(&Image8::new(Size { height: side, width: side }, 1, data).unwrap())
    }

    #[test]
    fn white_noise_is_measured_over_a_slope() {
        for sigma in [5.0, 15.0, 30.0] {
            let noise = noisy(sigma, 0.0);
            assert!((noise.deviation / sigma - 1.0).abs() < 0.12, "{sigma}: {noise:?}");
            assert!(noise.whiteness > 0.9, "{noise:?}");
            // Strong white noise has a few stray pixels.
            assert!(sigma > 15.0 || noise.stray < 0.002, "{noise:?}");
        }
        assert!(noisy(0.0, 0.0).deviation < 1.0);
    }

    #[test]
    fn stray_pixels_are_counted() {
        let noise = noisy(0.0, 0.03);
        // Adjacent stray pixels are not counted.
        assert!((0.02..0.03).contains(&noise.stray), "{noise:?}");
    }
}
