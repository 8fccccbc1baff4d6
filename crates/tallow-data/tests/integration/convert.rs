//! Conversion between formats: what is written is read back the same, from every format to every other that can hold
//! it.

use std::fs;
use std::path::Path;

use tallow_data::{Dataset, Format, OpenOptions, Sampler, Splits, Subset, WriteOptions, open, write};
use tempfile::TempDir;

use crate::{assert_fails, open_path, save_image};

/// A small file size, so that there are several.
const OPTIONS: WriteOptions = WriteOptions { samples_per_file: 5 };

/// Where a written dataset is opened.
fn spec(folder: &Path, format: Format) -> String {
    match format {
        Format::Folder => folder.join("manifest.csv").display().to_string(),
        _ => folder.display().to_string(),
    }
}

/// Labels (by name), pixels and bytes of all samples of a split.
fn samples(dataset: &dyn Dataset) -> Vec<(String, Vec<u8>, Option<Vec<u8>>)> {
    let sample = |i: usize| {
        let class = dataset.class_names()[dataset.label(i)].clone();
        (class, dataset.image(i).unwrap().into_rgb8().into_raw(), dataset.encoded(i).unwrap())
    };
    (0..dataset.len()).map(sample).collect()
}

#[track_caller]
fn assert_same(found: &Splits, expected: &Splits, bytes: bool) {
    let pairs = [
        (Some(&found.train), Some(&expected.train)),
        (found.validation.as_ref(), expected.validation.as_ref()),
        (found.test.as_ref(), expected.test.as_ref()),
    ];
    for (found, expected) in pairs {
        assert_eq!(found.is_some(), expected.is_some());
        let (Some(found), Some(expected)) = (found, expected) else { continue };
        let (mut found, mut expected) = (samples(found.as_ref()), samples(expected.as_ref()));
        if !bytes {
            found.iter_mut().chain(&mut expected).for_each(|sample| sample.2 = None);
        }
        assert!(found == expected);
    }
}

