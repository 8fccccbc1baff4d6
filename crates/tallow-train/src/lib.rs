//! Training: configuration, losses, optimisers, schedules, the loop, checkpoints and logs.
//!
//! In the order in which a run uses them:
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | defaults < recipe < `--set` → a typed, complete [`RunConfig`] |
//! | [`run_dir`] | the run's folder, written before the first step |
//! | [`loaders`] | batches of each split |
//! | [`loss`], [`optim`], [`schedule`], [`clip`], [`average`], [`ema`], [`swa`] | the parts of a step |
//! | [`stages`] | what changes between epochs: the sizes of batches and images |
//! | [`transfer`] | trained weights: what of them stays as it is |
//! | [`fit`](mod@fit) | the loop |
//! | [`lr_find`](mod@lr_find), [`batch_size`] | a sweep over learning rates, one over batch sizes |
//! | [`checkpoint`] | from where a run goes on |
//! | [`evaluate`], [`tta`] | logits of a whole split, from one or several views of each image |
//! | [`out_of_fold`] | the predictions of a cross-validation's runs, put together |
//! | [`embed`](mod@embed) | features of a whole split |
//! | [`finished`], [`ensemble`], [`predictor`] | runs, and combinations of runs, to be used, also as one graph |
//! | [`log`] | progress, `summary.csv`, TensorBoard |
//!
//! A program of your own that trains is `crates/tallow-cli/src/train.rs`, some sixty lines.

pub mod average;
pub mod batch;
pub mod batch_size;
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod distill;
pub mod ema;
pub mod embed;
pub mod ensemble;
pub mod evaluate;
pub mod finished;
pub mod fit;
pub mod loaders;
pub mod log;
pub mod loss;
pub mod lr_find;
pub mod optim;
pub mod out_of_fold;
pub mod predictor;
pub mod run_dir;
pub mod schedule;
pub mod stages;
pub mod swa;
pub mod transfer;
pub mod tta;

mod error;
mod graph;
mod pass;
mod penalty;
mod probe;
mod record;
mod zeros;

pub use checkpoint::{Checkpoint, load_weights};
pub use config::{RECIPES, Recipe, Resolved, RunConfig, Setting, build_pipeline, load, resolve};
pub use distill::DistillConfig;
pub use embed::{Features, embed};
pub use ensemble::Ensemble;
pub use error::{Error, Result};
pub use evaluate::{Predictions, one_class_names, predict, predictions_csv, several_class_names};
pub use finished::Finished;
pub use fit::{AfterEpoch, FitReport, Split, Training, fit};
pub use loaders::{augmented_grid, eval_loader, train_loader};
pub use loss::{Loss, LossConfig, LossContext};
pub use optim::{OptimConfig, Optimizer};
pub use out_of_fold::{MeanProbabilities, OutOfFold};
pub use predictor::{Measured, Predictor};
pub use run_dir::RunDir;
pub use schedule::{Rates, Schedule, ScheduleConfig};
pub use stages::{BatchGrowthConfig, ProgressiveConfig};
pub use transfer::TransferConfig;
pub use tta::{TestTime, View};
