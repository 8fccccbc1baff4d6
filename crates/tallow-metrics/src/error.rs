//! What can be wrong with labels and scores.

/// A `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Input that has no metric: what was found, where, and what was expected.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// There are no samples; scikit-learn refuses that too.
    #[error("no samples: a metric needs at least one label")]
    Empty,
    /// The number of classes is too small for this metric.
    #[error("{found} classes, but this metric needs at least {needed}")]
    Classes {
        /// The least number of classes that has a meaning here.
        needed: usize,
        /// The number of classes given.
        found: usize,
    },
    /// Two slices that belong together do not have matching lengths.
    #[error("{what}: expected {expected} values, found {found}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// The length that the labels (and the number of classes) ask for.
        expected: usize,
        /// The length it has.
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
    /// A picture that cannot be drawn.
    #[error("cannot draw: {reason}")]
    Plot {
        /// Which picture, and why.
        reason: String,
    },
    /// A curve of one class against the rest, where there is only one of them.
    #[error("there are only {found}: a curve needs samples of the class, and others")]
    OneKind {
        /// `positives` or `negatives`.
        found: &'static str,
    },
    /// A score is NaN or infinite.
    #[error("score in row {row}, class {class} is {found}: scores must be finite (did the model diverge?)")]
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
        /// What its probabilities sum to.
        sum: f64,
    },
    /// `k` of a top-k metric is zero.
    #[error("top-k with k = 0: k must be at least 1")]
    ZeroK,
    /// A confusion matrix read from a file is not square, or its names do not match.
    #[error("confusion matrix: {names} class names, but row {row} has {found} counts in {rows} rows")]
    NotSquare {
        /// The number of class names.
        names: usize,
        /// The number of rows.
        rows: usize,
        /// The first row of another length (or the number of rows, when that is what differs).
        row: usize,
        /// The length of that row.
        found: usize,
    },
}
