//! Folders of images: layouts, class orders and errors.

use std::fs;
use std::path::Path;

use tallow_data::{ClassOrder, Dataset, OpenOptions, class_counts, open};
use tempfile::TempDir;

use crate::{assert_fails, open_path, save_image};

fn ids(dataset: &dyn Dataset) -> Vec<String> {
    (0..dataset.len()).map(|i| dataset.id(i)).collect()
}

#[test]
fn a_class_a_sub_folder_in_natural_order() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    for (file, colour) in [
        ("class 10/b.png", [1, 2, 3]),
        ("class 2/img10.png", [10, 0, 0]),
        ("class 2/img2.BMP", [2, 0, 0]),
        ("class 2/deep/er/x.gif", [0, 0, 0]),
    ] {
        save_image(&root.join(file), colour);
    }
    for file in ["readme.md", "class 2/notes.txt", "class 2/.hidden.png"] {
        fs::write(root.join(file), "not an image").unwrap();
    }
    fs::create_dir(root.join(".git")).unwrap();

    let splits = open_path(root).unwrap();
    let train = splits.train.as_ref();
    assert_eq!(train.class_names(), ["class 2", "class 10"]);
    assert_eq!(ids(train), ["class 2/deep/er/x.gif", "class 2/img2.BMP", "class 2/img10.png", "class 10/b.png"]);
    assert_eq!(class_counts(train), [3, 1]);
    assert_eq!(splits.ignored_files, 3);
    assert_eq!(train.image(2).unwrap().into_rgb8().get_pixel(0, 0).0, [10, 0, 0]);
    assert_eq!(train.channels(), 3);

    let lexical = OpenOptions { class_order: ClassOrder::Lexical, ..OpenOptions::default() };
    let train = open(root.to_str().unwrap(), &lexical).unwrap().train;
    assert_eq!(train.class_names(), ["class 10", "class 2"]);
    assert_eq!(train.class_names()[train.label(0)], "class 10");
}

#[test]
fn every_format_is_read() {
    let dir = TempDir::new().unwrap();
    for extension in ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"] {
        save_image(&dir.path().join(format!("c/x.{extension}")), [250, 5, 5]);
    }
    let train = open_path(dir.path()).unwrap().train;
    assert_eq!(train.len(), 8);
    for index in 0..8 {
        let image = train.image(index).unwrap().into_rgb8();
        assert_eq!(image.dimensions(), (8, 6));
        let [r, g, b] = image.get_pixel(4, 3).0;
        assert!(r > 240 && g < 15 && b < 15, "{}: {r} {g} {b}", train.id(index));
    }
}

fn write_splits(root: &Path, validation: &str) {
    for file in ["train/a/1.png", "train/b/1.png", "test/a/1.png"] {
        save_image(&root.join(file), [0; 3]);
    }
    save_image(&root.join(validation).join("b/1.png"), [0; 3]);
}

#[test]
fn given_splits_share_the_training_classes() {
    for validation in ["val", "valid", "validation"] {
        let dir = TempDir::new().unwrap();
        write_splits(dir.path(), validation);
        let options = OpenOptions {
            validation_fraction: 0.5, // no effect: there is one
            ..OpenOptions::default()
        };
        let splits = open(dir.path().to_str().unwrap(), &options).unwrap();
        let given = splits.validation.unwrap();
        assert_eq!(splits.train.len(), 2);
        assert_eq!((given.len(), given.label(0)), (1, 1));
        assert_eq!(given.id(0), format!("{validation}/b/1.png"));
        assert_eq!(splits.test.unwrap().class_names(), ["a", "b"]);
    }
}

#[test]
fn a_class_may_be_called_train() {
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("train/1.png"), [0; 3]);
    save_image(&dir.path().join("car/1.png"), [0; 3]);
    let train = open_path(dir.path()).unwrap().train;
    assert_eq!(train.class_names(), ["car", "train"]);
}

#[test]
fn a_run_s_classes_fix_the_labels() {
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("dog/1.png"), [0; 3]);
    let with = |classes: &[&str]| {
        let options =
            OpenOptions { classes: Some(classes.iter().map(|c| c.to_string()).collect()), ..OpenOptions::default() };
        open(dir.path().to_str().unwrap(), &options)
    };
    assert_eq!(with(&["fox", "dog", "cat"]).unwrap().train.label(0), 1);
    let folder = dir.path().join("dog");
    assert_fails(with(&["fox", "cat"]), &[folder.to_str().unwrap(), "`dog`", "fox, cat"]);
}

#[test]
fn wrong_folders_are_named() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    let missing = root.join("missing");
    assert_fails(open_path(&missing), &[missing.to_str().unwrap(), "neither"]);
    assert_fails(open_path(root), &[root.to_str().unwrap(), "class sub-folders"]);

    save_image(&root.join("flat.png"), [0; 3]);
    assert_fails(open_path(root), &[root.to_str().unwrap(), "class sub-folders"]);

    save_image(&root.join("cat/1.png"), [0; 3]);
    let empty = root.join("dog");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("notes.txt"), "").unwrap();
    assert_fails(open_path(root), &[empty.to_str().unwrap(), "no image", "webp"]);
}

#[test]
fn wrong_splits_are_named() {
    let dir = TempDir::new().unwrap();
    write_splits(dir.path(), "val");
    save_image(&dir.path().join("test/bird/1.png"), [0; 3]);
    assert_fails(open_path(dir.path()), &["test/bird", "`bird`", "a, b"]);

    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("val/a/1.png"), [0; 3]);
    assert_fails(open_path(dir.path()), &[dir.path().to_str().unwrap(), "train/"]);

    let dir = TempDir::new().unwrap();
    write_splits(dir.path(), "val");
    fs::remove_dir_all(dir.path().join("test/a")).unwrap();
    assert_fails(open_path(dir.path()), &["test", "no images"]);
}
