//! Divides samples into a training and a held-out part, or into k folds. Each division depends on its arguments and the
//! seed alone.

mod cross;
mod folds;
mod groups;
mod stratified;
mod time;

pub use cross::{cross_validation_fold, cross_validation_folds, folds_and_repeats, folds_csv};
pub use folds::{Fold, k_fold, repeated, stratified_k_fold, with_training_parts};
pub use groups::{group_k_fold, group_split};
pub use stratified::stratified_split;
pub use time::{time_series_folds, time_split};

pub(crate) use stratified::indices_by_class;
