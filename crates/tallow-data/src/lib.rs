//! Datasets of labelled images: reading and writing them, splits, samplers, and the loader that makes batches.
//!
//! ```
//! use tallow_data::{OpenOptions, open};
//!
//! let splits = open("fashion-mnist-6k", &OpenOptions::default())?;
//! assert_eq!(splits.train.len(), 5000);
//! assert_eq!(splits.train.class_names()[splits.train.label(0)], "Sneaker");
//! # Ok::<(), tallow_data::Error>(())
//! ```
//!
//! # Features
//! All are off by default. Without its feature, opening such a dataset is [`Error::FeatureOff`].
//! - `bundled`: the dataset fashion-mnist-6k, compiled in (2.6 MB);
//! - `parquet`: Parquet files;
//! - `wds`: WebDataset shards, indexed or streamed, also from `http(s)://` addresses;
//! - `hub`: datasets of the Hugging Face Hub (with `parquet` or `wds`).
//!
//! A new format is one file in `sources/`; a new named dataset is one row of the table in `sources/named.rs`.

mod cache;
mod complete;
mod dataset;
pub mod decode;
mod error;
mod findings;
mod image_files;
mod limits;
mod loader;
mod names;
mod on_corrupt;
mod open;
mod options;
mod order;
mod pixels;
mod preprocess;
mod sampler;
mod scaled_jpeg;
mod sources;
mod split;
mod splits;
mod stream;
mod subset;
mod summary;
mod warnings;
mod wrapper;
mod write;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use cache::Cached;
pub use dataset::{Dataset, class_counts, groups, labels, times};
pub use error::{Error, Result};
pub use image_files::{Found, find_images};
pub use loader::{Batch, EpochBatches, Loader, LoaderConfig};
pub use on_corrupt::OnCorrupt;
pub use open::{open, open_held_out, split};
pub use options::{ClassOrder, FoldOptions, FolderLayout, OpenOptions};
pub use order::run_shuffled;
pub use preprocess::preprocess;
pub use sampler::Sampler;
pub use scaled_jpeg::ScaledJpeg;
pub use sources::named::{cache_dir, known_datasets};
#[cfg(feature = "wds")]
pub use sources::wds::{EpochSamples, ShardStream};
pub use split::{
    Fold, cross_validation_fold, cross_validation_folds, folds_and_repeats, folds_csv, group_k_fold, group_split,
    k_fold, repeated, stratified_k_fold, stratified_split, time_series_folds, time_split, with_training_parts,
};
pub use splits::Splits;
pub use stream::{SampleStream, StreamConfig, StreamSample};
pub use subset::Subset;
pub use summary::{Summary, describe, measure, summary};
pub use write::{Format, WriteOptions, write};
