//! The training loop.
//!
//! [`fit`] reads from top to bottom: restore or start, then, for each epoch, batches → forward → loss → backward →
//! clip → step → average → log, evaluation, checkpoint. It depends on the seed, the config and the data alone: not on
//! the number of threads, and not on where it was interrupted.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use candle_core::{D, Tensor};
use image::DynamicImage;
use serde::Serialize;
use tallow_data::Loader;
use tallow_metrics::Evaluation;
use tallow_models::Built;
use tallow_nn::{Gradients, Mode, autocast, bf16_unit};

use crate::average::Average;
use crate::checkpoint::{self, Checkpoint, Exact, Position, Running};
use crate::clip::{clip, scale};
use crate::config::{EarlyStoppingConfig, Precision};
use crate::distill::Teacher;
use crate::optim::Sam;
use crate::pass::{Work, add};
use crate::penalty::Penalties;
use crate::probe::{Probe, batches as batches_of};
use crate::record::{Record, stopped};
use crate::stages::Stages;
use crate::swa::reestimate_statistics;
use crate::transfer::{Frozen, check_gradients, drop_frozen};
use crate::zeros::Zeros;
use crate::{Error, Loss, Optimizer, Result, RunConfig, RunDir, Schedule, TestTime, predict};

/// What a training run works with.
pub struct Training<'a> {
    /// The complete config.
    pub config: &'a RunConfig,
    /// Where logs and checkpoints go. One that has a checkpoint is continued from it.
    pub run: &'a RunDir,
    /// The model that is trained, in place.
    pub built: &'a Built,
    /// What is made small.
    pub loss: &'a dyn Loss,
    /// What changes the parameters.
    pub optimizer: &'a mut dyn Optimizer,
    /// Training samples.
    pub train: Split<'a>,
    /// What is evaluated after each epoch.
    pub eval: Option<Split<'a>>,
    /// Whether `eval` is a validation split, by which the best epoch is chosen and early stopping decides. A test
    /// split is only reported.
    pub eval_chooses: bool,
    /// A picture for TensorBoard, such as [`augmented_grid`](crate::augmented_grid)'s.
    pub picture: Option<DynamicImage>,
    /// Set it to end the run after the step under way, with a checkpoint to go on from.
    pub stop: &'a AtomicBool,
    /// Whether nothing is shown on the screen.
    pub quiet: bool,
    /// Called after each epoch with the number of epochs done and the evaluation, if there was one; false ends the run
    /// there as `stop` does, with a checkpoint to go on from.
    pub after_epoch: Option<AfterEpoch<'a>>,
}

/// Whether training goes on after so many epochs.
pub type AfterEpoch<'a> = &'a mut dyn FnMut(u64, Option<&Evaluation>) -> bool;

/// A split and the loader of its batches.
#[derive(Clone, Copy)]
pub struct Split<'a> {
    /// What it is called in logs: train, validation, test.
    pub name: &'a str,
    /// Its batches.
    pub loader: &'a Loader,
}

/// What came of a training run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FitReport {
    /// Epochs done, those before a resume included.
    pub epochs: u64,
    /// Optimiser steps done.
    pub steps: u64,
    /// Seconds spent on training, evaluation and checkpoints left out.
    pub train_s: f64,
    /// Training images a second over `train_s`.
    pub images_per_s: f64,
    /// The mean training loss of the last whole epoch.
    pub train_loss: f64,
    /// The training accuracy of the last whole epoch, in 0 to 1, measured while the weights changed.
    pub train_top1: f64,
    /// The last evaluation, of the split named, if there was one.
    pub evaluation: Option<(String, Evaluation)>,
    /// Whether the run was asked to stop before its end: continue it with `--resume`.
    pub interrupted: bool,
    /// Whether it ended because the validation metric no longer improved.
    pub stopped_early: bool,
}

