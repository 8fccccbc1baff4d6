//! Manifests as other tools write them: names of columns and files, delimiters, encodings, one-hot labels; missing and
//! repeated files.

use std::fs;
use std::path::PathBuf;

use tallow_data::{OnCorrupt, OpenOptions, Result, Splits, open};
use tempfile::TempDir;

use crate::{assert_fails, assert_notes, save_image};

/// Opens the manifest `name` beside the images a.png, b.jpg and sub/c.png.
fn open_bytes(name: &str, bytes: &[u8], options: &OpenOptions) -> Result<Splits> {
    let dir = TempDir::new().unwrap();
    ["a.png", "b.jpg", "sub/c.png"].iter().for_each(|name| save_image(&dir.path().join(name), [7; 3]));
    let path: PathBuf = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    open(path.to_str().unwrap(), options)
}

fn open_text(text: &str) -> Result<Splits> {
    open_bytes("list.csv", text.as_bytes(), &OpenOptions::default())
}

fn labels(splits: &Splits) -> Vec<String> {
    let train = &splits.train;
    (0..train.len()).map(|i| format!("{} {}", train.id(i), train.class_names()[train.label(i)])).collect()
}

const EXPECTED: [&str; 3] = ["a.png dog", "b.jpg cat", "sub/c.png dog"];

#[test]
fn usual_names_delimiters_and_ways_to_write_paths() {
    for text in [
        "path,label\na.png,dog\nb.jpg,cat\nsub/c.png,dog\n",
        "filename,class\na.png,dog\nb.jpg,cat\nsub/c.png,dog\n",
        "Image,Target\na.png,dog\nb.jpg,cat\nsub/c.png,dog\n",
        "file;category\na.png;dog\nb.jpg;cat\nsub/c.png;dog\n",
        "image_id\tlabel\na\tdog\nb\tcat\nsub/c\tdog\n",
        "id,class_name\na,dog\nb,cat\nsub\\c,dog\n",
        "File Path,label\na.png,dog\nb.jpg,cat\nsub\\c.png,dog\n",
        "image,cat,dog\na.png,0,1\nb.jpg,1,0\nsub/c.png,0,1.0\n",
    ] {
        assert_eq!(labels(&open_text(text).unwrap()), EXPECTED, "{text}");
    }
    assert_notes(&open_text("id,label\na,x\nb,y\n").unwrap().notes, &["2 paths have no extension"]);
    assert_notes(&open_text("id,label\nsub\\c.png,x\nb,y\n").unwrap().notes, &["1 paths have back slashes"]);
    assert_notes(&open_text("path,label,class\na.png,x,1\n").unwrap().notes, &["column label", "not taken: class"]);
    let tsv = open_bytes("list.tsv", b"path\tlabel\na.png\tx, y\n", &OpenOptions::default()).unwrap();
    assert_eq!(labels(&tsv), ["a.png x, y"]);
    assert_fails(open_text("path,caption\na.png,x\n"), &["line 1", "found: path, caption", "label_column"]);
}

#[test]
fn names_of_columns_can_be_given() {
    let text = "picture,breed,part,worth\na.png,dog,train,2\nb.jpg,dog,eval,1\nsub/c.png,cat,,1\n";
    let name = |name: &str| Some(name.to_owned());
    let options = OpenOptions {
        image_column: name("picture"),
        label_column: name("Breed"),
        split_column: name("part"),
        weight_column: name("worth"),
        ..OpenOptions::default()
    };
    let splits = open_bytes("list.csv", text.as_bytes(), &options).unwrap();
    assert_eq!((splits.train.len(), splits.validation.unwrap().len()), (2, 1));
    assert_eq!(splits.train.class_names(), ["cat", "dog"]);
    assert_eq!((splits.train.weight(0), splits.train.weight(1)), (2.0, 1.0));
}

#[test]
fn columns_that_are_named_must_exist() {
    let options = OpenOptions { label_column: Some("species".into()), ..OpenOptions::default() };
    let opened = open_bytes("list.csv", b"path,label\na.png,x\n", &options);
    assert_fails(opened, &["expected the column species, named by label_column", "found: path, label"]);
}

