//! What is measured in every image: all that the checks and the search for duplicates need.

pub mod blur;
pub mod brightness;
pub mod colour;
pub mod entropy;
pub mod hash;
pub mod noise;

use tallow_augment::Image8;

use crate::Picture;

/// The measures of an image, about 400 bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Measures {
    /// The width in pixels.
    pub width: usize,
    /// The height in pixels.
    pub height: usize,
    /// The 99th percentile of brightness, 0 to 1.
    pub brightness_p99: f64,
    /// The 5th percentile of brightness, 0 to 1.
    pub brightness_p5: f64,
    /// Whether all pixels are equal.
    pub uniform: bool,
    /// The entropy of the pixel levels, in bits.
    pub entropy: f64,
    /// The measures of sharpness.
    pub edges: blur::Edges,
    /// The 99th percentile of colourfulness (maximum − minimum of a pixel's channels), in levels.
    pub colourfulness: u8,
    /// The measures of noise.
    pub noise: noise::Noise,
    /// The hash of the pixels: equal for equal images.
    pub pixel_hash: hash::PixelHash,
    /// The perceptual hashes: similar for similar images.
    pub perceptual: hash::PerceptualHashes,
}

impl Measures {
    /// The shorter side divided by the longer side.
    pub fn aspect_ratio(&self) -> f64 {
        let (width, height) = (self.width as f64, self.height as f64);
        (width / height).min(height / width)
    }
}

/// Whether all pixels are equal.
fn uniform(image: &Image8) -> bool {
    let mut pixels = image.data().chunks_exact(image.channels());
    let first = pixels.next();
    pixels.all(|pixel| Some(pixel) == first)
}

/// Measures an image.
///
/// # Errors
/// Resizing fails.
pub fn measure(picture: &Picture) -> tallow_augment::Result<Measures> {
    let [brightness_p5, brightness_p99] = brightness::percentiles(&picture.image, [0.05, 0.99]);
    Ok(Measures {
        width: picture.width(),
        height: picture.height(),
        brightness_p99,
        brightness_p5,
        uniform: uniform(&picture.image),
        entropy: entropy::entropy(&picture.image),
        edges: blur::edges(picture)?,
        colourfulness: colour::colourfulness(&picture.image),
        noise: noise::measure(&picture.grey),
        pixel_hash: hash::pixel_hash(&picture.image),
        perceptual: hash::perceptual_hashes(picture)?,
    })
}
