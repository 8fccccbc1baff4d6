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
//! | [`transfer`] | trained weights: what of them stays as it is |
//! | [`fit`](mod@fit) | the loop |
//! | [`lr_find`](mod@lr_find) | a sweep over learning rates |
//! | [`checkpoint`] | from where a run goes on |
//! | [`evaluate`] | logits of a whole split |
//! | [`embed`](mod@embed) | features of a whole split |
//! | [`log`] | progress, `summary.csv`, TensorBoard |
//!
//! A program of your own that trains is `xtask/src/train.rs`, some sixty lines.

pub mod average;
pub mod batch;
pub mod checkpoint;
pub mod clip;
pub mod config;
pub mod distill;
pub mod ema;
pub mod embed;
pub mod evaluate;
pub mod fit;
pub mod loaders;
pub mod log;
pub mod loss;
pub mod lr_find;
pub mod optim;
pub mod run_dir;
pub mod schedule;
pub mod swa;
pub mod transfer;

mod error;
mod pass;
mod penalty;
mod probe;
mod record;

pub use checkpoint::{Checkpoint, load_weights};
pub use config::{RECIPES, Recipe, Resolved, RunConfig, Setting, View, build_pipeline, load, resolve};
pub use distill::DistillConfig;
pub use embed::{Features, embed};
pub use error::{Error, Result};
pub use evaluate::{Predictions, predict};
pub use fit::{AfterEpoch, FitReport, Split, Training, fit};
pub use loaders::{augmented_grid, eval_loader, train_loader};
pub use loss::{Loss, LossConfig, LossContext};
pub use optim::{OptimConfig, Optimizer};
pub use run_dir::RunDir;
pub use schedule::{Rates, Schedule, ScheduleConfig};
pub use transfer::TransferConfig;
