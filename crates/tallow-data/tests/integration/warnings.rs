//! Warnings about splits, and descriptions of damaged datasets.

use std::fs;
use std::sync::Arc;

use tallow_data::{FoldOptions, OpenOptions, Subset, describe, open};
use tempfile::TempDir;

use crate::{assert_notes, open_path, save_image};

#[test]
fn absent_classes_and_small_splits_are_said() {
    let dir = TempDir::new().unwrap();
    for number in 0..9 {
        save_image(&dir.path().join(format!("train/{}/{number}.png", ["a", "b", "c"][number % 3])), [0; 3]);
    }
    save_image(&dir.path().join("val/a/1.png"), [0; 3]);
    let splits = open_path(dir.path()).unwrap();
    let warnings = splits.warnings();
    assert_notes(&warnings, &["validation split has no sample of 2 of 3 classes: b, c"]);
    assert_notes(&warnings, &["validation split has 1 images", "98 points"]);
    assert!(!warnings.iter().any(|warning| warning.contains("training")), "{warnings:?}");

    // A fold of three whose only sample of a class is held out.
    let few = Subset::new(splits.train.clone(), vec![0, 1, 2, 3, 4, 6]).unwrap();
    let whole = tallow_data::Splits::of(Arc::new(few));
    let fold = |index| OpenOptions { fold: Some(FoldOptions { count: 3, index }), ..OpenOptions::default() };
    let lacking = (0..3).filter(|index| {
        let (splits, _) = tallow_data::split(whole.clone(), &fold(*index)).unwrap();
        splits.warnings().iter().any(|warning| warning.contains("training split has no sample of 1 of 3"))
    });
    assert_eq!(lacking.count(), 1);

    let bundled = open("fashion-mnist-6k", &OpenOptions::default()).unwrap();
    assert!(bundled.warnings().is_empty(), "{:?}", bundled.warnings());
}

#[test]
fn a_description_lists_what_cannot_be_read() {
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("a/1.png"), [255, 0, 51]);
    fs::write(dir.path().join("a/2.png"), "damaged").unwrap();
    let mut huge = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    [20_000i32, 10].iter().for_each(|side| huge.extend(side.to_le_bytes()));
    huge.extend([1, 0, 24, 0]);
    huge.extend([0; 24]);
    fs::write(dir.path().join("b.bmp"), &huge).unwrap();
    fs::create_dir(dir.path().join("b")).unwrap();
    fs::rename(dir.path().join("b.bmp"), dir.path().join("b/huge.bmp")).unwrap();
    let train = open_path(dir.path()).unwrap().train;
    let found = describe(train.as_ref()).unwrap();
    assert_eq!(found.skipped, ["a/2.png", "b/huge.bmp"]);
    let text = found.to_string();
    for part in
        ["2 cannot be read", "2.png: the image cannot be decoded", "huge.bmp: the image is too large", "3 images"]
    {
        assert!(text.contains(part), "{text}");
    }

    fs::write(dir.path().join("a/1.png"), "damaged too").unwrap();
    let nothing = describe(train.as_ref()).unwrap();
    assert_eq!((nothing.skipped.len(), nothing.normalization.std[0]), (3, 1.0));
}
