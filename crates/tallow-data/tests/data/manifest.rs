//! CSV manifests.

use std::fs;

use tallow_data::{Result, Splits};
use tempfile::TempDir;

use crate::{assert_fails, open_path, save_image};

/// Opens a manifest beside the images a.png, b.png and sub/c.png.
fn open_manifest(text: &str) -> Result<Splits> {
    let dir = TempDir::new().unwrap();
    for name in ["a.png", "b.png", "sub/c.png"] {
        save_image(&dir.path().join(name), [7; 3]);
    }
    let path = dir.path().join("list.csv");
    fs::write(&path, text).unwrap();
    let splits = open_path(&path)?;
    splits.train.image(0)?; // read while the folder is there
    Ok(splits)
}

#[test]
fn columns_in_any_order_and_splits() {
    let text = "\u{feff}Label, split ,path,source\n\
                dog,train,a.png,x\n\
                \"a, b\",,b.png,x\n\
                dog,val,sub/c.png,x\n\
                dog,test,a.png,x\n";
    let splits = open_manifest(text).unwrap();
    assert_eq!(splits.train.class_names(), ["a, b", "dog"]);
    assert_eq!((splits.train.label(0), splits.train.label(1)), (1, 0));
    let validation = splits.validation.unwrap();
    assert_eq!((validation.id(0), validation.label(0)), ("sub/c.png".into(), 1));
    assert_eq!(splits.test.unwrap().len(), 1);

    let splits = open_manifest("path,label\na.png,10\nb.png,9\n").unwrap();
    assert_eq!(splits.train.class_names(), ["9", "10"]);
    assert!(splits.validation.is_none() && splits.test.is_none());
}

#[test]
fn wrong_manifests_are_named_with_the_line() {
    let cases: &[(&str, &[&str])] = &[
        ("file,label\na.png,1\n", &["line 1", "path, label", "found: file, label"]),
        ("", &["line 1", "path, label"]),
        ("path,label\na.png,1\nb.png\n", &["line 3", "expected 2 columns", "found 1"]),
        ("path,label\na.png,1\nd.png,1\n", &["line 3", "no file", "d.png"]),
        ("path,label\na.png,\n", &["line 2", "must not be empty"]),
        ("path,label,split\na.png,1,dev\n", &["line 2", "`dev`"]),
        ("path,label,split\na.png,1,test\n", &["no images", "train"]),
        ("path,label,split\na.png,1,\nb.png,2,test\n", &["line 3", "`2`", "(1)"]),
        ("path,label\n", &["no images"]),
    ];
    for (text, parts) in cases {
        assert_fails(open_manifest(text), &["list.csv"]);
        assert_fails(open_manifest(text), parts);
    }
}

#[test]
fn a_manifest_that_is_not_text_is_named() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("list.csv");
    fs::write(&path, b"path,label\n\xff\xfe,1\n").unwrap();
    assert_fails(open_path(&path), &["list.csv", "line 2", "UTF-8"]);
}
