//! IDX files, the bundled dataset, and the places that are searched for named datasets.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use tallow_data::{Dataset, Error, OpenOptions, Splits, class_counts, open};
use tempfile::TempDir;

use crate::{assert_fails, open_named, reference};

fn check_facts(splits: &Splits, facts: &str) {
    let facts = reference(facts);
    for (split, dataset) in [("train", &splits.train), ("test", splits.test.as_ref().unwrap())] {
        let facts = &facts[split];
        let usizes = |key: &str| -> Vec<usize> { serde_json::from_value(facts[key].clone()).unwrap() };
        assert_eq!(dataset.len(), facts["len"].as_u64().unwrap() as usize);
        assert_eq!(class_counts(dataset.as_ref()), usizes("class_counts"));
        let labels: Vec<usize> = (0..20).map(|i| dataset.label(i)).collect();
        assert_eq!(labels, usizes("first_labels"));
        let image = |i| dataset.image(i).unwrap().into_luma8().into_raw();
        let sum = |i| image(i).into_iter().map(usize::from).sum::<usize>();
        assert_eq!((0..20).map(sum).collect::<Vec<_>>(), usizes("first_sums"));
        let row: Vec<usize> = image(0)[14 * 28..15 * 28].iter().map(|v| *v as usize).collect();
        assert_eq!(row, usizes("row_14_of_first"));
        let total: usize = (0..dataset.len()).map(sum).sum();
        assert_eq!(total, facts["sum"].as_u64().unwrap() as usize);
        assert_eq!(dataset.id(3), format!("{split}/3"));
        assert_eq!(dataset.channels(), 1);
    }
}

#[test]
fn the_bundled_images_are_those_that_numpy_reads() {
    let splits = open("fashion-mnist-6k", &OpenOptions::default()).unwrap();
    check_facts(&splits, "fashion-mnist-6k.json");
    assert!(splits.validation.is_none());
    assert_eq!(splits.train.class_names()[9], "Ankle boot");
}

