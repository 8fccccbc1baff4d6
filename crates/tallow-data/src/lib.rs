//! Labelled images: where they come from, how they are split, in which order, and the loader that makes batches of them.
//!
//! ```
//! use tallow_data::{Dataset, OpenOptions, open};
//!
//! let splits = open("fashion-mnist-6k", &OpenOptions::default())?;
//! assert_eq!(splits.train.len(), 5000);
//! assert_eq!(splits.train.class_names()[splits.train.label(0)], "Sneaker");
//! # Ok::<(), tallow_data::Error>(())
//! ```
//!
//! A new format is one file in `sources/`; a new named dataset is one row of the table in `sources/named.rs`.

mod cache;
mod dataset;
pub mod decode;
mod draft;
mod error;
mod loader;
mod open;
mod order;
mod sampler;
mod sources;
mod split;
mod splits;
mod summary;
mod turn;
mod write;

pub use cache::Cached;
pub use dataset::{Dataset, Subset, class_counts, groups, labels, times};
pub use draft::Draft;
pub use error::{Error, Result};
pub use loader::{Batch, EpochBatches, Loader, LoaderConfig, OnCorrupt};
pub use open::{ClassOrder, OpenOptions, open, open_held_out, split};
pub use order::run_shuffled;
pub use sampler::Sampler;
pub use sources::named::{cache_dir, known_datasets};
pub use sources::wds::{EpochSamples, ShardStream, StreamConfig, StreamSample};
pub use split::{
    Fold, FoldOptions, cross_validation_fold, cross_validation_folds, folds_and_repeats, folds_csv, group_k_fold,
    group_split, k_fold, repeated, stratified_k_fold, stratified_split, time_series_folds, time_split,
    with_training_parts,
};
pub use splits::Splits;
pub use summary::{Summary, measure, summary};
pub use write::{Format, WriteOptions, write};
