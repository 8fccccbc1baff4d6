//! A run from its setup to its report: training, curves, exported weights.

use tallow_data::Splits;
use tallow_infer::TrainedRun;
use tallow_metrics::{Series, line_chart_svg};
use tallow_run::RunDir;
use tallow_run::log::summary_csv::Row;

use crate::run_log::{EVAL_TOP1, TRAIN_TOP1};
use crate::{FitOptions, FitReport, Result, Setup};

/// The file that a complete run ends with.
pub const REPORT: &str = "report.json";

/// A trained run, still in memory.
pub struct TrainedOutcome {
    /// The result of the training.
    pub report: FitReport,
    /// The run with its best weights; if training was interrupted, with its present weights.
    pub run: TrainedRun,
    /// The data.
    pub splits: Splits,
}

/// Trains a run in `dir`, or continues it there. A run that is not interrupted gets `curves.svg`, exported weights in timm's
/// layout, and `report.json` last.
///
/// # Errors
/// The errors of [`fit`](fn@crate::fit); other samples than the run began with; a folder that cannot be written.
pub fn train_run(setup: Setup, dir: RunDir, options: FitOptions<'_>) -> Result<TrainedOutcome> {
    dir.keep_split(&setup.splits)?;
    let mut report = setup.fit(&dir, options)?;
    if report.interrupted {
        let (run, splits) = setup.into_trained_run(dir)?;
        return Ok(TrainedOutcome { report, run, splits });
    }
    dir.write("curves.svg", curves(&report.epochs_log)?.as_bytes())?;
    std::mem::take(&mut report.best).load_into(&setup.built.store)?;
    let (run, splits) = setup.into_trained_run(dir)?;
    run.export(report.steps)?;
    // Of a run that was complete before, the report has more to say than this one.
    if !report.train_loss.is_nan() || !run.dir.path().join(REPORT).is_file() {
        run.dir.write_json(REPORT, &report)?;
    }
    Ok(TrainedOutcome { report, run, splits })
}

/// Accuracy over epochs as a picture.
fn curves(rows: &[Row]) -> Result<String> {
    let curve = |name: &str, column: usize| Series {
        name: name.to_owned(),
        points: rows.iter().map(|row| (row.epoch as f64, 100.0 * row.values[column])).collect(),
    };
    let curves = [curve("train", TRAIN_TOP1), curve("evaluated", EVAL_TOP1)];
    Ok(line_chart_svg("top-1 accuracy, %", "epoch", "%", &curves)?)
}
