//! The logs of a run: the progress display, `summary.csv`, TensorBoard's event files.

pub mod progress;
pub mod summary_csv;
pub mod tensorboard;

mod error;
mod event;

#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use progress::{Progress, StepInfo};
pub use summary_csv::SummaryCsv;
pub use tensorboard::EventWriter;
