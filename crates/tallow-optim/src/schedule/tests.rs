//! Schedules against PyTorch's recorded curves.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Recorded {
    steps_per_epoch: u64,
    epochs: u64,
    lr: f64,
    curves: Vec<RecordedCurve>,
}

#[derive(Deserialize)]
struct RecordedCurve {
    config: ScheduleConfig,
    lr: Vec<f64>,
    momentum: Vec<f64>,
}

#[test]
fn curves_equal_pytorchs() {
    let recorded: Recorded =
        serde_json::from_str(include_str!("../../../../fixtures/train/schedules.json")).expect("the fixture");
    for curve in &recorded.curves {
        let schedule = Schedule::new(&curve.config, recorded.lr, recorded.steps_per_epoch, recorded.epochs);
        for (step, (&lr, &momentum)) in curve.lr.iter().zip(&curve.momentum).enumerate() {
            let rates = schedule.at(step as u64);
            assert!((rates.lr - lr).abs() < 1e-9, "{:?} at {step}: {} for {lr}", curve.config, rates.lr);
            let found = rates.momentum.unwrap_or(0.9);
            // During the warm-up the recorded momentum is the cycle's first.
            assert!((found - momentum).abs() < 1e-9, "{:?} at {step}: {found} for {momentum}", curve.config);
        }
    }
    assert_eq!(recorded.curves.len(), 9);
}

#[derive(Deserialize)]
struct More {
    steps_per_epoch: u64,
    epochs: u64,
    lr: f64,
    curves: Vec<MoreCurve>,
    weight_decay: Decay,
    plateaus: Vec<PlateauCurve>,
}

#[derive(Deserialize)]
struct MoreCurve {
    config: ScheduleConfig,
    lr: Vec<f64>,
}

#[derive(Deserialize)]
struct Decay {
    start: f64,
    end: f64,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct PlateauCurve {
    config: ScheduleConfig,
    values: Vec<f64>,
    higher_is_better: bool,
    lr: Vec<f64>,
}

fn more() -> More {
    serde_json::from_str(include_str!("../../../../fixtures/train/more_schedules.json")).expect("the fixture")
}

#[test]
fn more_curves_equal_pytorchs_and_timms() {
    let more = more();
    assert_eq!(more.curves.len(), 20);
    for curve in &more.curves {
        assert_eq!(curve.config.validate(), Ok(()), "{:?}", curve.config);
        let schedule = Schedule::new(&curve.config, more.lr, more.steps_per_epoch, more.epochs);
        assert_eq!(curve.lr.len() as u64, more.steps_per_epoch * more.epochs);
        for (step, &lr) in curve.lr.iter().enumerate() {
            let found = schedule.at(step as u64).lr;
            assert!((found - lr).abs() < 1e-9, "{:?} at {step}: {found} for {lr}", curve.config);
        }
    }
}

#[test]
fn weight_decay_follows_dinos_cosine_and_momentum_its_own() {
    let more = more();
    let mut config = ScheduleConfig::from(ScheduleMethod::Constant(ConstantConfig::default()));
    config.common.weight_decay_end = Some(more.weight_decay.end);
    config.common.momentum = Some((0.8, 0.9));
    let schedule = Schedule::new(&config, more.lr, more.steps_per_epoch, more.epochs);
    let schedule = schedule.with_weight_decay(more.weight_decay.start);
    for (step, &decay) in more.weight_decay.values.iter().enumerate() {
        let found = schedule.at(step as u64).decay_scale * more.weight_decay.start;
        assert!((found - decay).abs() < 1e-12, "{step}: {found} for {decay}");
    }
    let momentum = |step| schedule.at(step).momentum.unwrap_or_default();
    assert!((momentum(0) - 0.8).abs() < 1e-12 && (momentum(30) - 0.85).abs() < 1e-12);
    assert!((momentum(60) - 0.9).abs() < 1e-12);
}

#[test]
fn a_plateau_reduces_as_pytorchs_and_survives_a_checkpoint() {
    for curve in more().plateaus {
        let config = curve.config.plateau().expect("a plateau").clone();
        let schedule = Schedule::new(&curve.config, 0.2, 5, 100);
        let mut plateau = Plateau::default();
        for (epoch, (&value, &lr)) in curve.values.iter().zip(&curve.lr).enumerate() {
            let found = schedule.after(epoch as u64 * 5, &plateau).lr;
            assert!((found - lr).abs() < 1e-9, "{config:?} at {epoch}: {found} for {lr}");
            plateau.observe(&config, value, curve.higher_is_better);
            let text = serde_json::to_string(&plateau).expect("JSON");
            assert_eq!(serde_json::from_str::<Plateau>(&text).expect("its own JSON"), plateau);
        }
        assert!(plateau.reductions >= 2, "{plateau:?}");
    }
}

#[test]
fn the_shortest_runs_have_finite_rates() {
    for name in
        ["constant", "step", "exponential", "polynomial", "cosine", "cosine_restarts", "one_cycle", "triangular", "wsd"]
    {
        let config: ScheduleConfig = serde_json::from_value(serde_json::json!({ "name": name })).expect(name);
        for (steps, epochs) in [(1, 1), (1, 2), (2, 1), (3, 1)] {
            let schedule = Schedule::new(&config, 0.1, steps, epochs);
            for step in 0..=steps * epochs {
                let lr = schedule.at(step).lr;
                assert!(lr.is_finite() && (0.0..=0.1 + 1e-12).contains(&lr), "{name} {steps}×{epochs} at {step}: {lr}");
            }
        }
    }
}

#[test]
fn cycles_end_behind_the_warm_up_and_are_counted_up_to_their_limit() {
    let done = |cycles: CosineRestartsConfig, warmup_epochs: f64| -> Vec<u64> {
        let mut config = ScheduleConfig::from(ScheduleMethod::CosineRestarts(cycles));
        config.common.warmup_epochs = warmup_epochs;
        let schedule = Schedule::new(&config, 0.1, 2, 7); // 14 steps.
        (0..=14).filter(|step| *step > 0 && schedule.cycles_done(*step) > schedule.cycles_done(step - 1)).collect()
    };
    let cycles = CosineRestartsConfig { cycle_epochs: 1.5, ..Default::default() };
    assert_eq!(done(cycles.clone(), 0.0), [3, 6, 9, 12]);
    assert_eq!(done(cycles.clone(), 1.0), [5, 8, 11, 14]);
    assert_eq!(done(CosineRestartsConfig { cycle_mul: 2.0, ..cycles.clone() }, 0.0), [3, 9]);
    assert_eq!(done(CosineRestartsConfig { cycle_limit: 2, ..cycles }, 0.0), [3, 6]);
    assert_eq!(Schedule::new(&ScheduleMethod::Cosine(Default::default()).into(), 0.1, 2, 7).cycles_done(14), 0);
}