/// Grey 32 × 32 PNG files of three classes, every file another: what all formats can hold.
fn source(dir: &Path, validation: bool) -> Splits {
    let splits = [("train", 12), ("val", if validation { 3 } else { 0 }), ("test", 6)];
    for (split, count) in splits {
        for number in 0..count {
            let path = dir.join(split).join(["ant", "bee", "cat"][number % 3]).join(format!("{number}.png"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let shade = |x: u32, y: u32| (x * 5 + y * 3 + number as u32 * 11 + count as u32) as u8;
            image::GrayImage::from_fn(32, 32, |x, y| image::Luma([shade(x, y)])).save(path).unwrap();
        }
    }
    open_path(dir).unwrap()
}

#[test]
fn every_format_to_every_other() {
    let dir = TempDir::new().unwrap();
    let first = source(&dir.path().join("source"), false);
    for (name, format) in Format::ALL {
        let folder = dir.path().join(name);
        assert_eq!(write(&first, &folder, format, &OPTIONS).unwrap(), 18);
        let written = open(&spec(&folder, format), &OpenOptions::default()).unwrap();
        let files = matches!(format, Format::Folder | Format::Parquet | Format::Wds);
        assert_same(&written, &first, files);
        for (other, second) in Format::ALL {
            let again = dir.path().join(format!("{name}-{other}"));
            write(&written, &again, second, &OPTIONS).unwrap();
            let read = open(&spec(&again, second), &OpenOptions::default()).unwrap();
            assert_same(&read, &first, false);
        }
    }
    // The folder alone, without its manifest, says the same.
    assert_same(&open_path(&dir.path().join("parquet-folder")).unwrap(), &first, true);
}

#[test]
fn validation_splits_and_names_with_slashes_are_kept() {
    let dir = TempDir::new().unwrap();
    let first = source(&dir.path().join("source"), true);
    for format in [Format::Folder, Format::Parquet, Format::Wds] {
        let folder = dir.path().join(format!("{format:?}"));
        write(&first, &folder, format, &OPTIONS).unwrap();
        assert_same(&open(&spec(&folder, format), &OpenOptions::default()).unwrap(), &first, true);
    }
    for format in [Format::Cifar, Format::Idx] {
        let folder = dir.path().join(format!("{format:?}"));
        assert_fails(write(&first, &folder, format, &OPTIONS), &["training and a test split"]);
    }

    let bundled = open("fashion-mnist-6k", &OpenOptions::default()).unwrap();
    let few = |dataset| -> std::sync::Arc<dyn Dataset> {
        std::sync::Arc::new(tallow_data::Subset::new(dataset, (0..150).collect()).unwrap())
    };
    let few = Splits { train: few(bundled.train), test: bundled.test.map(few), ..first };
    let few = Splits { validation: None, ..few };
    for format in [Format::Folder, Format::Parquet, Format::Wds, Format::Idx] {
        let folder = dir.path().join(format!("few {format:?}"));
        write(&few, &folder, format, &WriteOptions::default()).unwrap();
        let read = open(&spec(&folder, format), &OpenOptions::default()).unwrap();
        assert!(read.train.class_names().contains(&"T-shirt/top".to_owned()));
        assert_same(&read, &few, false);
    }
    assert_fails(write(&few, &dir.path().join("small"), Format::Cifar, &OPTIONS), &["32 × 32", "train/0", "28 × 28"]);
}

#[test]
fn what_a_manifest_says_is_kept_by_a_folder() {
    let dir = TempDir::new().unwrap();
    for name in ["a.png", "b.png"] {
        save_image(&dir.path().join(name), [9; 3]);
    }
    let manifest = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    for (name, text) in [
        ("several.csv", "path,labels,weight\na.png,x|y,2\nb.png,z,1\n"),
        ("soft.csv", "path,p_x,p_y,p_z\na.png,0.5,0.25,0.25\nb.png,0,0,1\n"),
    ] {
        let first = open_path(&manifest(name, text)).unwrap();
        let folder = dir.path().join(format!("of {name}"));
        write(&first, &folder, Format::Folder, &OPTIONS).unwrap();
        let read = open_path(&folder.join("manifest.csv")).unwrap();
        assert_eq!(read.train.is_multi_label(), first.train.is_multi_label());
        for (kind, format) in [("parquet", Format::Parquet), ("wds", Format::Wds)] {
            let lossy = write(&first, &dir.path().join(format!("{kind} of {name}")), format, &OPTIONS);
            assert_fails(lossy, &[kind, "one label per sample"]);
        }
        for index in 0..2 {
            assert_eq!(read.train.target(index), first.train.target(index));
            assert_eq!(read.train.weight(index), first.train.weight(index));
        }
    }
}

#[test]
fn what_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("s/train/x/1.png"), [1, 2, 3]);
    save_image(&dir.path().join("s/test/x/1.png"), [1, 2, 3]);
    let colour = open_path(&dir.path().join("s")).unwrap();
    let to = |name: &str| dir.path().join(name);
    assert_fails(write(&colour, &to("idx"), Format::Idx, &OPTIONS), &["idx", "grey", "x/1.png"]);
    assert_fails(write(&colour, &to("s"), Format::Wds, &OPTIONS), &["not empty"]);
    let none = WriteOptions { samples_per_file: 0 };
    assert_fails(write(&colour, &to("wds"), Format::Wds, &none), &["samples_per_file", "at least 1"]);
}

#[test]
fn the_shards_sampler_takes_shard_after_shard() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("shards");
    write(&source(dir.path(), false), &folder, Format::Wds, &OPTIONS).unwrap();
    let train = open(&spec(&folder, Format::Wds), &OpenOptions::default()).unwrap().train;
    let runs = train.runs().unwrap();
    assert!(runs.len() > 1, "{runs:?}");
    let labels = tallow_data::labels(train.as_ref());
    let order = |buffer, epoch| Sampler::Shards(buffer).order_of(train.as_ref(), &labels, 0, epoch);
    // Through a buffer of one sample each shard comes as it lies: only from shard to shard is there a step that is not
    // 1.
    let steps = order(1, 0).windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(steps < runs.len(), "{:?}", order(1, 0));
    let mut all = order(3, 1);
    assert_ne!(all, order(3, 2));
    all.sort();
    assert!(all.into_iter().eq(0..train.len()));

    let half = Subset::new(train.clone(), (0..train.len()).step_by(2).collect()).unwrap();
    let runs = half.runs().unwrap();
    assert_eq!(runs.iter().sum::<usize>(), half.len());
    assert_eq!(runs[0], train.runs().unwrap()[0].div_ceil(2));
    assert_eq!(Subset::new(train, vec![2, 0, 1]).unwrap().runs(), None);
}
