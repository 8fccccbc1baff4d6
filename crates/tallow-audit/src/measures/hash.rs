//! Hashes of images: of the pixels, for equal images; two perceptual hashes and a tiny copy, for similar images.
//!
//! # Source
//! pHash and dHash equal those of the Python package `imagehash` (`phash`, `dhash`; hash size 8) bit for bit, after
//! Krawetz, "Looks Like It" (2011) and "IssueKind of Like That" (2013).

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};
use tallow_augment::{Image8, Interpolation, Result};

use crate::Picture;

/// The first half of the SHA-256 of an image's size and pixels.
pub type PixelHash = [u8; 16];

/// The side of the tiny copy, in pixels.
pub const TINY: usize = 16;
/// The side of the image that pHash transforms.
const SIDE: usize = 32;
/// The side of the square of low frequencies that pHash keeps.
const LOW: usize = 8;

/// Hashes that are similar for similar images.
#[derive(Debug, Clone, PartialEq)]
pub struct PerceptualHashes {
    /// A bit per low frequency, from the highest bit: whether it exceeds their median.
    pub phash: u64,
    /// A bit per pair of neighbours in a 9 × 8 copy, from the highest bit: whether the right pixel is brighter than the
    /// left.
    pub dhash: u64,
    /// The grey levels of a 16 × 16 copy.
    pub tiny: [u8; TINY * TINY],
}

/// The hash of the pixels: equal for equal images in different files or formats. A grey image equals its copy in RGB.
pub fn pixel_hash(image: &Image8) -> PixelHash {
    let mut hash = Sha256::new();
    for side in [image.width(), image.height()] {
        hash.update((side as u64).to_le_bytes());
    }
    let grey = image.channels() == 1 || image.data().chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
    match (grey, image.channels()) {
        (true, 3) => hash.update(image.data().iter().step_by(3).copied().collect::<Vec<u8>>()),
        _ => hash.update(image.data()),
    }
    hash.update([u8::from(grey)]);
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize()[..16]);
    half
}

/// The perceptual hashes and the tiny copy of an image.
///
/// # Errors
/// Resizing fails.
pub fn perceptual_hashes(picture: &Picture) -> Result<PerceptualHashes> {
    let square = picture.resized_grey(SIDE, SIDE, Interpolation::Lanczos)?;
    let mut tiny = [0; TINY * TINY];
    for (i, level) in tiny.iter_mut().enumerate() {
        let (x, y) = (2 * (i % TINY), 2 * (i / TINY));
        let sum: u16 =
            [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)].map(|(x, y)| square.row(y)[x].into()).iter().sum();
        *level = ((sum + 2) / 4) as u8;
    }
    Ok(PerceptualHashes {
        phash: phash(&square),
        dhash: dhash(&picture.resized_grey(9, 8, Interpolation::Lanczos)?),
        tiny,
    })
}

fn phash(square: &Image8) -> u64 {
    /// cos(π k (2 n + 1) / (2 · 32)) for the low frequencies k, the rows of the DCT-II.
    static COSINES: LazyLock<[[f64; SIDE]; LOW]> = LazyLock::new(|| {
        let angle = |k: usize, n: usize| std::f64::consts::PI * (k * (2 * n + 1)) as f64 / (2 * SIDE) as f64;
        std::array::from_fn(|k| std::array::from_fn(|n| angle(k, n).cos()))
    });
    let columns: [[f64; SIDE]; LOW] = std::array::from_fn(|k| {
        std::array::from_fn(|x| (0..SIDE).map(|y| COSINES[k][y] * f64::from(square.row(y)[x])).sum())
    });
    let low: Vec<f64> = columns
        .iter()
        .flat_map(|row| COSINES.iter().map(|cosines| row.iter().zip(cosines).map(|(v, c)| v * c).sum::<f64>()))
        .collect();
    let mut sorted = low.clone();
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[31] + sorted[32]) / 2.0;
    bits(low.iter().map(|value| *value > median))
}

fn dhash(small: &Image8) -> u64 {
    bits((0..8).flat_map(|y| small.row(y).windows(2).map(|pair| pair[1] > pair[0])))
}

fn bits(values: impl Iterator<Item = bool>) -> u64 {
    values.fold(0, |bits, value| bits << 1 | u64::from(value))
}

/// The correlation of two tiny copies, −1 to 1, which does not depend on brightness and contrast. It is 1 for two
/// uniform images of similar brightness, and 0 if one image is uniform or their brightness differs.
pub fn similarity(a: &PerceptualHashes, b: &PerceptualHashes) -> f64 {
    let n = a.tiny.len() as i64;
    let (mut sums, mut squares, mut product) = ([0i64; 2], [0i64; 2], 0i64);
    for (a, b) in a.tiny.iter().zip(&b.tiny) {
        let (a, b) = (i64::from(*a), i64::from(*b));
        sums = [sums[0] + a, sums[1] + b];
        squares = [squares[0] + a * a, squares[1] + b * b];
        product += a * b;
    }
    let variances = [0, 1].map(|i| (n * squares[i] - sums[i] * sums[i]) as f64);
    // An image with a standard deviation below one level is uniform.
    let flat = variances.map(|variance| variance < (n * n) as f64);
    match flat {
        [true, true] => f64::from(u8::from((sums[0] - sums[1]).abs() <= 2 * n)),
        [false, false] => (n * product - sums[0] * sums[1]) as f64 / (variances[0] * variances[1]).sqrt(),
        _ => 0.0,
    }
}
