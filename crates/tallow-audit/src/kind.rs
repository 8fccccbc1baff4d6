//! The table of what an audit looks for.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What can be wrong with a sample or a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The file is missing, damaged, truncated or too large.
    Unreadable,
    /// The same picture lies in two splits.
    Leakage,
    /// The same pixels occur twice in a split.
    ExactDuplicate,
    /// Almost the same picture occurs twice in a split.
    NearDuplicate,
    /// The label is probably wrong.
    WrongLabel,
    /// Dark all over.
    Dark,
    /// Bright all over.
    Bright,
    /// Without sharp edges.
    Blurry,
    /// Few grey levels, as in an empty picture.
    LowInformation,
    /// Noise over the picture.
    Noisy,
    /// Grey in a dataset in colour.
    GreyAmongColour,
    /// Much smaller or larger than the others.
    OddSize,
    /// Very wide or very high.
    OddAspectRatio,
    /// A network sees it far from all others.
    Outlier,
    /// A network sees two samples almost alike.
    NearDuplicateByEmbedding,
    /// A class with few samples.
    ClassImbalance,
    /// Neighbours in the order of the samples are alike.
    NonIid,
}

struct Row {
    kind: Kind,
    name: &'static str,
    title: &'static str,
    threshold: Option<f64>,
    about: &'static str,
}

/// In the order of the enum. A sample whose score is below the threshold is an issue; without one, the kind's own page
/// says what decides.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(Kind::Unreadable, "unreadable", "Unreadable files", None,
        "Missing, damaged or truncated: training would stop or skip them. Score 0."),
    row(Kind::Leakage, "leakage", "Leakage between splits", None,
        "The same picture is trained on and measured with: the measured accuracy is too good. Score: the share of hash bits that differ."),
    row(Kind::ExactDuplicate, "exact_duplicate", "Exact duplicates", None,
        "Equal in every pixel to another sample of the split. Score 0."),
    row(Kind::NearDuplicate, "near_duplicate", "Near duplicates", None,
        "Scaled, recompressed or brightened copies within a split. Score: the share of hash bits that differ."),
    row(Kind::WrongLabel, "wrong_label", "Probably wrong labels", None,
        "Confident learning: the model, not trained on the sample, is surer of another class than it usually is of that class. Score: the label's quality."),
    row(Kind::Dark, "dark", "Dark pictures", Some(0.32),
        "Score: the brightness that 99 % of the pixels stay below."),
    row(Kind::Bright, "bright", "Bright pictures", Some(0.05),
        "Score: 1 − the brightness that 95 % of the pixels exceed."),
    row(Kind::Blurry, "blurry", "Blurred pictures", Some(0.29),
        "Score: from the deviation of the edges at 64 pixels a side, and how little a further blur changes."),
    row(Kind::LowInformation, "low_information", "Pictures with little in them", Some(0.3),
        "Score: the entropy of the grey levels, in units of 10 bits."),
    row(Kind::Noisy, "noisy", "Noisy pictures", Some(0.5),
        "White noise or salt and pepper, more than in the other pictures. Score: 1/2 at a deviation of 10 levels, or at 1 % stray pixels."),
    row(Kind::GreyAmongColour, "grey_among_colour", "Grey among colour", Some(0.1),
        "Score: the 99th percentile of the pixels' colourfulness, in units of 32 levels."),
    row(Kind::OddSize, "odd_size", "Odd sizes", Some(0.5),
        "Score: how far √(width · height) lies from the middle of the usual range, quartiles ± 3 interquartile ranges."),
    row(Kind::OddAspectRatio, "odd_aspect_ratio", "Odd aspect ratios", Some(0.35),
        "Score: the shorter side divided by the longer."),
    row(Kind::Outlier, "outlier", "Outliers", Some(0.37037),
        "Far from its nearest neighbours in the network's features. Score: exp(−distance / median distance)."),
    row(Kind::NearDuplicateByEmbedding, "near_duplicate_by_embedding", "Near duplicates by embedding", Some(0.13),
        "Almost the same features as another sample. Score: rises from 0 with the distance to the nearest neighbour."),
    row(Kind::ClassImbalance, "class_imbalance", "Rare classes", Some(0.1),
        "Score: the class's share of the training samples, in units of an even share."),
    row(Kind::NonIid, "non_iid", "Order", Some(0.05),
        "Samples close in order are alike: sorted, drifting or taken in series. Score: the p-value of a permutation test."),
];

const fn row(kind: Kind, name: &'static str, title: &'static str, threshold: Option<f64>, about: &'static str) -> Row {
    Row { kind, name, title, threshold, about }
}

impl Kind {
    /// Every kind, in the order in which they are shown.
    pub fn all() -> impl Iterator<Item = Kind> {
        ROWS.iter().map(|row| row.kind)
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// A name that no kind has; the message lists them.
    pub fn parse(name: &str) -> Result<Self> {
        ROWS.iter().find(|row| row.name == name).map(|row| row.kind).ok_or_else(|| Error::Option {
            field: "kind of issue".into(),
            expected: format!("one of {}", ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")),
            found: name.into(),
        })
    }

    /// Its name in `issues.csv` and on the command line.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its heading.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// What it means and how it is scored, in a sentence or two.
    pub fn about(self) -> &'static str {
        self.row().about
    }

    /// The score below which a sample is an issue, unless configured otherwise. `None` where no threshold decides.
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
    fn the_rows_are_in_the_order_of_the_enum_and_names_are_serdes() {
        for (index, row) in ROWS.iter().enumerate() {
            assert_eq!(row.kind as usize, index);
            assert_eq!(serde_json::to_string(&row.kind).ok(), Some(format!("\"{}\"", row.name)));
            assert_eq!(Kind::parse(row.name).ok(), Some(row.kind));
        }
        assert!(Kind::parse("darkish").is_err_and(|error| error.to_string().contains("dark, bright")));
    }
}
