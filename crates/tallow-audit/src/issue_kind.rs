//! The table of kinds of issues.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A kind of issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// The file is missing, damaged, truncated or too large.
    Unreadable,
    /// The image, or a near duplicate, is also in another split.
    Leakage,
    /// Another sample of the split has the same pixels.
    ExactDuplicate,
    /// Another sample of the split is almost the same image.
    NearDuplicate,
    /// The label is probably wrong.
    WrongLabel,
    /// The whole image is dark.
    Dark,
    /// The whole image is bright.
    Bright,
    /// The image has no sharp edges.
    Blurry,
    /// The image has few grey levels, as an empty image does.
    LowInformation,
    /// The image is noisy.
    Noisy,
    /// The image is grey in a dataset of colour images.
    GreyAmongColour,
    /// The image is much smaller or larger than the others.
    OddSize,
    /// The image is very wide or very tall.
    OddAspectRatio,
    /// The embedding is far from those of all other samples.
    Outlier,
    /// The embedding is almost that of another sample.
    NearDuplicateByEmbedding,
    /// The class has few samples.
    ClassImbalance,
    /// Samples that are close in the dataset's order are similar.
    NonIid,
}

struct Row {
    kind: IssueKind,
    name: &'static str,
    title: &'static str,
    threshold: Option<f64>,
    about: &'static str,
}

/// The kinds, in the order of the enum. A sample whose score is below the threshold is an issue. A kind without a
/// threshold has a criterion of its own, in the module that finds it.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(IssueKind::Unreadable, "unreadable", "Unreadable files", None,
        "Missing, damaged or truncated files, at which training stops or which it skips. Score: 0."),
    row(IssueKind::Leakage, "leakage", "Leakage between splits", None,
        "Images of one split that are also in another: accuracy on the other split is overestimated. Score: the fraction of hash bits that differ."),
    row(IssueKind::ExactDuplicate, "exact_duplicate", "Exact duplicates", None,
        "Images with the same pixels as another sample of the split. Score: 0."),
    row(IssueKind::NearDuplicate, "near_duplicate", "Near duplicates", None,
        "Scaled, recompressed or brightened copies within a split. Score: the fraction of hash bits that differ."),
    row(IssueKind::WrongLabel, "wrong_label", "Probably wrong labels", None,
        "Confident learning: a model that was not trained on the sample is more confident of another class than it is of that class on average. Score: the label quality."),
    row(IssueKind::Dark, "dark", "Dark images", Some(0.32),
        "Score: the 99th percentile of the pixels' brightness."),
    row(IssueKind::Bright, "bright", "Bright images", Some(0.05),
        "Score: 1 − the 5th percentile of the pixels' brightness."),
    row(IssueKind::Blurry, "blurry", "Blurred images", Some(0.29),
        "Score: the lower of two measures of sharpness, the strength of edges at 64 pixels a side and the change by a further blur."),
    row(IssueKind::LowInformation, "low_information", "Low information", Some(0.3),
        "Score: the entropy of the pixel levels divided by 10 bits, 0 if all pixels are equal."),
    row(IssueKind::Noisy, "noisy", "Noisy images", Some(0.5),
        "White noise or salt-and-pepper noise, more than in the other images. Score: 1/2 at a standard deviation of 10 levels, or at 1 % stray pixels."),
    row(IssueKind::GreyAmongColour, "grey_among_colour", "Grey images among colour images", Some(0.1),
        "Score: the 99th percentile of the pixels' colourfulness (maximum − minimum of the channels) divided by 32 levels."),
    row(IssueKind::OddSize, "odd_size", "Odd sizes", Some(0.5),
        "Score: the distance of √(width · height) from the middle of the usual range, the quartiles ± 3 interquartile ranges."),
    row(IssueKind::OddAspectRatio, "odd_aspect_ratio", "Odd aspect ratios", Some(0.35),
        "Score: the shorter side divided by the longer."),
    row(IssueKind::Outlier, "outlier", "Outliers", Some(0.37037),
        "Samples far from their nearest neighbours in a network's features. Score: exp(−distance / median distance)."),
    row(IssueKind::NearDuplicateByEmbedding, "near_duplicate_by_embedding", "Near duplicates by embedding", Some(0.13),
        "Samples with almost the same features as another sample. Score: rises from 0 with the distance to the nearest neighbour."),
    row(IssueKind::ClassImbalance, "class_imbalance", "Rare classes", Some(0.1),
        "Score: the class's share of the training samples divided by the share in a balanced dataset."),
    row(IssueKind::NonIid, "non_iid", "Order", Some(0.05),
        "Samples that are close in order are similar: the dataset is sorted, drifts, or contains series. Score: the p-value of a permutation test."),
];

const fn row(
    kind: IssueKind,
    name: &'static str,
    title: &'static str,
    threshold: Option<f64>,
    about: &'static str,
) -> Row {
    Row { kind, name, title, threshold, about }
}

impl IssueKind {
    /// All kinds, in the order of reports.
    pub fn all() -> impl Iterator<Item = IssueKind> {
        ROWS.iter().map(|row| row.kind)
    }

    /// The kind called `name`.
    ///
    /// # Errors
    /// There is no such kind; the message lists the names.
    pub fn parse(name: &str) -> Result<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.kind).ok_or_else(|| Error::Option {
            field: "kind of issue".into(),
            expected: format!("one of {}", ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")),
            found: name.into(),
        })
    }

    /// The name in configs and in `issues.csv`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The heading in reports.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// What the issue means and how its score is computed, in a sentence or two.
    pub fn about(self) -> &'static str {
        self.row().about
    }

    /// The score below which a sample is an issue by default; `None` for a kind with a criterion of its own.
    pub fn default_threshold(self) -> Option<f64> {
        self.row().threshold
    }

    fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_enum_and_names_equal_serdes() {
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(row.kind as usize, index);
            assert_eq!(serde_json::to_string(&row.kind).ok(), Some(format!("\"{}\"", row.name)));
            assert_eq!(IssueKind::parse(row.name).ok(), Some(row.kind));
        }
        assert!(IssueKind::parse("darkish").is_err_and(|error| error.to_string().contains("dark, bright")));
    }
}
