//! Which folders of a folder of images are splits, classes, or neither.

use std::fs;

use tallow_data::{Dataset, FolderLayout, OpenOptions, Result, Splits, open};
use tempfile::TempDir;

use crate::{assert_fails, assert_notes, open_path, save_image};

/// A folder with these images.
fn folder(files: &[&str]) -> TempDir {
    let dir = TempDir::new().unwrap();
    files.iter().for_each(|file| save_image(&dir.path().join("data").join(file), [0; 3]));
    dir
}

fn open_as(dir: &TempDir, folder_layout: FolderLayout) -> Result<Splits> {
    let path = dir.path().join("data");
    open(path.to_str().unwrap(), &OpenOptions { folder_layout, ..OpenOptions::default() })
}

/// The samples of the training, validation and test split.
fn counts(splits: &Splits) -> [usize; 3] {
    let count = |split: &Option<std::sync::Arc<dyn Dataset>>| split.as_ref().map_or(0, |split| split.len());
    [splits.train.len(), count(&splits.validation), count(&splits.test)]
}

#[test]
fn split_folders_have_their_usual_names_in_any_case() {
    for [train, validation, test] in [
        ["train", "val", "test"],
        ["Train", "Val", "Test"],
        ["TRAINING", "Validation", "TESTING"],
        ["training", "eval", "testing"],
        ["train", "dev", "Test"],
    ] {
        let in_split = |split: &str| ["a", "b"].map(|class| format!("{split}/{class}/1.png"));
        let files = [in_split(train), in_split(validation), in_split(test)].concat();
        let dir = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let splits = open_as(&dir, FolderLayout::Auto).unwrap();
        assert_eq!(splits.train.class_names(), ["a", "b"], "{train}");
        assert_eq!(counts(&splits), [2, 2, 2], "{train} {validation} {test}");
        assert!(splits.notes.is_empty(), "{:?}", splits.notes);
    }
    let two = folder(&["train/a/1.png", "train/b/1.png", "val/a/1.png", "Validation/a/1.png"]);
    assert_fails(open_as(&two, FolderLayout::Auto), &["val/", "Validation/", "both the validation split"]);
}

#[test]
fn the_only_folder_of_a_zip_archive_is_entered() {
    for files in [
        &["photos/cat/1.png", "photos/dog/1.png", "__MACOSX/photos/cat/._1.png"] as &[&str],
        &["archive/photos/cat/1.png", "archive/photos/dog/1.png"],
        &["photos/train/cat/1.png", "photos/train/dog/1.png"],
        &["train/train/cat/1.png", "train/train/dog/1.png"],
    ] {
        let dir = folder(files);
        let splits = open_as(&dir, FolderLayout::Auto).unwrap();
        assert_eq!(splits.train.class_names(), ["cat", "dog"], "{files:?}");
        assert_notes(&splits.notes, &["read from", "the only folder in"]);
    }
}

#[test]
fn a_class_may_have_the_name_of_a_split() {
    let dir = folder(&["train/1.png", "car/1.png", "bus/1.png"]);
    assert_eq!(open_as(&dir, FolderLayout::Auto).unwrap().train.class_names(), ["bus", "car", "train"]);

    // With folders in it, it may be a split as well.
    let dir = folder(&["train/steam/1.png", "train/diesel/1.png", "car/1.png", "bus/1.png"]);
    assert_fails(open_as(&dir, FolderLayout::Auto), &["train/", "bus/, car/", "`folder_layout`"]);
    let classes = open_as(&dir, FolderLayout::Classes).unwrap();
    assert_eq!((classes.train.class_names().len(), classes.train.len()), (3, 4));
    let splits = open_as(&dir, FolderLayout::Splits).unwrap();
    assert_eq!(splits.train.class_names(), ["diesel", "steam"]);
    assert_notes(&splits.notes, &["not taken", "car/", "1 images"]);

    let dir = folder(&["cat/1.png", "dog/1.png", "val/cat/1.png", "val/dog/1.png"]);
    assert_fails(open_as(&dir, FolderLayout::Auto), &["val/", "cat/, dog/"]);
}

