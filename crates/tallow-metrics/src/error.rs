//! The errors of this crate.

/// A `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Input that a metric is not defined for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// There are no samples; an error in scikit-learn too.
    #[error("no samples: a metric needs at least one label")]
    Empty,
    /// The number of classes is too small for this metric.
    #[error("{found} classes, but this metric needs at least {needed}")]
    Classes {
        /// The minimum number of classes.
        needed: usize,
        /// The number of classes given.
        found: usize,
    },
    /// The lengths of two slices do not match.
    #[error("{what}: expected {expected} values, found {found}")]
    Length {
        /// The slice.
        what: &'static str,
        /// The length that follows from the number of labels and classes.
        expected: usize,
        /// The length found.
        found: usize,
    },
    /// A class index is not below the number of classes.
    #[error("{what} in row {row} is class {found}, but there are {classes} classes (0 to {})", classes.saturating_sub(1))]
    OutOfRange {
        /// `label`, `prediction` or `chosen class`.
        what: &'static str,
        /// The position, from 0.
        row: usize,
        /// The class index found.
        found: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A class was chosen twice for a report.
    #[error("class {class} was chosen twice for the report: name each class once")]
    ChosenTwice {
        /// The class index.
        class: usize,
    },
    /// A plot cannot be drawn.
    #[error("cannot draw the plot: {reason}")]
    Plot {
        /// The plot's title and the reason.
        reason: String,
    },
    /// A curve of one class against the rest lacks samples of either.
    #[error("all samples are {found}: the curve needs positives and negatives")]
    OneKind {
        /// `positives` or `negatives`.
        found: &'static str,
    },
    /// A score is NaN or infinite.
    #[error("score in row {row}, class {class} is {found}: scores must be finite (has the model diverged?)")]
    NotFinite {
        /// The sample, from 0.
        row: usize,
        /// The class, from 0.
        class: usize,
        /// The value found.
        found: f32,
    },
    /// A probability lies outside 0 to 1.
    #[error("probability in row {row}, class {class} is {found}, expected 0 to 1: apply softmax to logits first")]
    NotAProbability {
        /// The sample, from 0.
        row: usize,
        /// The class, from 0.
        class: usize,
        /// The value found.
        found: f32,
    },
    /// A row of probabilities does not sum to one.
    #[error("the probabilities in row {row} sum to {sum}, expected 1: apply softmax to logits first")]
    RowSum {
        /// The sample, from 0.
        row: usize,
        /// The sum of its probabilities.
        sum: f64,
    },
    /// `k` of a top-k metric is zero.
    #[error("top-k with k = 0: k must be at least 1")]
    ZeroK,
    /// A deserialised confusion matrix is not square, or does not match its class names.
    #[error("confusion matrix: {names} class names, but row {row} has {found} counts in {rows} rows")]
    NotSquare {
        /// The number of class names.
        names: usize,
        /// The number of rows.
        rows: usize,
        /// The first row of a different length; the number of rows, if that differs.
        row: usize,
        /// The length of that row.
        found: usize,
    },
}
