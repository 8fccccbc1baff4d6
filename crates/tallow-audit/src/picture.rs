//! A decoded image in the form that the checks take: 8 bits per channel, with its grey levels.

use image::DynamicImage;
use tallow_augment::{Image8, Interpolation, Result, Size, ops};

/// An image with 8 bits per channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The image, grey or RGB as stored, without its alpha channel.
    pub image: Image8,
    /// The grey levels, as Pillow's `convert("L")` computes them.
    pub grey: Image8,
}

impl Picture {
    /// Converts an image.
    ///
    /// # Errors
    /// The image has no pixels.
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

    /// The grey levels at another size, resized as Pillow does it.
    ///
    /// # Errors
    /// The size has no pixels.
    pub fn resized_grey(&self, width: usize, height: usize, interpolation: Interpolation) -> Result<Image8> {
        ops::resize(self.grey.clone(), Size { height, width }, interpolation)
    }
}