#[test]
fn the_whole_of_fashion_mnist() {
    match open("fashion-mnist", &OpenOptions::default()) {
        Ok(splits) => check_facts(&splits, "fashion-mnist.json"),
        Err(Error::NotFound { .. }) => println!("skipped: dataset-fashion-mnist is not installed"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_validation_split_is_held_out_of_the_training_split() {
    let options = OpenOptions { validation_fraction: 0.1, seed: 4, ..OpenOptions::default() };
    let splits = open("fashion-mnist-6k", &options).unwrap();
    let validation = splits.validation.unwrap();
    assert_eq!(class_counts(splits.train.as_ref()), [450; 10]);
    assert_eq!(class_counts(validation.as_ref()), [50; 10]);
    let ids = |dataset: &dyn Dataset| -> Vec<String> { (0..dataset.len()).map(|i| dataset.id(i)).collect() };
    let mut all = [ids(splits.train.as_ref()), ids(validation.as_ref())].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5000);

    let again = open("fashion-mnist-6k", &options).unwrap();
    assert_eq!(ids(again.validation.unwrap().as_ref()), ids(validation.as_ref()));
    for fraction in [-0.1, 1.0, f64::NAN, 0.00001] {
        let options = OpenOptions { validation_fraction: fraction, ..OpenOptions::default() };
        assert_fails(open("fashion-mnist-6k", &options), &["validation_fraction"]);
    }
}

/// An IDX file's bytes.
fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// MNIST-like files of two training and one test image of 3 × 2 pixels (height × width).
fn write_mnist(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    let pixels: Vec<u8> = (0..12).collect();
    write("train-images-idx3-ubyte", &idx(&[2, 3, 2], &pixels));
    write("train-labels-idx1-ubyte.gz", &gzip(&idx(&[2], &[9, 4])));
    write("t10k-images-idx3-ubyte.gz", &gzip(&idx(&[1, 3, 2], &pixels[..6])));
    write("t10k-labels-idx1-ubyte", &idx(&[1], &[0]));
}

#[test]
fn gzipped_and_plain_files_in_the_data_dir_or_its_named_folder() {
    for sub_folder in ["", "mnist", "MNIST/raw"] {
        let dir = TempDir::new().unwrap();
        write_mnist(&dir.path().join(sub_folder));
        let splits = open_named("mnist", dir.path()).unwrap();
        assert_eq!((splits.train.len(), splits.test.unwrap().len()), (2, 1));
        assert_eq!((splits.train.label(0), splits.train.label(1)), (9, 4));
        let image = splits.train.image(1).unwrap().into_luma8();
        assert_eq!(image.dimensions(), (2, 3));
        assert_eq!(image.into_raw(), [6, 7, 8, 9, 10, 11]);
    }
}

#[test]
fn emnist_is_turned_upright_and_its_letters_count_from_one() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, bytes: Vec<u8>| fs::write(dir.path().join(name), bytes).unwrap();
    for split in ["train", "test"] {
        let images = idx(&[1, 2, 3], &[1, 2, 3, 4, 5, 6]);
        write(&format!("emnist-letters-{split}-images-idx3-ubyte"), images);
        let labels = idx(&[1], &[26]);
        write(&format!("emnist-letters-{split}-labels-idx1-ubyte"), labels);
    }
    let train = open_named("emnist-letters", dir.path()).unwrap().train;
    assert_eq!(train.class_names().len(), 26);
    assert_eq!(train.class_names()[train.label(0)], "z");
    let image = train.image(0).unwrap().into_luma8();
    assert_eq!(image.dimensions(), (2, 3));
    assert_eq!(image.into_raw(), [1, 4, 2, 5, 3, 6]);

    let labels = dir.path().join("emnist-letters-test-labels-idx1-ubyte");
    fs::write(&labels, idx(&[1], &[0])).unwrap();
    assert_fails(open_named("emnist-letters", dir.path()), &[labels.to_str().unwrap(), "from 1 to 26", "found 0"]);
}

#[test]
fn damaged_files_are_named_with_what_was_expected() {
    let images = "train-images-idx3-ubyte";
    let labels = "train-labels-idx1-ubyte.gz";
    let whole = gzip(&idx(&[2], &[9, 4]));
    let mut bad_checksum = whole.clone();
    let at = bad_checksum.len() - 8;
    bad_checksum[at] ^= 1;
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        (images, idx(&[2, 3, 2], &[0; 11]), &["expected 28", "found 27"]),
        (images, idx(&[2, 3, 2], &[0; 13]), &["expected 28", "found 29"]),
        (images, idx(&[2, 3, 2], &[])[..9].to_vec(), &["a header of 16", "found 9"]),
        (images, Vec::new(), &["a header of 16", "found 0"]),
        (images, b"<html>not found</html>".to_vec(), &["00 00 08 03", "3c, 68, 74, 6d"]),
        (images, idx(&[u32::MAX, u32::MAX, 2], &[0; 4]), &["1 to 16384 pixels"]),
        (images, idx(&[u32::MAX, 16384, 16384], &[0; 4]), &["found 20 bytes"]),
        (images, idx(&[2, 0, 2], &[]), &["1 to 16384 pixels"]),
        (labels, whole[..whole.len() - 12].to_vec(), &["bytes"]),
        (labels, bad_checksum, &["cannot read"]),
        (labels, gzip(&idx(&[3], &[9, 4, 1])), &["2 labels", "found 3 labels"]),
        (labels, gzip(&idx(&[2], &[9, 10])), &["sample 1", "from 0 to 9", "found 10"]),
    ];
    for (file, bytes, parts) in cases {
        let dir = TempDir::new().unwrap();
        write_mnist(dir.path());
        let path = dir.path().join(file);
        fs::write(&path, bytes).unwrap();
        assert_fails(open_named("mnist", dir.path()), &[path.to_str().unwrap()]);
        assert_fails(open_named("mnist", dir.path()), parts);
    }
    let dir = TempDir::new().unwrap();
    write_mnist(dir.path());
    fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).unwrap();
    assert_fails(open_named("mnist", dir.path()), &["cannot read", "t10k-labels-idx1-ubyte"]);
}

#[test]
fn a_dataset_not_found_says_where_it_was_looked_for() {
    let dir = TempDir::new().unwrap();
    let named = dir.path().join("emnist-digits");
    assert_fails(
        open_named("emnist-digits", dir.path()),
        &[named.to_str().unwrap(), "/usr/share/datasets/emnist-digits", "gzip.zip"],
    );
    assert_fails(open_named("no-such-data", dir.path()), &["`no-such-data`", "cifar100"]);
}

#[test]
fn the_classes_of_a_run_must_be_those_of_the_dataset() {
    let options = OpenOptions { classes: Some(vec!["cat".into(), "dog".into()]), ..OpenOptions::default() };
    assert_fails(open("fashion-mnist-6k", &options), &["fashion-mnist-6k", "T-shirt/top", "cat, dog"]);
}
