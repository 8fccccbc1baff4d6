//! Files and members that are not taken are counted; missing files of a numbered set are refused.

use std::fs::File;
use std::path::Path;

use tallow_data::{Format, OpenOptions, Splits, WriteOptions, open, write};
use tempfile::TempDir;

use crate::{assert_fails, assert_notes, open_path, save_image};

/// Writes a tar archive with these members.
fn write_tar(path: &Path, members: &[(&str, &[u8])]) {
    let mut archive = tar::Builder::new(File::create(path).unwrap());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, *content).unwrap();
    }
    archive.finish().unwrap();
}

fn image() -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("x.jpg"), [9; 3]);
    std::fs::read(dir.path().join("x.jpg")).unwrap()
}

#[test]
fn extensions_in_shards_have_any_case() {
    let (dir, image) = (TempDir::new().unwrap(), image());
    let path = dir.path().join("mixed.tar");
    let members: Vec<(String, &[u8])> = ["JPEG", "jpg", "Jpg", "JPEG"]
        .iter()
        .enumerate()
        .flat_map(|(i, extension)| {
            let label: &[u8] = if i % 2 == 0 { b"0" } else { b"1" };
            [(format!("{i:04}.{extension}"), image.as_slice()), (format!("{i:04}.CLS"), label)]
        })
        .collect();
    let members: Vec<(&str, &[u8])> = members.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    write_tar(&path, &members);
    let splits = open_path(&path).unwrap();
    assert_eq!((splits.train.len(), splits.ignored_files), (4, 0));
    assert_eq!((0..4).map(|i| splits.train.label(i)).collect::<Vec<_>>(), [0, 1, 0, 1]);
    assert!(splits.notes.is_empty(), "{:?}", splits.notes);
}

#[test]
fn members_that_are_not_taken_are_counted() {
    let (dir, image) = (TempDir::new().unwrap(), image());
    let path = dir.path().join("x.tar");
    write_tar(
        &path,
        &[
            ("0.jpg", &image),
            ("0.cls", b"a"),
            ("1.heic", b"?"),
            ("1.cls", b"b"),
            ("README", b"hello"),
            ("._0.jpg", b"?"),
        ],
    );
    let splits = open_path(&path).unwrap();
    assert_eq!(splits.train.len(), 1);
    assert_notes(&splits.notes, &["1 samples without an image", "x.tar 1"]);
    assert_notes(&splits.notes, &["not read (.heic 1)"]);
    assert_notes(&splits.notes, &["1 file without the extension of an image (no extension 1)"]);

    let empty = dir.path().join("empty.tar");
    write_tar(&empty, &[("0.heic", b"?"), ("0.cls", b"a")]);
    assert_fails(open_path(&empty), &["empty.tar", "holds no images"]);
}

#[test]
fn files_in_folders_are_counted_by_extension() {
    let dir = TempDir::new().unwrap();
    for file in ["a/1.png", "b/1.png"] {
        save_image(&dir.path().join(file), [0; 3]);
    }
    for file in ["a/2.HEIC", "a/3.avif", "b/notes.txt", "b/more.txt", "list.csv"] {
        std::fs::write(dir.path().join(file), "").unwrap();
    }
    let splits = open_path(dir.path()).unwrap();
    assert_eq!(splits.ignored_files, 5);
    assert_notes(&splits.notes, &["2 files in image formats that are not read (.avif 1, .heic 1)", "convert"]);
    assert_notes(&splits.notes, &["3 files without the extension of an image (.txt 2, .csv 1)"]);
}

#[test]
fn missing_files_of_a_set_are_refused_unless_allowed() {
    let dir = TempDir::new().unwrap();
    for number in 0..12 {
        save_image(&dir.path().join(format!("s/{}/{number}.png", ["a", "b"][number % 2])), [0; 3]);
    }
    let source: Splits = open_path(&dir.path().join("s")).unwrap();
    for (format, lost, all) in [
        (Format::Parquet, "data/train-00001-of-00004.parquet", "data/*.parquet"),
        (Format::Wds, "train-000001.tar", "*.tar"),
    ] {
        let folder = dir.path().join(format!("{format:?}"));
        write(&source, &folder, format, &WriteOptions { samples_per_file: 3 }).unwrap();
        assert!(open_path(&folder).unwrap().notes.is_empty());
        std::fs::remove_file(folder.join(lost)).unwrap();
        let name = Path::new(lost).file_name().unwrap().to_str().unwrap();
        let pattern = folder.join(all).display().to_string();
        for spec in [folder.to_str().unwrap(), &pattern] {
            assert_fails(open(spec, &OpenOptions::default()), &["1 of 4 files are missing", name]);
            let allowed = OpenOptions { allow_missing_files: true, ..OpenOptions::default() };
            let splits = open(spec, &allowed).unwrap();
            assert_eq!(splits.train.len(), 9);
            assert_notes(&splits.notes, &["1 of 4 files are missing", name]);
        }
        // A file that is named alone is a choice.
        let first = folder.join(lost.replace("01", "00"));
        let splits = open(first.to_str().unwrap(), &OpenOptions::default()).unwrap();
        assert_notes(&splits.notes, &["files are missing"]);
    }
}
