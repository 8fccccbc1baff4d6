//! The trait of what can be served.

use image::DynamicImage;

/// An image classifier. Implement it to serve a model of your own; its parameters must not change while it is served.
pub trait Classify {
    /// The model's name; for a run, its directory.
    fn name(&self) -> String;

    /// The class names, in the order of the probabilities.
    fn classes(&self) -> &[String];

    /// The probability of each class for each image.
    ///
    /// # Shapes
    /// `pictures`: images of any size and number of channels; the result: row-major `pictures.len() × classes`.
    ///
    /// # Errors
    /// The classifier does not accept an image, or fails.
    fn probabilities(&self, pictures: &[DynamicImage]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>>;
}