/// Trains a model.
///
/// # Errors
/// A parameter that no gradient reaches; a loss that is NaN or infinite; images that cannot be read; a run directory
/// that cannot be written; a checkpoint that does not fit.
pub fn fit(training: Training<'_>) -> Result<FitReport> {
    let Training {
        config,
        run,
        built,
        loss,
        optimizer,
        train,
        eval,
        eval_chooses,
        picture,
        stop,
        quiet,
        mut after_epoch,
    } = training;
    let (options, model, store) = (&config.train, &built.model, &built.store);
    let mut stages = Stages::new(config, built, train.loader)?;
    let most_batches = train.loader.batches() as u64;
    let steps_per_epoch = most_batches.div_ceil(options.accumulate);
    let schedule = Schedule::new(&config.schedule, config.optim.lr(), steps_per_epoch, options.epochs)
        .with_weight_decay(config.optim.common.weight_decay);
    let penalties = Penalties::new(config);
    let frozen = Frozen::new(&config.transfer, built)?;
    let teacher = Teacher::open(config, train.loader.class_names())?;
    let mut average = Average::new(options, store)?;
    // Between epochs one view of each image is enough; further ones would take longer than the epoch.
    let views = TestTime::default();

    let mut position = Position::default();
    if run.last().is_file() {
        let checkpoint = Checkpoint::load(&run.last())?;
        checkpoint.restore_model(store)?;
        checkpoint.restore_optimizer(optimizer)?;
        if let Some(ema) = average.begun_mut(checkpoint.position.epoch) {
            checkpoint.restore_ema(ema)?;
        }
        position = checkpoint.position;
    }

    let zeros = if options.keep_zeros { Zeros::of(store)? } else { Zeros::default() };

    let mut record = Record::new(run, &position, options.epochs, quiet)?;
    if position.step > 0 {
        record.note(&format!("continuing at epoch {}, step {}", position.epoch + 1, position.step))?;
    } else if let Some(picture) = &picture {
        record.image("train/augmented", picture)?;
    }
    if options.precision == Precision::Bf16 {
        record.note(&match bf16_unit() {
            Some(unit) => format!("bf16: training multiplies on {unit}, the last evaluation is in f32"),
            None => "bf16: this processor has neither AMX-BF16 nor AVX512-BF16; computing in f32".to_owned(),
        })?;
    }
    let mut report = FitReport {
        epochs: position.epoch,
        steps: position.step,
        train_s: 0.0,
        images_per_s: 0.0,
        train_loss: f64::NAN,
        train_top1: f64::NAN,
        evaluation: None,
        interrupted: false,
        stopped_early: false,
    };
    let mut probe = None;
    let mut saved = Instant::now();
    let save_every = Duration::try_from_secs_f64(60.0 * options.checkpoint_every_minutes).unwrap_or_default();

    'run: while position.epoch < options.epochs {
        if gave_up(&options.early_stopping, &position) {
            report.stopped_early = true;
            break;
        }
        stages.enter(position.epoch)?;
        let loader = stages.loader();
        let batches = loader.batches() as u64;
        let in_schedule =
            |position: &Position, batch: u64, step: u64| stages.schedule_step(position.epoch, (batch, batches), step);
        record.start_epoch(position.epoch, batches);
        let constants = frozen.start_epoch(store, position.epoch);
        loss.start_epoch(position.epoch);
        let mut clock = Instant::now();
        if position.epoch == report.epochs || frozen.changes_at(position.epoch) {
            probe = Probe::new(config, built, constants, train.loader, eval, &mut record)?;
        }
        let work = Work {
            model: model.as_ref(),
            loss,
            teacher: teacher.as_ref(),
            constants,
            r_drop: options.r_drop,
            precision: options.precision,
            features: probe.as_ref().map(|probe| &probe.train),
        };
        let mut pending: Option<Gradients> = None;
        let mut pending_batches = 0;

        for batch in batches_of(loader, probe.as_ref(), (position.epoch, position.batch)) {
            let mut batch = batch?;
            record.skipped(&batch.skipped)?;
            position.running.skipped += batch.skipped.len() as u64;
            let rates = schedule.after(in_schedule(&position, position.batch, position.step), &position.plateau);
            let mode = || Mode::train(options.seed, position.epoch * most_batches + position.batch);
            let input = work.input(&mut batch)?;
            let taught = {
                let _format = autocast(options.precision.into());
                teacher.as_ref().map(|teacher| teacher.targets(&input)).transpose()?
            };
            let (batch_loss, logits, mut grads) = work.pass(&input, &batch, taught.as_ref(), &mode())?;
            if !batch_loss.is_finite() {
                return Err(non_finite(batch_loss, &position, loader.ids(&batch), run));
            }
            drop_frozen(&mut grads, constants);
            if frozen.changes_at(position.epoch) && position.batch == 0 {
                check_gradients(&grads, store, constants)?;
            }
            if let Some(sam) = &config.optim.common.sam {
                let climb = Sam::climb(sam, store, &grads)?;
                grads = work.pass(&input, &batch, taught.as_ref(), &mode())?.2;
                drop_frozen(&mut grads, constants);
                climb.descend()?;
            }
            let targets = batch.targets.as_deref().filter(|_| config.data.multi_label);
            count(&mut position.running, batch_loss, &logits, &batch.labels, targets)?;
            position.images += batch.labels.len() as u64;
            position.batch += 1;

            let mut grads = match pending.take() {
                Some(sum) => add(sum, grads, store)?,
                None => grads,
            };
            pending_batches += 1;
            if pending_batches < options.accumulate && position.batch < batches {
                pending = Some(grads);
                continue;
            }
            if pending_batches > 1 {
                scale(&mut grads, store, 1.0 / pending_batches as f64)?;
            }
            pending_batches = 0;
            penalties.add(&mut grads, store)?;
            clip(options, &mut grads, store)?;
            {
                let _format = autocast(options.precision.into());
                optimizer.step(&grads, rates)?;
            }
            penalties.constrain(store, &grads)?;
            zeros.keep()?;
            position.step += 1;
            average.after_step(store, position.step)?;
            position.train_s += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            record.step(&position, f64::from(batch_loss), rates)?;
            let cycles = |batch, step| schedule.cycles_done(in_schedule(&position, batch, step));
            let cycle = cycles(position.batch, position.step);
            let before = position.batch.saturating_sub(options.accumulate);
            if options.snapshots && cycle > cycles(before, position.step - 1) {
                let ema = average.begun(position.epoch);
                checkpoint::save(&run.snapshot(cycle), &config.model.name, &position, store, ema, None)?;
                clock = Instant::now();
            }

            let stop = stopped(stop);
            let by_steps = options.checkpoint_every_steps > 0 && position.step % options.checkpoint_every_steps == 0;
            let by_time = !save_every.is_zero() && saved.elapsed() >= save_every;
            if stop || by_steps || by_time {
                let ema = average.begun(position.epoch);
                checkpoint::save(&run.last(), &config.model.name, &position, store, ema, Some(optimizer))?;
                (saved, clock) = (Instant::now(), Instant::now());
            }
            if stop {
                report.interrupted = true;
                break 'run;
            }
        }

        average.after_epoch(position.epoch, store, || {
            reestimate_statistics(model.as_ref(), store, loader, (options.seed, position.epoch))
        })?;
        position.train_s += clock.elapsed().as_secs_f64();
        let ema = average.begun(position.epoch + 1);

        let last = in_schedule(&position, position.batch.saturating_sub(1), position.step.saturating_sub(1));
        let lr = schedule.after(last, &position.plateau).lr;
        let mut improved = false;
        if let Some(eval) = eval {
            let evaluate = || {
                let _format = autocast(options.precision.into());
                let known =
                    probe.as_ref().map(|probe| probe.predict(model.as_ref(), eval.loader)).transpose()?.flatten();
                let predictions = match known {
                    Some(predictions) => predictions,
                    None => predict(model.as_ref(), eval.loader, &views)?,
                };
                predictions.evaluate(eval.loader.class_names())
            };
            let evaluation = match ema {
                Some(ema) => ema.with_average(store, evaluate)?,
                None => evaluate()?,
            };
            if eval_chooses {
                let metric = options.early_stopping.metric;
                let score = metric.score(&evaluation);
                improved = position.best_score.is_none_or(|Exact(best)| score > best);
                position.epochs_since_best += 1;
                if improved {
                    (position.best_score, position.epochs_since_best) = (Some(Exact(score)), 0);
                }
                if let Some(plateau) = config.schedule.plateau() {
                    position.plateau.observe(plateau, metric.selection_value(&evaluation), metric.higher_is_better());
                }
            }
            report.evaluation = Some((eval.name.to_owned(), evaluation));
        }
        let evaluation = report.evaluation.as_ref().map(|(split, evaluation)| (split.as_str(), evaluation));
        record.epoch(&position, evaluation, lr)?;
        let seen = position.running.images.max(1) as f64;
        report.train_loss = position.running.loss.0 / seen;
        report.train_top1 = position.running.correct as f64 / seen;
        position = Position { epoch: position.epoch + 1, batch: 0, running: Running::default(), ..position };
        // Before the checkpoint: who is killed in between is told again.
        let evaluation = report.evaluation.as_ref().map(|(_, evaluation)| evaluation);
        let goes_on = after_epoch.as_mut().is_none_or(|after| after(position.epoch, evaluation));
        if improved {
            checkpoint::save(&run.best(), &config.model.name, &position, store, ema, None)?;
        }
        checkpoint::save(&run.last(), &config.model.name, &position, store, ema, Some(optimizer))?;
        saved = Instant::now();
        if (stopped(stop) || !goes_on) && position.epoch < options.epochs {
            report.interrupted = true;
            break;
        }
    }

    if report.interrupted {
        let (epoch, step) = (position.epoch + 1, position.step);
        record.note(&format!("stopped in epoch {epoch} after step {step}; continue with --resume"))?;
    }
    if report.stopped_early {
        record.note(&format!("no better epoch for {} epochs: stopped", position.epochs_since_best))?;
    }
    record.flush()?;
    (report.epochs, report.steps, report.train_s) = (position.epoch, position.step, position.train_s);
    report.images_per_s = position.images as f64 / position.train_s.max(f64::MIN_POSITIVE);
    Ok(report)
}

