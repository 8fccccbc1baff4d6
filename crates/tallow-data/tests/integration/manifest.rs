//! CSV manifests.

use std::fs;

use tallow_data::{OpenOptions, Result, Splits};
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
        ("picture,label\na.png,1\n", &["line 1", "path, label", "found: picture, label"]),
        ("", &["line 1", "path, label"]),
        ("path,label\na.png,1\nb.png\n", &["line 3", "expected 2 columns", "found 1"]),
        ("path,label\na.png,1\nd.png,1\n", &["line 3", "no file", "d.png"]),
        ("path,label\na.png,\n", &["line 2", "must not be empty"]),
        ("path,label,split\na.png,1,holdout\n", &["line 2", "`holdout`"]),
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

#[test]
fn several_labels_a_sample() {
    let text = "path,labels,weight\na.png,dog|cat,\nb.png,,2\nsub/c.png,cat,0.5\n";
    let train = open_manifest(text).unwrap().train;
    assert_eq!(train.class_names(), ["cat", "dog"]);
    assert!(train.is_multi_label());
    assert_eq!((0..3).map(|i| train.target(i).unwrap()).collect::<Vec<_>>(), [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]);
    assert_eq!((0..3).map(|i| train.label(i)).collect::<Vec<_>>(), [1, 0, 0], "the first that is named");
    assert_eq!((0..3).map(|i| train.weight(i)).collect::<Vec<_>>(), [1.0, 2.0, 0.5]);
}

#[test]
fn soft_labels() {
    let text = "path,label,p_cat,p_dog\na.png,,0.25,0.75\nb.png,cat,0.2,0.805\nsub/c.png,dog,,\n";
    let train = open_manifest(text).unwrap().train;
    assert!(!train.is_multi_label());
    assert_eq!(train.target(0), Some(vec![0.25, 0.75]));
    let sum: f32 = train.target(1).unwrap().iter().sum();
    assert!((sum - 1.0).abs() < 1e-6, "rounded probabilities are made to add up");
    assert_eq!(train.target(2), None, "a plain label");
    assert_eq!((0..3).map(|i| train.label(i)).collect::<Vec<_>>(), [1, 0, 1]);
    let cases: &[(&str, &[&str])] = &[
        ("path,p_a,p_b\na.png,0.5,0.6\n", &["line 2", "add up to 1"]),
        ("path,p_a,p_b\na.png,-0.5,1.5\n", &["line 2", "0 or more", "`-0.5`"]),
        ("path,label,weight\na.png,x,heavy\n", &["line 2", "weight", "`heavy`"]),
        ("path,label,weight\na.png,x,inf\n", &["line 2", "weight"]),
    ];
    for (text, parts) in cases {
        assert_fails(open_manifest(text), parts);
    }
}

#[test]
fn json_lines() {
    let dir = TempDir::new().unwrap();
    for name in ["a.png", "b.png", "c.png"] {
        save_image(&dir.path().join(name), [7; 3]);
    }
    let path = dir.path().join("list.jsonl");
    let open = |text: &str| {
        fs::write(&path, text).unwrap();
        open_path(&path)
    };
    let train = open(
        "{\"path\": \"a.png\", \"label\": \"dog\", \"weight\": 2.5}\n\n\
         {\"file_name\": \"b.png\", \"labels\": [\"cat\", \"dog\"], \"split\": \"train\"}\n\
         {\"path\": \"c.png\", \"p_cat\": 0.5, \"p_dog\": 0.5}\n",
    );
    let train = train.unwrap().train;
    assert_eq!(train.class_names(), ["cat", "dog"]);
    assert_eq!((train.label(0), train.weight(0), train.target(0)), (1, 2.5, None));
    assert_eq!(train.target(1), Some(vec![1.0, 1.0]));
    assert_eq!(train.target(2), Some(vec![0.5, 0.5]));
    assert_fails(open("{\"path\": \"a.png\", \"label\": 3}\n[]\n"), &["line 2", "JSON object"]);
    assert_fails(open("{\"path\": \"a.png\"}\n"), &["line 1", "path, label", "found: path"]);
    assert_fails(open("{\"path\": \"a.png\", \"labels\": \"x\"}\n"), &["line 1", "array"]);
}

#[test]
fn groups_and_times() {
    let dir = TempDir::new().unwrap();
    let mut text = String::from("path,label,patient,taken\n");
    for i in 0..12 {
        save_image(&dir.path().join(format!("{i}.png")), [i as u8; 3]);
        text += &format!("{i}.png,{},p{},2024-0{}-01\n", i % 2, i / 3, 1 + (i * 5) % 9);
    }
    let path = dir.path().join("list.csv");
    fs::write(&path, text).unwrap();
    let with = |group: Option<&str>, time: Option<&str>| {
        let options = OpenOptions {
            validation_fraction: 0.25,
            group_column: group.map(String::from),
            time_column: time.map(String::from),
            ..OpenOptions::default()
        };
        tallow_data::open(path.to_str().unwrap(), &options)
    };
    let splits = with(Some("patient"), None).unwrap();
    let validation = splits.validation.unwrap();
    assert_eq!((splits.train.len(), validation.len()), (9, 3));
    let kept = tallow_data::groups(splits.train.as_ref()).unwrap();
    assert!(!kept.contains(&validation.group(0).unwrap()));

    let splits = with(None, Some("taken")).unwrap();
    let latest = tallow_data::times(splits.train.as_ref()).unwrap().into_iter().fold(f64::MIN, f64::max);
    let held_out = tallow_data::times(splits.validation.unwrap().as_ref()).unwrap();
    assert!(!held_out.is_empty() && held_out.iter().all(|time| *time > latest));

    assert_fails(with(Some("doctor"), None), &["line 1", "doctor", "group_column"]);
    assert_fails(with(Some("patient"), Some("taken")), &["time_column", "group_column"]);
    let options =
        OpenOptions { validation_fraction: 0.1, group_column: Some("patient".into()), ..OpenOptions::default() };
    assert_fails(tallow_data::open("fashion-mnist-6k", &options), &["group_column", "has no groups"]);
}