#[test]
fn several_labels_are_separated_by_what_is_said() {
    let text = "path,tags\na.png,red;big\nb.jpg,red\n";
    let options =
        OpenOptions { label_column: Some("tags".into()), label_separator: Some(";".into()), ..OpenOptions::default() };
    let splits = open_bytes("list.csv", text.as_bytes(), &options).unwrap();
    assert!(splits.train.is_multi_label());
    assert_eq!(splits.train.class_names(), ["big", "red"]);
    assert_notes(&splits.notes, &["separated by `;`"]);

    let splits = open_text("path,labels\na.png,red big\nb.jpg,red\n").unwrap();
    assert_notes(&splits.notes, &["separated by `|`"]);
    assert_notes(&splits.notes, &["1 contain ` `", "label_separator"]);

    let splits = open_text("path,red,big,blurred\na.png,1,1,0\nb.jpg,0,0,0\n").unwrap();
    assert!(splits.train.is_multi_label());
    assert_eq!(splits.train.target(0), Some(vec![1.0, 0.0, 1.0]), "{:?}", splits.train.class_names());
    assert_notes(&splits.notes, &["columns of 0 and 1, several classes"]);
}

#[test]
fn other_encodings_are_named() {
    let utf16: Vec<u8> = "path,label\na.png,x\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let options = OpenOptions::default();
    let marked = [&[0xff, 0xfe], utf16.as_slice()].concat();
    for bytes in [&utf16, &marked] {
        assert_fails(open_bytes("list.csv", bytes, &options), &["list.csv", "UTF-16", "iconv -f UTF-16"]);
    }
    let latin1 = open_bytes("list.csv", b"path,label\na.png,caf\xe9\n", &options);
    assert_fails(latin1, &["line 2", "0xe9", "Latin-1", "iconv"]);
    assert_fails(open_bytes("list.jsonl", b"{\"path\": \"\xe9\"}\n", &options), &["line 1", "Latin-1"]);
    assert_eq!(labels(&open_text("\u{feff}path,label\na.png,café\n").unwrap()), ["a.png café"]);
}

#[test]
fn all_missing_files_are_counted() {
    let mut text = "path,label\na.png,x\nb.jpg,y\n".to_owned();
    (0..14).for_each(|i| text += &format!("gone{i}.png,x\n"));
    let error = open_text(&text).map(|_| ()).unwrap_err().to_string();
    for part in ["14 of 16 lines", "line 4: gone0.png", "line 13: gone9.png", "relative to the manifest's folder"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("gone10"), "{error}");

    for options in [
        OpenOptions { on_corrupt: OnCorrupt::Skip, ..OpenOptions::default() },
        OpenOptions { describe: true, ..OpenOptions::default() },
    ] {
        let splits = open_bytes("list.csv", text.as_bytes(), &options).unwrap();
        assert_eq!(splits.train.len(), 2);
        assert_notes(&splits.notes, &["14 of 16 lines", "gone0.png"]);
    }
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("a.png"), [7; 3]);
    save_image(&dir.path().join("a.jpg"), [7; 3]);
    let path = dir.path().join("list.csv");
    fs::write(&path, "path,label\na,x\n").unwrap();
    assert_fails(open(path.to_str().unwrap(), &OpenOptions::default()), &["line 2", "a.jpg, a.png"]);
}

#[test]
fn files_that_are_listed_twice_are_reported() {
    let text = "path,label,split\na.png,x,train\n./a.png,y,train\nb.jpg,y,train\nsub/../b.jpg,y,test\nsub/c.png,x,\n\
                sub/c.png,x,\n";
    let splits = open_text(text).unwrap();
    assert_notes(&splits.notes, &["1 times the same file with two labels", "a.png (lines 2 and 3)"]);
    assert_notes(&splits.notes, &["1 times the same file in two splits", "b.jpg (lines 4 and 5)"]);
    assert_notes(&splits.notes, &["1 times the same file again", "sub/c.png (lines 6 and 7)"]);
    assert!(open_text("path,label\na.png,x\nb.jpg,y\n").unwrap().notes.is_empty());
}

#[test]
fn folders_of_splits_without_a_split_column_are_noted() {
    let dir = TempDir::new().unwrap();
    ["train/a.png", "test/b.png"].iter().for_each(|name| save_image(&dir.path().join(name), [7; 3]));
    let path = dir.path().join("list.csv");
    fs::write(&path, "path,label\ntrain/a.png,x\ntest/b.png,y\n").unwrap();
    let splits = open(path.to_str().unwrap(), &OpenOptions::default()).unwrap();
    assert_eq!(splits.train.len(), 2);
    assert_notes(&splits.notes, &["no column split", "also 1 in folders"]);
}
