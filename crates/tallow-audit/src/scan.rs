//! The scan: decodes every image once, on all cores, and measures what the checks and the search for duplicates need.

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::checks::{blur, brightness, colour, information, noise};
use crate::duplicates::hash;
use crate::{Picture, Samples};

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

/// The result of the scan of a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Scanned {
    /// The measures of a decoded image.
    Image(Box<Measures>),
    /// The reason why the image cannot be decoded.
    Unreadable(String),
}

impl Scanned {
    /// The measures of a readable image.
    pub fn measures(&self) -> Option<&Measures> {
        match self {
            Scanned::Image(measures) => Some(measures),
            Scanned::Unreadable(_) => None,
        }
    }
}

/// Scans all samples in parallel. `progress` is called with the index of each finished sample, in any order, from any
/// thread.
pub fn scan(samples: &Samples, progress: impl Fn(usize) + Sync) -> Vec<Scanned> {
    let look = |index| {
        let scanned = match samples.image(index) {
            Ok(image) => Picture::new(image).and_then(|picture| measure(&picture)).map_err(|error| error.to_string()),
            Err(error) => Err(reason(error)),
        };
        progress(index);
        scanned.map_or_else(Scanned::Unreadable, |measures| Scanned::Image(Box::new(measures)))
    };
    (0..samples.len()).into_par_iter().map(look).collect()
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
        entropy: information::entropy(&picture.image),
        edges: blur::edges(picture)?,
        colourfulness: colour::colourfulness(&picture.image),
        noise: noise::measure(&picture.grey),
        pixel_hash: hash::pixel_hash(&picture.image),
        perceptual: hash::perceptual_hashes(picture)?,
    })
}

/// The decoder's message without the path, which is the sample's id.
fn reason(error: tallow_data::Error) -> String {
    match error {
        tallow_data::Error::Decode { reason, .. } | tallow_data::Error::TooLarge { reason, .. } => reason,
        tallow_data::Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
