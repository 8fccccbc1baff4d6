//! Why a run cannot be a member of an ensemble.

/// Why a run cannot be a member of the ensemble that is to be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberProblem {
    /// The run is a member already.
    #[error("given twice: a member counts once")]
    GivenTwice,
    /// The folds of a cross-validation keep no snapshots.
    #[error("a cross-validation has no snapshots")]
    SnapshotsOfFolds,
    /// The run kept no snapshots.
    #[error("it has no snapshots: it was trained without train.snapshots")]
    NoSnapshots,
    /// The first member gives one label per sample and this one several, or the other way round.
    #[error("it gives a sample {here}, the first member {first}: they cannot answer together")]
    OtherLabels {
        /// `one label` or `several labels`.
        here: &'static str,
        /// `one` or `several`.
        first: &'static str,
    },
    /// The classes differ from the first member's.
    #[error("{0}")]
    OtherClasses(String),
    /// The run read other samples than the first member.
    #[error(
        "it read {here} samples where the first member read {first}: do they treat unreadable images alike (data.on_corrupt)?"
    )]
    OtherSamples {
        /// The samples that this run read.
        here: usize,
        /// The samples that the first member read.
        first: usize,
    },
    /// The folder has no out-of-fold predictions where another member has them.
    #[error("it has no oof.csv where other members do: members are cross-validations alone, or runs alone")]
    NoOutOfFold,
    /// The folds of a cross-validation were together trained on every sample.
    #[error(
        "a cross-validation without oof.csv: its folds together were trained on every sample, so that nothing is held out"
    )]
    FoldsWithoutOutOfFold,
    /// The run was trained without a validation split.
    #[error(
        "it was trained without a validation split, so that nothing is held out to fit on: members need the same \
         data.validation_fraction and data.split_seed"
    )]
    NoValidation,
    /// The run was trained on other data than the first member.
    #[error("it was trained on {here}, the first member on {first}: no validation split is held out from both")]
    OtherData {
        /// This run's dataset.
        here: String,
        /// The first member's.
        first: String,
    },
    /// The run's validation split differs from the first member's.
    #[error(
        "its validation split differs from the first member's: {here} images and {first}, of which it was trained on \
         {trained}: members need the same data.validation_fraction and data.split_seed"
    )]
    OtherValidation {
        /// The images of this run's split.
        here: usize,
        /// The images of the first member's.
        first: usize,
        /// The images of the first member's split that this run was trained on.
        trained: usize,
    },
    /// The run was trained on the data that the ensemble should be fitted on.
    #[error("it was trained on {data}")]
    TrainedOn {
        /// The dataset.
        data: String,
    },
    /// A cross-validation is several models: a soup averages the weights of single ones.
    #[error("a cross-validation cannot be an ingredient of a soup; its folds can")]
    FoldsInSoup,
    /// The classes are in another order than the first member's.
    #[error("its classes are in another order than the first member's: weights cannot be averaged")]
    ClassOrder,
    /// The run differs from the first member in a key that decides what its weights mean.
    #[error("{key} is {here}, of the first member {first}: a soup averages the weights of equal models")]
    OtherModel {
        /// The key.
        key: String,
        /// Its value here.
        here: String,
        /// Its value in the first member.
        first: String,
    },
    /// Votes are counted, which a graph has no op for.
    #[error("votes are counted, which a graph has no op for")]
    VotesInGraph,
    /// The views are other crops of the picture.
    #[error("five_crop, ten_crop and scales need the whole picture, and a graph is given one crop")]
    CropsInGraph,
    /// The run's input differs from the first run's.
    #[error(
        "it sees images at another size than {first}, in other channels or otherwise resized: they cannot share an input"
    )]
    OtherInput {
        /// The first run's directory.
        first: String,
    },
}
