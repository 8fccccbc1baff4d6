//! Dividing samples between training and what it is judged by: one held-out part, or k folds. Each is a function of
//! its arguments and the seed alone.

mod cross;
mod folds;
mod groups;
mod stratified;
mod time;

pub use cross::{FoldOptions, cross_validation_fold, cross_validation_folds, folds_and_repeats, folds_csv};
pub use folds::{Fold, k_fold, repeated, stratified_k_fold, with_training_parts};
pub use groups::{group_k_fold, group_split};
pub use stratified::stratified_split;
pub use time::{time_series_folds, time_split};

pub(crate) use stratified::indices_by_class;
