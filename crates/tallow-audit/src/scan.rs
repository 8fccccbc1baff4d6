//! Decodes every image once, on all cores, and keeps of it what the checks and the search for duplicates need.

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::checks::{blur, brightness, colour, information, noise};
use crate::duplicates::hash;
use crate::{Picture, Samples};

/// What is kept of an image: about 400 bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Measures {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    /// The brightness that 99 % of the pixels do not exceed, 0 to 1.
    pub brightness_p99: f64,
    /// The brightness that 5 % of the pixels do not exceed, 0 to 1.
    pub brightness_p5: f64,
    /// The entropy of the levels, in bits.
    pub entropy: f64,
    /// Sharpness.
    pub edges: blur::Edges,
    /// How far the pixels are from grey: the 99th percentile of max − min over the channels, in levels.
    pub colourfulness: u8,
    /// Noise.
    pub noise: noise::Noise,
    /// Equal for equal pixels.
    pub content: hash::Content,
    /// Alike for alike pictures.
    pub perceptual: hash::Perceptual,
}

/// What became of a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Scanned {
    /// It was decoded.
    Image(Box<Measures>),
    /// It cannot be: why.
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

/// Looks at every sample; `progress` is called with the number of each that is done, in any order, from many threads.
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

/// Measures one picture.
///
/// # Errors
/// None that a valid picture causes.
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
        content: hash::content(&picture.image),
        perceptual: hash::perceptual(picture)?,
    })
}

/// What the decoder says, without the path, which is the sample's id, and the advice for training.
fn reason(error: tallow_data::Error) -> String {
    match error {
        tallow_data::Error::Decode { reason, .. } | tallow_data::Error::TooLarge { reason, .. } => reason,
        tallow_data::Error::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
