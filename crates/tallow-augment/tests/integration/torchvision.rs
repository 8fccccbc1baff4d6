//! Every deterministic op against recorded results of torchvision (fixtures/scripts/augment.py).
//!
//! Tolerance: equal, except for filtered resizing and bicubic affine maps, which may differ by one level.

use std::path::Path;

use safetensors::SafeTensors;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tallow_augment::ops::*;
use tallow_augment::{Fill, Image8, Interpolation, Normalization, NormalizedImage, Padding, Pipeline, Size, rng};

#[test]
fn cores_equal_torchvision() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/augment");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let file = std::fs::read(folder.join("reference.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let mut failures = Vec::new();
    let mut largest = std::collections::BTreeMap::new();
    for case in &cases {
        let op: String = get(case, "op");
        let difference = difference(case, &tensors);
        let kind = if case.get("interpolation").is_some() {
            format!("{op} {:?}", get::<Interpolation>(case, "interpolation"))
        } else {
            op.clone()
        };
        let worst = largest.entry(kind).or_insert(0.0);
        *worst = difference.max(*worst);
        if difference > tolerance(&op, case) {
            failures.push(format!("{difference} levels off: {case}"));
        }
    }
    println!("largest differences: {largest:#?}"); // shown with --nocapture
    assert!(cases.len() > 90 && failures.is_empty(), "{}", failures.join("\n"));
}

/// The largest difference allowed, in levels of 0..255, or in normalised units for floats.
fn tolerance(op: &str, case: &Value) -> f32 {
    let interpolation =
        if case.get("interpolation").is_some() { get(case, "interpolation") } else { Interpolation::Nearest };
    match (op, interpolation) {
        ("resize" | "resized_crop" | "resize_pad", Interpolation::Nearest) => 0.0,
        ("resize" | "resized_crop" | "resize_pad", _) | ("affine", Interpolation::Bicubic) => 1.0,
        _ => 0.0,
    }
}

/// The largest difference between our result and the recorded one.
fn difference(case: &Value, tensors: &SafeTensors<'_>) -> f32 {
    let name: String = get(case, "name");
    let image = image(tensors, &format!("image.{}", get::<String>(case, "image")));
    let op: String = get(case, "op");
    if matches!(op.as_str(), "normalize" | "erase") {
        let ours = normalized(case, &op, image);
        let theirs = floats(tensors, &name);
        assert_eq!(ours.len(), theirs.len(), "{case}");
        return ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    }
    let ours = apply(case, &op, image, tensors);
    let theirs = self::image(tensors, &name);
    assert_eq!((ours.size(), ours.channels()), (theirs.size(), theirs.channels()), "{case}");
    ours.data().iter().zip(theirs.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap().into()
}

fn apply(case: &Value, op: &str, mut image: Image8, tensors: &SafeTensors<'_>) -> Image8 {
    let size = || {
        let [height, width]: [usize; 2] = get(case, "size");
        Size { height, width }
    };
    let interpolation = || get::<Interpolation>(case, "interpolation");
    let fill = || get::<Fill>(case, "fill").levels();
    let factor = || get::<f64>(case, "factor");
    match op {
        "resize" => resize(image, size(), interpolation()).unwrap(),
        "resized_crop" => {
            let [top, left, height, width]: [usize; 4] = get(case, "window");
            let window = Window { top: top as i64, left: left as i64, size: Size { height, width } };
            resized_crop(image, window, size(), interpolation()).unwrap()
        }
        "resize_pad" => resize_pad(image, size(), interpolation(), fill()).unwrap(),
        "center_crop" => center_crop(&image, size()),
        "pad" => pad(&image, Padding::Four(get(case, "padding")), get(case, "padding_mode"), fill()),
        "horizontal_flip" => {
            horizontal_flip(&mut image);
            image
        }
        "vertical_flip" => {
            vertical_flip(&mut image);
            image
        }
        "rotate" => rotate(&image, get(case, "angle"), interpolation(), fill()),
        "affine" => {
            let (angle, translate, scale) = (get(case, "angle"), get(case, "translate"), get(case, "scale"));
            let matrix = AffineMatrix::new(angle, translate, scale, get(case, "shear"), image.size());
            affine(&image, &matrix, interpolation(), fill())
        }
        "adjust_brightness" => {
            adjust_brightness(&mut image, factor() as f32);
            image
        }
        "adjust_contrast" => {
            adjust_contrast(&mut image, factor() as f32);
            image
        }
        "adjust_saturation" => {
            adjust_saturation(&mut image, factor() as f32);
            image
        }
        "adjust_hue" => {
            adjust_hue(&mut image, factor());
            image
        }
        "to_grey" => Image8::from_dynamic(image.into_dynamic(), 1).unwrap(),
        "to_rgb" => Image8::from_dynamic(image.into_dynamic(), 3).unwrap(),
        "gaussian_noise" => {
            let mut noise = floats(tensors, &format!("{}.noise", get::<String>(case, "name"))).into_iter();
            gaussian_noise(&mut image, get(case, "mean"), get(case, "sigma"), || noise.next().unwrap());
            image
        }
        other => panic!("no such op: {other}"),
    }
}

/// The image normalised by a pipeline without ops, and erased if that is the op.
fn normalized(case: &Value, op: &str, image: Image8) -> Vec<f32> {
    let (size, channels) = (image.size(), image.channels());
    let normalization = Normalization { mean: get(case, "mean"), std: get(case, "std") };
    let pipeline = Pipeline::from_stages(vec![], channels, &normalization, Some(size)).unwrap();
    let mut data = vec![0.0; pipeline.output_len()];
    pipeline.apply(image.into_dynamic(), &mut rng::keyed(0, 0, 0, 0), &mut data).unwrap();
    if op == "erase" {
        let [top, left, height, width]: [usize; 4] = get(case, "rectangle");
        let value: Vec<f32> = get(case, "value");
        let rectangle = Rectangle { top, left, size: Size { height, width } };
        erase(&mut NormalizedImage { size, channels, data: &mut data }, rectangle, |channel| value[channel]);
    }
    data
}

fn get<T: DeserializeOwned>(case: &Value, key: &str) -> T {
    serde_json::from_value(case[key].clone()).unwrap_or_else(|error| panic!("{key}: {error}: {case}"))
}

fn image(tensors: &SafeTensors<'_>, name: &str) -> Image8 {
    let tensor = tensors.tensor(name).unwrap();
    let (size, channels) = match *tensor.shape() {
        [height, width] => (Size { height, width }, 1),
        [height, width, channels] => (Size { height, width }, channels),
        ref shape => panic!("{name}: {shape:?}"),
    };
    Image8::new(size, channels, tensor.data().to_vec()).unwrap()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let (values, _) = tensors.tensor(name).unwrap().data().as_chunks::<4>();
    values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
