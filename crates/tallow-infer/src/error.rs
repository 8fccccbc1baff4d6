//! The errors of this crate.

use std::path::PathBuf;

use crate::ensemble::MemberProblem;

/// The result of anything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Errors of opening and using a trained model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The config of a run lacks what training writes.
    #[error("{}: it lacks {missing}, which training writes; was the file edited?", path.display())]
    IncompleteConfig {
        /// The config file.
        path: PathBuf,
        /// The missing keys.
        missing: &'static str,
    },
    /// A run is not a fold of a cross-validation: it holds no samples out.
    #[error("{}: this run is not a fold of a cross-validation: it holds no samples out", path.display())]
    NotAFold {
        /// The run directory, or that of an ensemble.
        path: PathBuf,
    },
    /// The data give a sample several labels where the model was trained on one.
    #[error("{}: it was trained on one label per sample and cannot be measured on several", path.display())]
    MultiLabelData {
        /// The run directory.
        path: PathBuf,
    },
    /// A model without a run directory, where one is needed.
    #[error("{name}: this model has no run directory")]
    NoRun {
        /// The name of the model.
        name: String,
    },
    /// An image in memory could not be preprocessed.
    #[error("image {index}: {source}")]
    Image {
        /// Its index, counted from 0.
        index: usize,
        /// Why.
        source: tallow_augment::Error,
    },
    /// A run cannot be a member of an ensemble.
    #[error("{}: {problem}", path.display())]
    Member {
        /// Its folder.
        path: PathBuf,
        /// Why not.
        problem: MemberProblem,
    },
    /// An ensemble has fewer than two members.
    #[error("an ensemble needs two members, found {found}")]
    TooFewMembers {
        /// The number of members.
        found: usize,
    },
    /// Stacking is for one label per sample.
    #[error("stacking is a regression with one class per sample, and these members give several labels")]
    StackOfMultiLabel,
    /// The members of an ensemble were trained on the split that it should be fitted on.
    #[error("split train: the members were trained on it, and an ensemble fitted there overrates them")]
    FitOnTrain,
    /// The test split measures and chooses nothing.
    #[error("split test: the test split measures and chooses nothing")]
    FitOnTest,
    /// A name is not that of a split.
    #[error("split {name}: expected train, validation or test")]
    UnknownSplit {
        /// The name.
        name: String,
    },
    /// A dataset does not have a split.
    #[error("{data} has no {name} split")]
    NoSplit {
        /// The dataset.
        data: String,
        /// The split.
        name: String,
    },
    /// Two parts that belong together do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// A file does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// The run directory.
    #[error(transparent)]
    Run(#[from] tallow_run::Error),
    /// The data.
    #[error(transparent)]
    Data(#[from] tallow_data::Error),
    /// The preprocessing.
    #[error(transparent)]
    Augment(#[from] tallow_augment::Error),
    /// The model.
    #[error(transparent)]
    Models(#[from] tallow_models::Error),
    /// The exported weights.
    #[error(transparent)]
    Export(#[from] tallow_export::Error),
    /// A layer or kernel.
    #[error(transparent)]
    Nn(#[from] tallow_nn::Error),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] tallow_metrics::Error),
    /// Candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
