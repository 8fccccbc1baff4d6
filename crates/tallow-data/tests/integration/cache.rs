//! The cache of decoded images: hits, misses and damaged records.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tallow_data::{Cached, Dataset, OpenOptions, open};
use tempfile::TempDir;

use crate::open_path;

/// Three files of detail, 40 × 30 (width × height).
fn write_images(dir: &Path) {
    for number in 0..3u32 {
        let path = dir.join(format!("images/c/{number}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixel = |x: u32, y: u32| image::Rgb([(x * 6) as u8, (y * 8) as u8, (number * 80) as u8]);
        image::RgbImage::from_fn(40, 30, pixel).save(path).unwrap();
    }
}

fn cached(dir: &Path, side: Option<usize>) -> Cached {
    let train = open_path(&dir.join("images")).unwrap().train;
    Cached::new(train, &dir.join("cache"), side).unwrap()
}

fn pixels(dataset: &dyn Dataset) -> Vec<Vec<u8>> {
    (0..dataset.len()).map(|i| dataset.image(i).unwrap().into_rgb8().into_raw()).collect()
}

#[test]
fn images_are_decoded_once() {
    let dir = TempDir::new().unwrap();
    write_images(dir.path());
    let plain = pixels(open_path(&dir.path().join("images")).unwrap().train.as_ref());
    let first = cached(dir.path(), None);
    assert_eq!((pixels(&first), first.decoded()), (plain.clone(), 3));
    assert_eq!((pixels(&first), first.decoded()), (plain.clone(), 3));
    drop(first);
    let second = cached(dir.path(), None);
    assert_eq!((pixels(&second), second.decoded()), (plain, 0), "kept from run to run");
    assert_eq!((second.id(1), second.label(1)), ("c/1.png".into(), 0));
}

#[test]
fn another_size_or_file_is_another_cache() {
    let dir = TempDir::new().unwrap();
    write_images(dir.path());
    let small = cached(dir.path(), Some(15));
    let image = small.image(0).unwrap();
    assert_eq!((image.width(), image.height()), (20, 15));
    let larger = cached(dir.path(), Some(100));
    assert_eq!(larger.image(0).unwrap().width(), 40, "none is made larger");
    assert_ne!(small.path(), larger.path());
    image::RgbImage::new(40, 31).save(dir.path().join("images/c/2.png")).unwrap();
    assert_ne!(cached(dir.path(), Some(15)).path(), small.path());
}

#[test]
fn damaged_records_are_decoded_again() {
    let dir = TempDir::new().unwrap();
    write_images(dir.path());
    let first = cached(dir.path(), None);
    let expected = pixels(&first);
    let path = first.path().to_path_buf();
    drop(first);
    let whole = fs::read(&path).unwrap();
    // A pixel of the first record; the last record cut off; no record at all.
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    for (content, decoded) in [(flipped, 1), (whole[..whole.len() - 5].to_vec(), 1), (vec![7; 50], 3)] {
        fs::write(&path, content).unwrap();
        let again = cached(dir.path(), None);
        assert_eq!((pixels(&again), again.decoded()), (expected.clone(), decoded));
        drop(again);
        let mended = cached(dir.path(), None);
        assert_eq!((pixels(&mended), mended.decoded()), (expected.clone(), 0));
    }
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let dir = TempDir::new().unwrap();
    write_images(dir.path());
    let (one, two) = (cached(dir.path(), None), cached(dir.path(), None));
    assert_eq!(pixels(&one), pixels(&two));
    assert_eq!((one.decoded(), two.decoded()), (3, 3), "the second only reads what was there");
    let length = fs::metadata(one.path()).unwrap().len();
    assert_eq!(length, 3 * (20 + 40 * 30 * 3));
}

#[test]
fn open_wraps_every_split() {
    let dir = TempDir::new().unwrap();
    write_images(dir.path());
    let options = OpenOptions {
        cache: Some(dir.path().join("kept")),
        cache_side: Some(10),
        validation_fraction: 0.34,
        ..OpenOptions::default()
    };
    let splits = open(dir.path().join("images").to_str().unwrap(), &options).unwrap();
    let validation: Arc<dyn Dataset> = splits.validation.unwrap();
    assert_eq!(validation.image(0).unwrap().height(), 10);
    assert_eq!(fs::read_dir(dir.path().join("kept")).unwrap().count(), 1);
}
