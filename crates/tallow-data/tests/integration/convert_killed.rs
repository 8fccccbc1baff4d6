//! A dataset that is written appears complete or not at all.

use std::fs;

use tallow_data::{Format, Splits, WriteOptions, write};
use tempfile::TempDir;

use crate::{assert_fails, open_path, save_image};

fn source(dir: &TempDir) -> Splits {
    for file in ["train/a/1.png", "train/b/1.png", "train/a/2.png", "test/a/1.png"] {
        save_image(&dir.path().join("s").join(file), [5; 3]);
    }
    open_path(&dir.path().join("s")).unwrap()
}

fn names(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_a_killed_process_left_is_not_read_and_not_in_the_way() {
    let dir = TempDir::new().unwrap();
    let source = source(&dir);
    for (name, format) in [("folder", Format::Folder), ("parquet", Format::Parquet), ("wds", Format::Wds)] {
        let to = dir.path().join(name);
        let partial = dir.path().join(format!(".{name}.partial"));
        fs::create_dir_all(partial.join("data")).unwrap();
        fs::write(partial.join("data/train-00000-of-00009.parquet"), "half").unwrap();
        fs::write(partial.join("train-000009.tar"), "half").unwrap();
        assert_fails(open_path(&to), &[name]);
        write(&source, &to, format, &WriteOptions { samples_per_file: 2 }).unwrap();
        assert!(!partial.exists());
        assert_eq!(open_path(&to).unwrap().train.len(), 3);
        assert!(fs::read_dir(&to).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().starts_with('.')));
    }
}

#[test]
fn a_failed_write_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let source = source(&dir);
    let before = names(&dir);
    let to = dir.path().join("idx");
    // The images have colours.
    save_image(&dir.path().join("s/train/a/2.png"), [1, 2, 3]);
    assert_fails(write(&source, &to, Format::Idx, &WriteOptions::default()), &["grey"]);
    assert_eq!(names(&dir), before);
    // An empty folder is taken, one with files is not.
    fs::create_dir(&to).unwrap();
    write(&source, &to, Format::Folder, &WriteOptions::default()).unwrap();
    assert_fails(write(&source, &to, Format::Folder, &WriteOptions::default()), &["not empty"]);
}

#[test]
fn two_writers_do_not_share_a_folder() {
    let dir = TempDir::new().unwrap();
    let source = source(&dir);
    let partial = dir.path().join(".out.partial");
    fs::create_dir(&partial).unwrap();
    let lock = fs::File::create(partial.join(".lock")).unwrap();
    lock.lock().unwrap();
    let to = dir.path().join("out");
    assert_fails(write(&source, &to, Format::Wds, &WriteOptions::default()), &["another process writes it"]);
    drop(lock);
    write(&source, &to, Format::Wds, &WriteOptions::default()).unwrap();
}

#[cfg(unix)]
#[test]
fn file_modes_follow_the_umask() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let source = source(&dir);
    for (name, format) in Format::ALL {
        if format == Format::Cifar {
            continue; // the images have another size
        }
        let to = dir.path().join(name);
        write(&source, &to, format, &WriteOptions::default()).unwrap();
        let mut folders = vec![to];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                match path.is_dir() {
                    true => folders.push(path),
                    false => assert_eq!(mode(&path), mode(&plain), "{}", path.display()),
                }
            }
        }
    }
}
