//! Policies and batch mixing against torchvision's and timm's recorded tables, levels, draws and results
//! (fixtures/scripts/augment_policies.py, augment_mix.py).

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use tallow_augment::batch::{RowMix, mix_pixels, mix_rows};
use tallow_augment::ops::Rectangle;
use tallow_augment::policy::{Leveled, PolicyName, Space, TimmRandAugment};
use tallow_augment::{Size, rng};

/// A change of a policy: its op, probability and level.
type Step = (String, f64, Option<usize>);

#[derive(Deserialize)]
struct Policies {
    size: [usize; 2],
    draws_each: usize,
    spaces: HashMap<String, HashMap<String, Magnitudes>>,
    policies: HashMap<String, Vec<[Step; 2]>>,
    levels: HashMap<String, Vec<Option<f64>>>,
    draws: HashMap<String, HashMap<String, Draws>>,
}

#[derive(Deserialize)]
struct Magnitudes {
    values: Option<Vec<f64>>,
    signed: bool,
}

#[derive(Deserialize)]
struct Draws {
    count: usize,
    quantiles: Vec<f64>,
}

fn read<T: serde::de::DeserializeOwned>(path: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn policies() -> Policies {
    read("augment_policies/policies.json")
}

#[test]
fn spaces_are_torchvisions() {
    let recorded = policies();
    let size = Size { height: recorded.size[0], width: recorded.size[1] };
    for (name, space) in [
        ("auto_augment", Space::AutoAugment),
        ("rand_augment", Space::RandAugment),
        ("trivial_augment_wide", Space::TrivialAugmentWide),
        ("aug_mix", Space::AugMix),
    ] {
        let theirs = &recorded.spaces[name];
        assert_eq!(space.ops().len(), theirs.len(), "{name}");
        for op in space.ops() {
            let Magnitudes { values, signed } = &theirs[&format!("{op:?}")];
            match values {
                None => assert_eq!(space.magnitude(op, 0, 31, size), None),
                Some(values) => {
                    for (bin, theirs) in values.iter().enumerate() {
                        let (ours, ours_signed) = space.magnitude(op, bin, values.len(), size).unwrap();
                        // torchvision's are f32.
                        assert!((ours - theirs).abs() < 1e-5 * (1.0 + theirs.abs()), "{name} {op:?} {bin}");
                        assert_eq!(ours_signed, *signed, "{name} {op:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn auto_augment_has_torchvisions_pairs() {
    for (name, policy) in
        [("imagenet", PolicyName::ImageNet), ("cifar10", PolicyName::Cifar10), ("svhn", PolicyName::Svhn)]
    {
        let theirs = &policies().policies[name];
        assert_eq!(theirs.len(), 25);
        for (ours, theirs) in policy.pairs().iter().zip(theirs) {
            for ((op, p, bin), (name, their_p, their_bin)) in ours.iter().zip(theirs) {
                assert_eq!((format!("{op:?}"), *p, *bin), (name.clone(), *their_p, their_bin.unwrap_or(0)));
            }
        }
    }
}

/// The argument that timm passes on, from ours.
fn timms_argument(op: Leveled, argument: f64, size: Size) -> f64 {
    match op {
        Leveled::TranslateXRel => argument / size.width as f64,
        Leveled::TranslateYRel => argument / size.height as f64,
        Leveled::Desaturate => 1.0 - argument,
        _ => argument,
    }
}

#[test]
fn levels_are_timms() {
    let recorded = policies();
    let size = Size { height: recorded.size[0], width: recorded.size[1] };
    for op in Leveled::ALL {
        let theirs = &recorded.levels[&format!("{op:?}")];
        for (level, theirs) in [0.0, 1.0, 2.5, 5.0, 7.3, 9.0, 10.0].into_iter().zip(theirs) {
            let ours = timms_argument(*op, op.change(level, 1.0, size).argument(), size);
            assert!((ours - theirs.unwrap_or(0.0)).abs() < 1e-9, "{op:?} {level}: {ours} {theirs:?}");
        }
    }
}

#[test]
fn rand_augment_draws_as_timm_does() {
    let recorded = policies();
    let size = Size { height: recorded.size[0], width: recorded.size[1] };
    for (text, theirs) in &recorded.draws {
        let config: TimmRandAugment = text.parse().unwrap();
        let mut ours: HashMap<String, Vec<f64>> = HashMap::new();
        for sample in 0..recorded.draws_each as u64 {
            for (op, change) in config.draw(size, &mut rng::keyed(1, 0, sample, rng::AUGMENT)) {
                ours.entry(format!("{op:?}")).or_default().push(timms_argument(op, change.argument(), size));
            }
        }
        assert_eq!(ours.len(), theirs.len(), "{text}");
        for (op, Draws { count, quantiles }) in theirs {
            let ours = &ours[op];
            // Two counts of the same expectation differ by 4.5 standard deviations at most.
            let (a, b) = (ours.len() as f64, *count as f64);
            assert!((a - b).abs() < 4.5 * (a + b).sqrt(), "{text} {op}: {a} {b}");
            // timm's deciles lie at ours: shares at or below, and below, enclose the decile.
            for (decile, quantile) in quantiles.iter().enumerate() {
                let share = |n: usize| n as f64 / a;
                let below = share(ours.iter().filter(|x| **x < quantile - 1e-9).count());
                let up_to = share(ours.iter().filter(|x| **x <= quantile + 1e-9).count());
                let (expected, slack) = (decile as f64 / 10.0, 2.3 * (1.0 / a + 1.0 / b).sqrt());
                assert!(
                    below <= expected + slack && up_to >= expected - slack,
                    "{text} {op}: {quantile} is timm's quantile {expected}, ours {below}..{up_to}"
                );
            }
        }
    }
}

#[derive(Deserialize)]
struct Mixes {
    cases: Vec<MixCase>,
}

#[derive(Deserialize)]
struct MixCase {
    mode: String,
    shape: [usize; 4],
    classes: usize,
    labels: Vec<usize>,
    before: Vec<f32>,
    rows: Vec<MixedRow>,
    after: Vec<f32>,
    target: Vec<f32>,
}

#[derive(Deserialize)]
struct MixedRow {
    lam: f32,
    /// Top, bottom, left, right.
    r#box: Option<[usize; 4]>,
}

#[test]
fn batches_are_mixed_as_timm_mixes_them() {
    let Mixes { cases } = read("augment_mix/mix.json");
    assert_eq!(cases.len(), 9);
    for case in cases {
        let [n, height, width, channels] = case.shape;
        let row = |(i, row): (usize, &MixedRow)| RowMix {
            partner: n - 1 - i,
            own: row.lam,
            area: row.r#box.map(|[top, bottom, left, right]| Rectangle {
                top,
                left,
                size: Size { height: bottom - top, width: right - left },
            }),
        };
        let rows: Vec<RowMix> = case.rows.iter().enumerate().map(row).collect();
        let mut pixels = case.before;
        mix_pixels(&rows, &mut pixels, Size { height, width }, channels);
        let mut targets = vec![0.0; n * case.classes];
        case.labels.iter().enumerate().for_each(|(row, label)| targets[row * case.classes + label] = 1.0);
        mix_rows(&rows, &mut targets, case.classes);
        let off =
            |ours: &[f32], theirs: &[f32]| ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off(&pixels, &case.after) < 1e-3, "{}: {}", case.mode, off(&pixels, &case.after)); // of 255
        assert!(off(&targets, &case.target) < 1e-6, "{}", case.mode);
    }
}
