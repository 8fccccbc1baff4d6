//! Images with little information, by the entropy of their pixel levels.
//!
//! # Source
//! cleanvision's `low_information`: Pillow's `Image.entropy` times 0.1.

use tallow_augment::Image8;

use crate::Measures;

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

/// The information score, 0 to 1.
pub fn score(measures: &Measures) -> f64 {
    (measures.entropy * 0.1).min(1.0)
}
