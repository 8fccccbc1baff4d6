//! A trained run or an ensemble as a classifier.

use image::DynamicImage;
use tallow_train::Predictor;

use crate::Classifier;

impl Classifier for Predictor {
    fn name(&self) -> String {
        self.run().path().display().to_string()
    }

    fn classes(&self) -> &[String] {
        Predictor::classes(self)
    }

    fn probabilities(&self, pictures: &[DynamicImage]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Predictor::probabilities(self, pictures)?)
    }
}
