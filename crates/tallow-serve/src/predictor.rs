//! A trained run or an ensemble as a classifier.

use image::DynamicImage;
use tallow_infer::Predictor;

use crate::classify::Classify;

impl Classify for Predictor {
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
