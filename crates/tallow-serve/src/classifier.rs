//! What is served.

use image::DynamicImage;
use tallow_infer::Predictor;

/// Whatever tells classes of pictures. A model of your own is served by implementing this; its parameters stay as they are
/// while it is served.
pub trait Classifier {
    /// What it is called: of a run, its directory.
    fn name(&self) -> String;

    /// The class names in the order of its answers.
    fn classes(&self) -> &[String];

    /// The probability of each class for each picture, row-major `pictures × classes`. Pictures have any size and any
    /// number of channels.
    ///
    /// # Errors
    /// A picture that it refuses; whatever it fails with.
    fn probabilities(&self, pictures: &[DynamicImage]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>>;
}

impl Classifier for Predictor {
    fn name(&self) -> String {
        Predictor::name(self)
    }

    fn classes(&self) -> &[String] {
        Predictor::classes(self)
    }

    fn probabilities(&self, pictures: &[DynamicImage]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Predictor::probabilities(self, pictures)?)
    }
}