#[test]
fn folders_that_are_not_taken_are_named() {
    let files = ["train/a/1.png", "train/b/1.png", "test/a/1.png", "extra/1.png", "extra/2.png", "train/loose.png"];
    let splits = open_as(&folder(&files), FolderLayout::Auto).unwrap();
    assert_eq!(counts(&splits), [2, 0, 1]);
    assert_notes(&splits.notes, &["not taken", "extra/", "2 images"]);
    assert_notes(&splits.notes, &["not taken", "1 images directly in", "train"]);

    // A test split without labels.
    let splits = open_as(&folder(&["train/a/1.png", "train/b/1.png", "test/1.png"]), FolderLayout::Auto).unwrap();
    assert_eq!(counts(&splits), [2, 0, 0]);
    assert_notes(&splits.notes, &["not taken", "test/", "no class folders"]);
}

#[test]
fn split_folders_without_classes_are_no_classes() {
    let dir = folder(&["train/1.png", "test/1.png"]);
    assert_fails(open_as(&dir, FolderLayout::Auto), &["train/", "test/", "manifest"]);
}

#[test]
fn one_class_is_an_error_in_training_that_names_the_folder_that_was_meant() {
    let dir = folder(&["cat/indoor/1.png", "dog/outdoor/1.png"]);
    let cat = dir.path().join("data/cat");
    let splits = open_path(&cat).unwrap();
    assert_notes(&splits.notes, &["one class only, `indoor`", "data was probably meant"]);
    assert_fails(splits.check_classes(cat.to_str().unwrap()), &["one class only, `indoor`", "data was probably meant"]);

    let dir = folder(&["cat/1.png", "dog/1.png"]);
    let inside = dir.path().join("data/cat");
    assert_fails(open_path(&inside), &["cat: expected class sub-folders", "data was probably meant"]);
    let splits = open_as(&dir, FolderLayout::Auto).unwrap();
    assert!(splits.check_classes("data").is_ok());
}

#[test]
fn metadata_beside_images_has_their_labels() {
    let metadata = |dir: &TempDir, name: &str, text: &str| {
        let path = dir.path().join("data").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // One file for the splits in its folder.
    let dir = folder(&["train/1.png", "train/2.png", "test/3.png"]);
    metadata(&dir, "metadata.csv", "file_name,label\ntrain/1.png,x\ntrain/2.png,y\ntest/3.png,x\n");
    let splits = open_as(&dir, FolderLayout::Auto).unwrap();
    assert_eq!(splits.train.class_names(), ["x", "y"]);
    assert_eq!(counts(&splits), [2, 0, 1]);
    assert_notes(&splits.notes, &["labels are those of", "metadata.csv"]);

    // One file for each split.
    let dir = folder(&["train/1.png", "train/2.png", "test/a/3.png"]);
    metadata(&dir, "train/metadata.csv", "file_name,label\n1.png,x\n2.png,y\n");
    metadata(&dir, "test/metadata.jsonl", "{\"file_name\": \"a/3.png\", \"label\": \"y\"}\n");
    save_image(&dir.path().join("data/train/more/4.png"), [0; 3]);
    let splits = open_as(&dir, FolderLayout::Auto).unwrap();
    assert_eq!((counts(&splits), splits.train.id(0)), ([2, 0, 1], "train/1.png".to_owned()));

    // Without labels it is said.
    let dir = folder(&["a/1.png", "b/1.png"]);
    metadata(&dir, "metadata.csv", "file_name,caption\na/1.png,one\n");
    let splits = open_as(&dir, FolderLayout::Auto).unwrap();
    assert_eq!(splits.train.class_names(), ["a", "b"]);
    assert_notes(&splits.notes, &["not taken", "metadata.csv"]);
}

#[test]
fn a_description_stops_at_nothing() {
    let dir = folder(&["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/bird/1.png"]);
    let empty = dir.path().join("data/train/empty");
    fs::create_dir(&empty).unwrap();
    assert_fails(open_as(&dir, FolderLayout::Auto), &["empty", "holds no image"]);
    let options = OpenOptions { describe: true, ..OpenOptions::default() };
    let splits = open(dir.path().join("data").to_str().unwrap(), &options).unwrap();
    assert_eq!(splits.train.class_names(), ["a", "b", "empty"]);
    assert_eq!(counts(&splits), [2, 0, 1]);
    assert_notes(&splits.notes, &["empty", "holds no image"]);
    assert_notes(&splits.notes, &["bird"]);
    assert_notes(&splits.warnings(), &["test split", "2 of 3 classes: b, empty"]);
}
