//! Percentiles of the pixels' perceived brightness.
//!
//! # Source
//! cleanvision's `dark` and `light`: brightness √(0.241 R² + 0.691 G² + 0.068 B²) / 255 (the HSP colour model,
//! <https://alienryderflex.com/hsp.html>). The percentiles are those of a histogram with 4096 bins.

use tallow_augment::Image8;

use crate::stats::histogram;

const STEPS: usize = 4096;

/// The quantiles of brightness, 0 to 1, at each of `shares`, 0 to 1.
pub fn percentiles<const N: usize>(image: &Image8, shares: [f64; N]) -> [f64; N] {
    let mut counts = vec![0u64; STEPS];
    let step = |brightness: f64| (brightness * (STEPS - 1) as f64).round() as usize;
    if image.channels() == 1 {
        for (level, count) in histogram(image.data()).iter().enumerate() {
            counts[step(level as f64 / 255.0)] += count;
        }
    } else {
        for pixel in image.data().chunks_exact(3) {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(f64::from);
            counts[step((0.241 * r * r + 0.691 * g * g + 0.068 * b * b).sqrt() / 255.0)] += 1;
        }
    }
    let pixels: u64 = counts.iter().sum();
    shares.map(|share| {
        let place = share * pixels.saturating_sub(1) as f64;
        let at = |rank: u64| {
            let mut below = 0;
            let found = counts.iter().position(|count| {
                below += count;
                below > rank
            });
            found.unwrap_or(STEPS - 1) as f64 / (STEPS - 1) as f64
        };
        let low = at(place.floor() as u64);
        low + place.fract() * (at(place.ceil() as u64) - low)
    })
}
