//! Schedules against PyTorch's recorded curves.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Recorded {
    steps_per_epoch: u64,
    epochs: u64,
    lr: f64,
    curves: Vec<Curve>,
}

#[derive(Deserialize)]
struct Curve {
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

#[test]
fn the_shortest_runs_have_finite_rates() {
    for name in ["constant", "step", "cosine", "one_cycle"] {
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
