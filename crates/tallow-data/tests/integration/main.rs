//! The public interface on small real files: sources, splits, loader and summary.

mod cache;
mod cifar;
mod convert;
mod convert_killed;
mod decode;
mod files_of_others;
mod folder;
mod folder_layouts;
mod hostile;
mod hub;
mod idx;
mod loader;
mod manifest;
mod manifest_files;
mod pixels;
mod preprocess;
mod scaled_jpeg;
mod stream;
mod summary;
mod untaken;
mod warnings;

use std::fs;
use std::path::{Path, PathBuf};

use tallow_data::{OpenOptions, Result, Splits, open};

/// Reads a recorded reference.
fn reference(name: &str) -> serde_json::Value {
    let text = fs::read_to_string(fixture(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data").join(name)
}

/// A file or folder that another library wrote.
fn others(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data_files").join(name)
}

/// Opens a folder or manifest with the default options.
fn open_path(path: &Path) -> Result<Splits> {
    open(path.to_str().unwrap(), &OpenOptions::default())
}

/// Opens a named dataset with its files in `data_dir`.
fn open_named(name: &str, data_dir: &Path) -> Result<Splits> {
    let options = OpenOptions { data_dir: Some(data_dir.into()), ..OpenOptions::default() };
    open(name, &options)
}

/// Asserts that the result is an error whose message contains all `parts`.
#[track_caller]
fn assert_fails<T>(result: Result<T>, parts: &[&str]) {
    let message = match result {
        Ok(_) => panic!("expected an error with {parts:?}"),
        Err(error) => error.to_string(),
    };
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

/// Saves a plain RGB image of 8 × 6 pixels (width × height), folders made as needed; the extension is the format.
fn save_image(path: &Path, colour: [u8; 3]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(8, 6, image::Rgb(colour)).save(path).unwrap();
}

/// Asserts that one of the notes contains all `parts`.
#[track_caller]
fn assert_notes(notes: &[String], parts: &[&str]) {
    let found = notes.iter().any(|note| parts.iter().all(|part| note.contains(part)));
    assert!(found, "{parts:?} are not in a note of {notes:#?}");
}
