//! The entropy of the pixel levels.
//!
//! # Source
//! Pillow's `Image.entropy`.

use tallow_augment::Image8;

/// The entropy of the pixel levels, in bits: 0 to 8 for a grey image. The levels of the channels of a colour image are
/// distinct, as in Pillow, which adds up to log2(3) bits.
pub fn entropy(image: &Image8) -> f64 {
    let channels = image.channels();
    let mut counts = vec![0u64; 256 * channels];
    for pixel in image.data().chunks_exact(channels) {
        for (channel, level) in pixel.iter().enumerate() {
            counts[256 * channel + usize::from(*level)] += 1;
        }
    }
    let total = image.data().len() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / total);
    shares.map(|share| -share * share.log2()).sum()
}
