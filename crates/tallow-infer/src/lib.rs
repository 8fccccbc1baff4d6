//! Inference with trained image classifiers.
//!
//! | module | contents |
//! |---|---|
//! | [`predictor`] | [`Predictor`]: the directory of a run or an ensemble, or any model, opened for inference |
//! | [`trained_run`] | [`TrainedRun`]: a run directory with its model and its dataset |
//! | [`classifier`] | [`Classifier`]: a model with its classes and its preprocessing; all inference goes through it |
//! | [`predictions`] | logits, labels and ids of a dataset, from which all metrics follow |
//! | [`measurement`] | the files of an evaluation |
//! | [`files`] | predictions for thousands of image files, in batches and in order |
//! | [`test_time`] | test-time augmentation: views of each image |
//! | [`embed`](mod@embed) | backbone features of a dataset |
//! | [`ensemble`] | voting, averages, weights, stacking, model soups |
//! | [`batch_norm`] | BatchNorm's statistics for averaged weights |
//! | [`batch`] | from a loader's batch to a tensor |
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let predictor = tallow_infer::Predictor::open("runs/r9".as_ref())?;
//! let image = image::open("shoe.png")?;
//! let probabilities = predictor.probabilities(&[image])?;
//! let best = (0..probabilities.len()).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
//! println!("{:?}", best.map(|class| &predictor.classes()[class]));
//! # Ok(()) }
//! ```

pub mod batch;
pub mod batch_norm;
pub mod classifier;
pub mod embed;
pub mod ensemble;
pub mod files;
pub mod measurement;
pub mod predictions;
pub mod predictor;
pub mod test_time;
pub mod trained_run;

mod error;
mod graph;
mod pretrained;

pub use batch_norm::reestimate_batch_norm;
pub use classifier::Classifier;
pub use embed::{Features, embed};
pub use ensemble::Ensemble;
pub use error::{Error, Result};
pub use files::ImageName;
pub use measurement::Measurement;
pub use predictions::{Predictions, multi_label_names, predict, predictions_csv, single_label_names};
pub use predictor::{Measured, Predictor};
pub use pretrained::find_pretrained;
pub use tallow_run::{RunSections, View};
pub use test_time::TestTime;
pub use trained_run::TrainedRun;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
