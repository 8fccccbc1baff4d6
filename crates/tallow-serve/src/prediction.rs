//! The response for an image.

use serde::{Deserialize, Serialize};

/// The response for one image of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Row {
    /// The image was classified.
    Classified(Prediction),
    /// The image has no answer; the others of its request have theirs.
    Failed(Failed),
}

/// The most probable classes of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The image's name in the request.
    pub image: String,
    /// The classes, by descending probability.
    pub classes: Vec<Class>,
}

/// An image without an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The image's name in the request.
    pub image: String,
    /// The reason.
    pub error: String,
}

/// A class and its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// The class name.
    pub label: String,
    /// The probability, 0 to 1. The sum over all classes is 1, except for multi-label models.
    pub probability: f32,
}

impl Prediction {
    /// The `topk` most probable of the classes `names`; classes with equal probability keep their order.
    pub fn new(image: String, names: &[String], probabilities: &[f32], topk: usize) -> Self {
        let mut classes: Vec<(&String, f32)> = names.iter().zip(probabilities.iter().copied()).collect();
        classes.sort_by(|a, b| b.1.total_cmp(&a.1));
        let class = |(label, probability): (&String, f32)| Class { label: label.clone(), probability };
        Prediction { image, classes: classes.into_iter().take(topk).map(class).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_sorted_by_probability_and_ties_keep_their_order() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let prediction = Prediction::new("x".into(), &names, &[0.25, 0.25, 0.5], 2);
        let labels: Vec<&str> = prediction.classes.iter().map(|class| class.label.as_str()).collect();
        assert_eq!(labels, ["c", "a"]);
        assert_eq!(Prediction::new("x".into(), &names, &[0.25, 0.25, 0.5], 9).classes.len(), 3);
    }
}