fn gave_up(config: &EarlyStoppingConfig, position: &Position) -> bool {
    config.patience > 0 && position.epochs_since_best >= config.patience
}

/// Adds a batch to the sums of its epoch. Of logits of two passes the first counts. Where several classes can hold for a
/// sample, `targets` says which: one that holds is right.
fn count(running: &mut Running, loss: f32, logits: &Tensor, labels: &[u32], targets: Option<&[f32]>) -> Result<()> {
    let predicted = logits.detach().argmax(D::Minus1)?.to_vec1::<u32>()?;
    running.images += labels.len() as u64;
    running.loss.0 += f64::from(loss) * labels.len() as f64;
    let classes = logits.dim(D::Minus1)?;
    let right = |(row, (predicted, label)): &(usize, (&u32, &u32))| match targets {
        Some(targets) => targets[row * classes + **predicted as usize] > 0.5,
        None => predicted == label,
    };
    running.correct += predicted.iter().zip(labels).enumerate().filter(right).count() as u64;
    Ok(())
}

fn non_finite(loss: f32, position: &Position, ids: Vec<String>, run: &RunDir) -> Error {
    Error::NonFiniteLoss {
        loss,
        step: position.step,
        epoch: position.epoch + 1,
        batch: position.batch,
        samples: ids.join(", "),
        checkpoint: Some(run.last()).filter(|path| path.is_file()),
    }
}
