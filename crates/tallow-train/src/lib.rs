//! Training: configuration, setup, the loop, and what is built on them.
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | defaults < recipe < settings → a typed [`RunConfig`], completed by the data |
//! | [`suited`](mod@suited) | a recipe for data of which nothing else is said |
//! | [`pretrained`] | trained weights, found by file, folder or name, and loaded |
//! | [`setup`](mod@setup) | data → config → model → weights, for every program that trains |
//! | [`loaders`] | the batches of each split |
//! | [`fit`](mod@fit) | the training loop |
//! | [`train_run`](mod@train_run) | setup → a run directory with all its files |
//! | [`resume`] | the settings that a run may change when it continues |
//! | [`stages`] | what changes between epochs: the sizes of batches and images |
//! | [`transfer`] | frozen parameters |
//! | [`distill`] | distillation from a teacher |
//! | [`lr_find`](mod@lr_find), [`batch_size`] | a sweep over learning rates, one over batch sizes |
//! | [`trial`] | one trial of a hyper-parameter search |
//! | [`crossval`], [`out_of_fold`] | cross-validation, and its out-of-fold predictions |
//!
//! Losses, optimisers and schedules are in [`tallow_optim`], the run directory in [`tallow_run`], trained runs in
//! [`tallow_infer`].
//!
//! # Example
//! ```no_run
//! use tallow_train::{FitOptions, load, setup, train_run};
//!
//! # fn main() -> tallow_train::Result<()> {
//! let setup = setup(load("fast", &[])?, None)?;
//! let dir = setup.create_dir("runs/mine")?;
//! let trained = train_run(setup, dir, FitOptions::default())?;
//! println!("training accuracy {:.1} %", 100.0 * trained.report.train_top1);
//! # Ok(()) }
//! ```

pub mod batch_size;
pub mod config;
pub mod crossval;
pub mod distill;
pub mod fit;
pub mod loaders;
pub mod lr_find;
pub mod network;
pub mod out_of_fold;
pub mod position;
pub mod pretrained;
pub mod resume;
pub mod setup;
pub mod stages;
pub mod suited;
pub mod train_run;
pub mod transfer;
pub mod trial;

mod error;
mod linear_probe;
mod run_log;
mod step;
mod training;

pub use config::{
    BatchGrowthConfig, DistillConfig, RECIPES, Recipe, Resolved, RunConfig, Setting, keys_named, load, resolve,
};
pub use crossval::{CrossValidation, cross_validate};
pub use error::{Error, Result};
pub use fit::{AfterEpoch, BestWeights, FitReport, Split, Training, fit};
pub use loaders::{augmented_grid, class_counts, eval_loader, train_loader};
pub use network::Network;
pub use out_of_fold::{MeanProbabilities, OutOfFold};
pub use resume::Change;
pub use setup::{FitOptions, Setup, setup, setup_on};
pub use suited::{Suited, suited};
pub use train_run::{TrainedOutcome, train_run};
pub use transfer::TransferConfig;
pub use trial::train_trial;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
