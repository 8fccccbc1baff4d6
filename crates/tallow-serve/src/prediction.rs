//! What is answered for a picture.

use serde::{Deserialize, Serialize};

/// The likeliest classes of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The picture's name.
    pub image: String,
    /// The likeliest first.
    pub classes: Vec<Class>,
}

/// A class and how likely it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Its name.
    pub label: String,
    /// 0 to 1; the sum over all classes is 1, unless several can hold at once.
    pub probability: f32,
}

impl Prediction {
    /// The `topk` likeliest of the classes `names`; of equally likely ones, the first.
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
    fn the_likeliest_come_first_and_ties_keep_their_order() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let prediction = Prediction::new("x".into(), &names, &[0.25, 0.25, 0.5], 2);
        let labels: Vec<&str> = prediction.classes.iter().map(|class| class.label.as_str()).collect();
        assert_eq!(labels, ["c", "a"]);
        assert_eq!(Prediction::new("x".into(), &names, &[0.25, 0.25, 0.5], 9).classes.len(), 3);
    }
}
