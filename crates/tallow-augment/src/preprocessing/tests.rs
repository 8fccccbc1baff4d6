//! Tests of the evaluation pipeline and its description.

use serde_json::{Value, json};

use super::*;
use crate::rng;

const IMAGES: Size = Size { height: 28, width: 28 };

fn parsed(ops: Value) -> PipelineConfig {
    serde_json::from_value(ops).expect("a pipeline")
}

fn of(ops: &PipelineConfig) -> Preprocessing {
    Preprocessing::from_pipeline(ops, &Normalization::imagenet(), IMAGES).expect("a pipeline that can be built")
}

fn pixels(pipeline: &Pipeline, (width, height): (u32, u32)) -> Vec<f32> {
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([(x * 7 + y * 3) as u8, (x * y / 5) as u8, (x * 2 + y * 11) as u8])
    });
    let mut out = vec![0.0; pipeline.output_len()];
    pipeline.apply(image.into(), &mut rng::keyed(0, 0, 0, 0), &mut out).expect("an image that fits");
    out
}

#[test]
fn crop_pct_gives_the_scaled_side_back() {
    for crop in 16..=512 {
        for scaled in crop / 2..=2 * crop {
            let pct = crop_pct(&[(crop, scaled)]);
            assert_eq!((crop as f64 / pct).floor() as usize, scaled, "{crop} of {scaled}: {pct}");
            let written: f64 = serde_json::from_str(&serde_json::to_string(&pct).unwrap()).unwrap();
            assert_eq!(written, pct, "written as JSON");
        }
    }
    let round = [((224, 256), 0.875), ((224, 235), 0.95), ((224, 248), 0.9), ((288, 288), 1.0), ((28, 32), 0.87)];
    for ((crop, scaled), expected) in round {
        assert_eq!(crop_pct(&[(crop, scaled)]), expected);
    }
}

#[test]
fn the_default_is_224_of_256_and_small_images_are_scaled_exactly() {
    let square = |side| Size { height: side, width: side };
    let large = Preprocessing::default_ops(Size { height: 300, width: 65 }, square(224));
    assert_eq!(large, parsed(json!([{ "op": "Resize", "size": 256 }, { "op": "CenterCrop", "size": [224, 224] }])));
    let small = Preprocessing::default_ops(square(64), square(28));
    assert_eq!(small, parsed(json!([{ "op": "Resize", "size": [28, 28] }])));
}

/// Every pipeline comes back with the same pixels; the usual ones without a list of ops, so that timm computes them too.
#[test]
fn pipelines_come_back_as_they_were() {
    let described = [
        (json!([{ "op": "Resize", "size": 32 }, { "op": "CenterCrop", "size": 28 }]), (CropMode::Center, 0.87)),
        (
            json!([{ "op": "Resize", "size": 28, "interpolation": "bicubic" }, { "op": "CenterCrop", "size": [28, 28] }]),
            (CropMode::Center, 1.0),
        ),
        (json!([{ "op": "Resize", "size": 24 }, { "op": "CenterCrop", "size": 28 }]), (CropMode::Center, 1.16)),
        (json!([{ "op": "Resize", "size": [20, 30], "interpolation": "nearest" }]), (CropMode::Squash, 1.0)),
        (
            json!([{ "op": "Resize", "size": [20, 30] }, { "op": "CenterCrop", "size": [18, 27] }]),
            (CropMode::Squash, 0.9),
        ),
        (json!([{ "op": "Resize", "size": [28, 28] }, { "op": "CenterCrop", "size": 28 }]), (CropMode::Squash, 1.0)),
        // The ops leave the size open: images have 28 × 28 pixels.
        (json!([]), (CropMode::Squash, 1.0)),
        (json!([{ "op": "CenterCrop", "size": 20 }]), (CropMode::Center, 1.0)),
    ];
    for (ops, (crop_mode, crop_pct)) in described {
        let ops = parsed(ops);
        let found = of(&ops);
        assert_eq!((found.crop_mode, found.crop_pct), (crop_mode, crop_pct), "{ops:?}");
        let open = matches!(ops.0[..], [OpConfig::CenterCrop(_)]);
        assert_eq!(found.is_exact_in_timm(), !open, "{ops:?}");
        let image = if ops.0.is_empty() { (28, 28) } else { (61, 43) };
        let built =
            ops.build_for_input(3, &found.normalization, Size { height: image.1 as usize, width: image.0 as usize });
        let pipeline = found.pipeline().unwrap();
        assert_eq!(pixels(&built.unwrap(), image), pixels(&pipeline, image), "{ops:?}");
        assert_eq!(of(&found.ops()), found, "{ops:?}");
    }
}

#[test]
fn what_timm_cannot_describe_keeps_its_ops() {
    let kept = [
        // Both sides of a crop that is not square.
        (json!([{ "op": "Resize", "size": 32 }, { "op": "CenterCrop", "size": [28, 56] }]), (CropMode::Center, 0.87)),
        (json!([{ "op": "ResizePad", "size": 28, "fill": [124, 116, 104] }]), (CropMode::Border, 1.0)),
        (
            json!([{ "op": "Resize", "size": 32, "p": 0.5 }, { "op": "CenterCrop", "size": 28 }]),
            (CropMode::Center, 0.87),
        ),
        (
            json!([{ "op": "Resize", "size": [32, 32] }, { "op": "RandomHorizontalFlip", "p": 1.0 }]),
            (CropMode::Squash, 1.0),
        ),
        (
            json!([{ "op": "Resize", "size": [29, 45] }, { "op": "CenterCrop", "size": [28, 28] }]),
            (CropMode::Squash, 28.0 / 29.0),
        ),
    ];
    for (ops, (crop_mode, crop_pct)) in kept {
        let ops = parsed(ops);
        let found = of(&ops);
        assert_eq!((found.crop_mode, found.crop_pct), (crop_mode, crop_pct), "{ops:?}");
        assert!(!found.is_exact_in_timm() && found.ops() == ops, "{found:?}");
        let built = ops.build(3, &found.normalization).unwrap();
        assert_eq!(pixels(&built, (61, 43)), pixels(&found.pipeline().unwrap(), (61, 43)), "{ops:?}");
    }
}

#[test]
fn a_border_has_the_mean_colour() {
    let mut preprocessing = of(&parsed(json!([{ "op": "Resize", "size": [28, 28] }])));
    preprocessing.crop_mode = CropMode::Border;
    assert_eq!(preprocessing.ops(), parsed(json!([{ "op": "ResizePad", "size": [28, 28], "fill": [124, 116, 104] }])));
    assert!(!preprocessing.is_exact_in_timm());
}

#[test]
fn a_list_of_ops_for_another_size_is_an_error() {
    let mut preprocessing = of(&parsed(json!([{ "op": "ResizePad", "size": 28 }])));
    preprocessing.size.width = 30;
    assert!(matches!(preprocessing.pipeline(), Err(Error::UnexpectedSize { .. })));
}
