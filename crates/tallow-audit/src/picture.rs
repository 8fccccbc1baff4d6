//! A decoded image as the checks look at it: 8 bits, with its grey levels.

use image::DynamicImage;
use tallow_augment::{Image8, Interpolation, Result, Size, ops};

/// An image in 8 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The image, grey or RGB as it is stored; transparency is left out.
    pub image: Image8,
    /// Its grey levels, as Pillow's `convert("L")`.
    pub grey: Image8,
}

impl Picture {
    /// Takes an image over.
    ///
    /// # Errors
    /// An image without pixels.
    pub fn new(image: DynamicImage) -> Result<Self> {
        let channels = if image.color().has_color() { 3 } else { 1 };
        let image = Image8::from_dynamic(image, channels)?;
        let grey = match channels {
            1 => image.clone(),
            _ => Image8::from_dynamic(image.clone().into_dynamic(), 1)?,
        };
        Ok(Self { image, grey })
    }

    /// The width in pixels.
    pub fn width(&self) -> usize {
        self.image.width()
    }

    /// The height in pixels.
    pub fn height(&self) -> usize {
        self.image.height()
    }

    /// The grey levels at another size, as Pillow scales them.
    ///
    /// # Errors
    /// A size without pixels.
    pub fn resized_grey(&self, width: usize, height: usize, interpolation: Interpolation) -> Result<Image8> {
        ops::resize(self.grey.clone(), Size { height, width }, interpolation)
    }
}

/// How often each of the 256 levels occurs.
pub(crate) fn histogram(levels: &[u8]) -> [u64; 256] {
    let mut counts = [0; 256];
    levels.iter().for_each(|level| counts[usize::from(*level)] += 1);
    counts
}

/// Mean and standard deviation of levels, divided by their number.
pub(crate) fn mean_and_std(values: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}
