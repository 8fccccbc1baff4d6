//! The training loop.
//!
//! [`fit`] reads from top to bottom: restore or start, then, for each epoch, batches → forward → loss → backward →
//! clip → step → average → log, evaluation, checkpoint. It depends on the seed, the config and the data alone: not on
//! the number of threads, and not on where it was interrupted.

use std::time::{Duration, Instant};

use candle_core::{D, Tensor};
use tallow_infer::{TestTime, predict, reestimate_batch_norm};
use tallow_nn::{Gradients, Mode, autocast, bf16_unit};
use tallow_optim::clip::scale;
use tallow_optim::optimizer::Sam;
use tallow_optim::{Exact, PruningMask, Schedule};
use tallow_run::RunDir;

use crate::config::{EarlyStoppingConfig, Precision};
use crate::distill::Teacher;
use crate::linear_probe::{LinearProbe, batches as batches_of};
use crate::position::{Position, Running};
use crate::resume::changed_at;
use crate::run_log::{RunLog, stopped};
use crate::stages::Stages;
use crate::step::{TrainStep, add_grads};
use crate::transfer::{Frozen, check_gradients, drop_frozen};
use crate::{Error, Result};

pub use crate::training::{AfterEpoch, BestWeights, FitReport, Split, Training};

/// Trains a model from the weights that it has, or continues the run from its last checkpoint.
///
/// # Errors
/// A parameter that no gradient reaches; a loss that is NaN or infinite; images that cannot be read; a run directory
/// that cannot be written; a checkpoint that does not fit.
pub fn fit(training: Training<'_>) -> Result<FitReport> {
    let Training {
        config,
        dir,
        network,
        loss,
        optimizer,
        train,
        eval,
        eval_chooses,
        changes,
        picture,
        stop,
        quiet,
        mut after_epoch,
    } = training;
    let (options, model, store) = (&config.train, network.model, network.store);
    let mut stages = Stages::new(config, network, train.loader)?;
    let most_batches = train.loader.batches() as u64;
    let steps_per_epoch = most_batches.div_ceil(options.accumulate);
    let schedule = Schedule::new(&config.schedule, config.optim.lr(), steps_per_epoch, options.epochs)
        .with_weight_decay(config.optim.common.weight_decay);
    let (penalties, clipping) = (config.penalties(), options.clipping());
    let frozen = Frozen::new(&config.transfer, network)?;
    let teacher = Teacher::open(config, train.loader.class_names())?;
    let mut average = options.weight_average(store)?;
    // One view of each image between epochs: evaluating several would take longer than the epoch.
    let views = TestTime::default();

    let restored = Position::restore(dir, network, &mut average, optimizer)?;
    let (mut position, damaged) = restored.unwrap_or_default();
    if position.epoch > options.epochs {
        return Err(Error::Mismatch(format!(
            "train.epochs: expected {} or more, the complete epochs of the run, found {}",
            position.epoch, options.epochs
        )));
    }
    stages.enter(position.epoch)?;
    let read_again = position.enter(stages.loader())?;

    // The checkpoint fits: from here on the run directory is written.
    if damaged.is_some() {
        dir.return_to_previous()?;
    }
    let pruned = if options.keep_zeros { PruningMask::of(store)? } else { PruningMask::default() };
    let mut log = RunLog::new(dir, &position, options.epochs, quiet)?;
    log.begin(&position, picture.as_ref(), damaged)?;
    if !changes.is_empty() {
        let step = stages.schedule_step(position.epoch, position.batch.div_ceil(options.accumulate));
        let next = schedule.after(step, &position.plateau).lr;
        log.changes(&position, changes, (next, read_again))?;
        dir.change_config(&config.to_toml()?, &changed_at(&position, changes))?;
    }
    if options.precision == Precision::Bf16 {
        log.note(&match bf16_unit() {
            Some(unit) => format!("bf16: training multiplies on {unit}, the last evaluation is in f32"),
            None => "bf16: this processor has neither AMX-BF16 nor AVX512-BF16; computing in f32".to_owned(),
        })?;
    }
    let mut report = FitReport::at(&position);
    // Whether the weights in memory are those to evaluate.
    let mut best_in_memory = false;
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
        position.enter(loader)?;
        let batches = loader.batches() as u64;
        let in_schedule = |position: &Position, done: u64| stages.schedule_step(position.epoch, done);
        log.start_epoch(position.epoch, batches);
        let frozen_now = frozen.start_epoch(store, position.epoch);
        loss.start_epoch(position.epoch);
        let mut clock = Instant::now();
        if position.epoch == report.epochs || frozen.changes_at(position.epoch) {
            probe = LinearProbe::new(config, network, frozen_now, train.loader, eval, &mut log)?;
        }
        let train_step = TrainStep {
            model,
            loss,
            teacher: teacher.as_ref(),
            frozen: frozen_now,
            r_drop: options.r_drop,
            precision: options.precision,
            features: probe.as_ref().map(|probe| &probe.train),
        };
        let mut pending: Option<Gradients> = None;
        let mut pending_batches = 0;

        for batch in batches_of(loader, probe.as_ref(), (position.epoch, position.batch)) {
            let mut batch = batch?;
            log.skipped(&batch.skipped)?;
            position.running.skipped += batch.skipped.len() as u64;
            let rates = schedule.after(in_schedule(&position, position.batch / options.accumulate), &position.plateau);
            let mode = || Mode::train(options.seed, position.epoch * most_batches + position.batch);
            let input = train_step.input(&mut batch)?;
            let taught = {
                let _format = autocast(options.precision.into());
                teacher.as_ref().map(|teacher| teacher.targets(&input)).transpose()?
            };
            let (batch_loss, logits, mut grads) = train_step.run(&input, &batch, taught.as_ref(), &mode())?;
            if !batch_loss.is_finite() {
                return Err(non_finite(batch_loss, &position, loader.ids(&batch), dir));
            }
            drop_frozen(&mut grads, frozen_now);
            if frozen.changes_at(position.epoch) && position.batch == 0 {
                check_gradients(&grads, store, frozen_now)?;
            }
            if let Some(sam) = &config.optim.common.sam {
                let climb = Sam::climb(sam, store, &grads)?;
                grads = train_step.run(&input, &batch, taught.as_ref(), &mode())?.2;
                drop_frozen(&mut grads, frozen_now);
                climb.descend()?;
            }
            let targets = batch.targets.as_deref().filter(|_| config.data.multi_label);
            count(&mut position.running, batch_loss, &logits, &batch.labels, targets)?;
            position.images += batch.labels.len() as u64;
            position.batch += 1;

            let mut grads = match pending.take() {
                Some(sum) => add_grads(sum, grads, store)?,
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
            clipping.apply(&mut grads, store)?;
            {
                let _format = autocast(options.precision.into());
                optimizer.step(&grads, rates)?;
            }
            penalties.constrain(store, &grads)?;
            pruned.apply()?;
            position.step += 1;
            position.lr = Some(Exact(rates.lr));
            average.after_step(store, position.step)?;
            position.train_s += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            log.step(&position, f64::from(batch_loss), rates)?;
            let done = position.batch.div_ceil(options.accumulate);
            let cycles = |done| schedule.cycles_done(in_schedule(&position, done));
            let cycle = cycles(done);
            if options.snapshots && cycle > cycles(done - 1) {
                let ema = average.begun(position.epoch);
                position.save(&dir.snapshot(cycle), network, ema, None)?;
                clock = Instant::now();
            }

            let stop = stopped(stop);
            let by_steps = options.checkpoint_every_steps > 0 && position.step % options.checkpoint_every_steps == 0;
            let by_time = !save_every.is_zero() && saved.elapsed() >= save_every;
            if stop || by_steps || by_time {
                position.save_last(dir, network, average.begun(position.epoch), optimizer)?;
                (saved, clock) = (Instant::now(), Instant::now());
            }
            if stop {
                report.interrupted = true;
                break 'run;
            }
        }

        average.after_epoch(position.epoch, store, || {
            reestimate_batch_norm(model, store, loader, (options.seed, position.epoch)).map_err(Error::from)
        })?;
        position.train_s += clock.elapsed().as_secs_f64();
        let ema = average.begun(position.epoch + 1);

        let last = in_schedule(&position, batches.div_ceil(options.accumulate).saturating_sub(1));
        let lr = schedule.after(last, &position.plateau).lr;
        let mut improved = false;
        if let Some(eval) = eval {
            let evaluate = || {
                let _format = autocast(options.precision.into());
                let known = probe.as_ref().map(|probe| probe.predict(model, eval.loader)).transpose()?.flatten();
                let predictions = match known {
                    Some(predictions) => predictions,
                    None => predict(model, eval.loader, &views)?,
                };
                Ok::<_, Error>(predictions.evaluate(eval.loader.class_names())?)
            };
            let evaluation = match ema {
                Some(ema) => ema.with_average(store, evaluate)?,
                None => evaluate()?,
            };
            if eval_chooses {
                let metric = options.early_stopping.metric;
                let score = metric.score(&evaluation);
                improved = position.observe(score, evaluation.loss);
                if let Some(plateau) = config.schedule.plateau() {
                    position.plateau.observe(plateau, metric.selection_value(&evaluation), metric.higher_is_better());
                }
            }
            report.evaluation = Some((eval.name.to_owned(), evaluation));
        }
        let evaluation = report.evaluation.as_ref().map(|(split, evaluation)| (split.as_str(), evaluation));
        log.epoch(&position, evaluation, lr)?;
        let seen = position.running.images.max(1) as f64;
        report.train_loss = position.running.loss.0 / seen;
        report.train_top1 = position.running.correct as f64 / seen;
        position = Position { epoch: position.epoch + 1, batch: 0, running: Running::default(), ..position };
        // Before the checkpoint: after a kill in between, the epoch runs again and is reported again.
        let evaluation = report.evaluation.as_ref().map(|(_, evaluation)| evaluation);
        let goes_on = after_epoch.as_mut().is_none_or(|after| after(position.epoch, evaluation));
        best_in_memory = improved || !dir.best().is_file();
        if improved {
            position.save(&dir.best(), network, ema, None)?;
        }
        position.save_last(dir, network, ema, optimizer)?;
        saved = Instant::now();
        if (stopped(stop) || !goes_on) && position.epoch < options.epochs {
            report.interrupted = true;
            break;
        }
    }

    if report.interrupted {
        let (epoch, step) = (position.epoch + 1, position.step);
        dir.log(&format!("stopped in epoch {epoch} after step {step}"))?;
    }
    if report.stopped_early {
        log.note(&format!("no better epoch for {} epochs: stopped", position.epochs_since_best))?;
    }
    report.best = match (best_in_memory && !report.interrupted, average.into_begun(position.epoch)) {
        (false, _) => BestWeights::Checkpoint(dir.weights()?),
        (true, Some(average)) => BestWeights::Average(Box::new(average)),
        (true, None) => BestWeights::InMemory,
    };
    report.epochs_log = log.finish()?;
    (report.epochs, report.steps, report.train_s) = (position.epoch, position.step, position.train_s);
    report.images_per_s = position.images as f64 / position.train_s.max(f64::MIN_POSITIVE);
    Ok(report)
}

fn gave_up(config: &EarlyStoppingConfig, position: &Position) -> bool {
    config.patience > 0 && position.epochs_since_best >= config.patience
}

/// Adds a batch to the sums of its epoch. Of the logits of two passes the first counts. For multi-label data a prediction is
/// correct if its target is 1.
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

fn non_finite(loss: f32, position: &Position, ids: Vec<String>, dir: &RunDir) -> Error {
    Error::NonFiniteLoss {
        loss,
        step: position.step,
        epoch: position.epoch + 1,
        batch: position.batch,
        samples: ids.join(", "),
        checkpoint: Some(dir.last()).filter(|path| path.is_file()),
    }
}
