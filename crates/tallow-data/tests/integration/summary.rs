//! Counts, sizes, mean and standard deviation.

use std::fs;

use tallow_data::{OnCorrupt, OpenOptions, measure, open, summary};
use tempfile::TempDir;

use crate::{assert_fails, open_path, reference, save_image};

#[test]
fn mean_and_deviation_are_numpy_s() {
    let splits = open("fashion-mnist-6k", &OpenOptions::default()).unwrap();
    let facts = reference("fashion-mnist-6k.json");
    for (split, dataset) in [("train", splits.train), ("test", splits.test.unwrap())] {
        let found = measure(dataset.as_ref(), OnCorrupt::Stop).unwrap();
        for (found, key) in [(found.mean[0], "mean"), (found.std[0], "std")] {
            let expected = facts[split][key].as_f64().unwrap();
            assert!((f64::from(found) - expected).abs() < 1e-7, "{found} {expected}");
        }
    }
}

#[test]
fn a_folder_s_sizes_and_damaged_files() {
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("a/1.png"), [255, 0, 51]);
    image::RgbImage::from_pixel(16, 6, image::Rgb([0, 0, 51])).save(dir.path().join("a/2.png")).unwrap();
    fs::write(dir.path().join("a/3.png"), "damaged").unwrap();
    let train = open_path(dir.path()).unwrap().train;
    assert_fails(summary(train.as_ref(), OnCorrupt::Stop), &["3.png"]);

    let found = summary(train.as_ref(), OnCorrupt::Skip).unwrap();
    assert_eq!((found.height, found.width), ((6, 6), (8, 16)));
    assert_eq!(found.skipped, ["a/3.png"]);
    // 48 pixels of 1 and 96 of 0; none; all 0.2, whose deviation counts as 1.
    let third = 1.0 / 3.0f32;
    let close = |found: &[f32], expected: [f32; 3]| found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6);
    assert!(close(&found.normalization.mean, [third, 0.0, 0.2]));
    assert!(close(&found.normalization.std, [(2.0f32 / 9.0).sqrt(), 1.0, 1.0]));
    let text = found.to_string();
    for part in [
        "3 images, 1 classes, RGB, 6 × 8–16 pixels",
        "100.0 %",
        "1 cannot be read:",
        "a/3.png: the image cannot be decoded",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
