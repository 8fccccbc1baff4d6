//! The logs of a run, in one place for the loop to call.

use std::sync::atomic::{AtomicBool, Ordering};

use image::DynamicImage;
use image::codecs::png::PngEncoder;
use tallow_metrics::Evaluation;
use tallow_optim::{Exact, Rates};
use tallow_run::RunDir;
use tallow_run::log::summary_csv::Row;
use tallow_run::log::{EventWriter, Progress, StepInfo, SummaryCsv};

use crate::position::Position;
use crate::{Change, Error, Result};

const COLUMNS: &[&str] =
    &["train_loss", "train_top1", "eval_loss", "eval_top1", "lr", "train_s", "images_per_s", "skipped"];
/// The column of the training accuracy in `summary.csv`, behind the epoch.
pub(crate) const TRAIN_TOP1: usize = 1;
/// The column of the evaluated accuracy.
pub(crate) const EVAL_TOP1: usize = 3;

/// The logs of a run: progress display, `log.txt`, `summary.csv`, TensorBoard events.
pub(crate) struct RunLog<'a> {
    dir: &'a RunDir,
    progress: Progress,
    summary: SummaryCsv,
    events: EventWriter,
    epochs: u64,
}

impl<'a> RunLog<'a> {
    /// Starts the logs, or continues them from `position` on.
    pub fn new(dir: &'a RunDir, position: &Position, epochs: u64, quiet: bool) -> Result<Self> {
        let events = match position.step {
            0 => EventWriter::create(&dir.path().join("events"))?,
            step => EventWriter::resume(&dir.path().join("events"), step)?,
        };
        let summary = SummaryCsv::resume(&dir.path().join("summary.csv"), COLUMNS, position.epoch + 1)?;
        let progress = match quiet {
            true => Progress::lines(Box::new(std::io::sink()), std::time::Duration::MAX),
            false => Progress::new(),
        };
        Ok(Self { dir, progress, summary, events, epochs })
    }

    /// Logs where the run begins or continues; `damaged` is the error of a checkpoint that was passed over.
    pub fn begin(
        &mut self,
        position: &Position,
        picture: Option<&DynamicImage>,
        damaged: Option<tallow_run::Error>,
    ) -> Result<()> {
        if let Some(error) = damaged {
            self.warn(&format!("{error}; continuing from the checkpoint before it"))?;
        }
        match picture {
            _ if position.epoch == self.epochs => self.note("all epochs are complete: nothing is left to train"),
            _ if position.step > 0 => {
                self.note(&format!("continuing at epoch {}, step {}", position.epoch + 1, position.step))
            }
            Some(picture) => {
                self.dir.write("augmented.png", &png(picture)?)?;
                Ok(self.events.image("train/augmented", 0, picture)?)
            }
            None => Ok(()),
        }
    }

    /// Logs the settings that a continued run has changed, the learning rate of its next step, `next`, if it is higher than that
    /// of the last, and the samples that are read again.
    pub fn changes(&mut self, position: &Position, changes: &[Change], (next, again): (f64, u64)) -> Result<()> {
        for change in changes {
            self.note(&format!("changed: {change}"))?;
        }
        let goes_on = position.epoch < self.epochs && changes.iter().any(Change::moves_lr);
        if let Some(Exact(before)) = position.lr.filter(|Exact(before)| goes_on && next > *before) {
            self.warn(&format!("the learning rate rises from {before:.1e} to {next:.1e}"))?;
        }
        if again > 0 {
            self.warn(&format!("{again} samples of epoch {} are read again", position.epoch + 1))?;
        }
        Ok(())
    }

    pub fn start_epoch(&mut self, epoch: u64, batches: u64) {
        self.progress.start_epoch(epoch, self.epochs, batches);
    }

    /// Logs the step that led to `position`.
    pub fn step(&mut self, position: &Position, loss: f64, rates: Rates) -> Result<()> {
        let (step, running) = (position.step, &position.running);
        self.events.scalar("train/loss", step, loss)?;
        self.events.scalar("train/lr", step, rates.lr)?;
        let images = running.images.max(1) as f64;
        let info = StepInfo {
            loss: running.loss.0 / images,
            accuracy: running.correct as f64 / images,
            lr: rates.lr,
            images_per_s: images_per_s(position),
        };
        self.progress.step(position.batch, &info);
        Ok(())
    }

    /// Logs the end of the epoch that led to `position`, which still has its sums.
    pub fn epoch(&mut self, position: &Position, evaluation: Option<(&str, &Evaluation)>, lr: f64) -> Result<()> {
        let (epoch, step, running) = (position.epoch + 1, position.step, &position.running);
        let images = running.images.max(1) as f64;
        let (loss, top1) = (running.loss.0 / images, running.correct as f64 / images);
        let mut line = format!("epoch {epoch}/{}  train loss {loss:.4} top1 {:.2} %", self.epochs, 100.0 * top1);
        self.events.scalar("train/epoch_loss", step, loss)?;
        self.events.scalar("train/epoch_top1", step, top1)?;
        let (mut eval_loss, mut eval_top1) = (f64::NAN, f64::NAN);
        if let Some((split, evaluation)) = evaluation {
            (eval_loss, eval_top1) = (evaluation.loss, evaluation.top1);
            line += &format!("  {split} loss {eval_loss:.4} top1 {:.2} %", 100.0 * eval_top1);
            self.events.scalar(&format!("{split}/loss"), step, eval_loss)?;
            self.events.scalar(&format!("{split}/top1"), step, eval_top1)?;
        }
        let images_per_s = images_per_s(position);
        line += &format!("  lr {lr:.2e}  {images_per_s:.0} images/s  train {:.1} s", position.train_s);
        if running.skipped > 0 {
            line += &format!("  {} images skipped", running.skipped);
        }
        self.progress.finish_epoch(&line);
        self.dir.log(&line)?;
        let skipped = running.skipped as f64;
        let row = [loss, top1, eval_loss, eval_top1, lr, position.train_s, images_per_s, skipped];
        self.summary.append(epoch, &row)?;
        Ok(self.events.flush()?)
    }

    /// A note for `log.txt` and, even if the run is quiet, for stderr.
    fn warn(&mut self, line: &str) -> Result<()> {
        self.progress.suspend(|| eprintln!("note: {line}"));
        Ok(self.dir.log(&format!("note: {line}"))?)
    }

    /// A line for the screen and `log.txt`.
    pub fn note(&mut self, line: &str) -> Result<()> {
        self.progress.println(line);
        Ok(self.dir.log(line)?)
    }

    /// Lists images that could not be read.
    pub fn skipped(&mut self, skipped: &[String]) -> Result<()> {
        skipped.iter().try_for_each(|image| self.note(&format!("skipped: {image}")))
    }

    /// Flushes the logs; returns the rows of `summary.csv`.
    pub fn finish(mut self) -> Result<Vec<Row>> {
        self.events.flush()?;
        Ok(self.summary.into_rows())
    }
}

fn png(picture: &DynamicImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    picture
        .write_with_encoder(PngEncoder::new(&mut bytes)) // `write_to` would compile the encoders of all formats
        .map_err(|error| Error::Mismatch(format!("augmented.png: {error}")))?;
    Ok(bytes)
}

fn images_per_s(position: &Position) -> f64 {
    if position.train_s > 0.0 { position.images as f64 / position.train_s } else { 0.0 }
}

/// Whether the run was asked to stop.
pub(crate) fn stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::Relaxed)
}
