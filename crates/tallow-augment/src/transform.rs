//! The traits of ops. Implement one to add a custom op to a pipeline.

use std::fmt::Debug;

use crate::rng::Rng;
use crate::{Image8, NormalizedImage, Result, Size};

/// An op on 8-bit pixels.
///
/// ```
/// use tallow_augment::{Image8, Result, Transform, rng::Rng};
///
/// #[derive(Debug)]
/// struct Invert;
/// impl Transform for Invert {
///     fn apply(&self, mut image: Image8, _: &mut Rng) -> Result<Image8> {
///         image.data_mut().iter_mut().for_each(|v| *v = 255 - *v);
///         Ok(image)
///     }
/// }
/// // pipeline.with(Box::new(Invert))
/// ```
pub trait Transform: Debug + Send + Sync {
    /// The probability with which the pipeline calls [`apply`](Self::apply), from 0 to 1.
    fn probability(&self) -> f64 {
        1.0
    }

    /// Checks the parameters for images with `channels` (1 or 3) channels. Called once, when the pipeline is built.
    ///
    /// # Errors
    /// A parameter is out of range.
    fn validate(&self, _channels: usize) -> Result<()> {
        Ok(())
    }

    /// The size of the output for inputs of this size; `None` is a size that varies. By default, the size is kept.
    ///
    /// # Errors
    /// Inputs of this size cannot be transformed.
    fn output_size(&self, input: Option<Size>) -> Result<Option<Size>> {
        Ok(input)
    }

    /// Whether [`apply`](Self::apply) draws random numbers.
    fn is_random(&self) -> bool {
        true
    }

    /// Draws the random parameters and transforms the image.
    ///
    /// # Errors
    /// The image cannot be transformed (too small, …).
    fn apply(&self, image: Image8, rng: &mut Rng) -> Result<Image8>;
}

/// An op on normalised pixels, which runs after all ops on 8-bit pixels and keeps the size.
pub trait NormalizedTransform: Debug + Send + Sync {
    /// The probability with which the pipeline calls [`apply`](Self::apply), from 0 to 1.
    fn probability(&self) -> f64 {
        1.0
    }

    /// Checks the parameters for images with `channels` (1 or 3) channels. Called once, when the pipeline is built.
    ///
    /// # Errors
    /// A parameter is out of range.
    fn validate(&self, _channels: usize) -> Result<()> {
        Ok(())
    }

    /// Draws the random parameters and changes the image in place.
    fn apply(&self, image: &mut NormalizedImage<'_>, rng: &mut Rng);
}

/// An op of either kind.
#[derive(Debug)]
pub enum Stage {
    /// An op on 8-bit pixels.
    Pixels(Box<dyn Transform>),
    /// An op on normalised pixels.
    Normalized(Box<dyn NormalizedTransform>),
}
