//! Files that were made to fill the memory: what is taken is bounded by the size of the file.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use tallow_data::decode::decode_bytes;
use tallow_data::summary;
use tempfile::TempDir;

use crate::{assert_fails, open_path, save_image};

/// The most memory that this process has held at once, in MB.
#[cfg(target_os = "linux")]
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// A PNG chunk.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
}

#[test]
fn compressed_metadata_of_png_files_are_not_expanded() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("x.png");
    save_image(&path, [1, 2, 3]);
    let plain = fs::read(&path).unwrap();
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    (0..1024).for_each(|_| packed.write_all(&zeros).unwrap());
    let packed = packed.finish().unwrap();
    let profile = chunk(b"iCCP", &[b"icc\0\0", packed.as_slice()].concat());
    let text = chunk(b"zTXt", &[b"key\0\0", packed.as_slice()].concat());
    // Behind the header, of 25 bytes, and before the pixels.
    let bomb = [&plain[..33], &profile, &text, &plain[33..]].concat();
    #[cfg(target_os = "linux")]
    let before = peak_mb();
    let image = decode_bytes(&bomb, &path).unwrap();
    assert_eq!(image, decode_bytes(&plain, &path).unwrap());
    #[cfg(target_os = "linux")]
    assert!(peak_mb() < before + 500, "{} MB, then {} MB", before, peak_mb());
    // A chunk that says it is longer than the file is left to the decoder.
    let cut = [&plain[..33], &[0xff, 0xff, 0xff, 0xff], b"iCCP".as_slice(), &[0; 20]].concat();
    assert_fails(decode_bytes(&cut, &path), &["x.png"]);
}

#[test]
fn idx_files_hold_no_more_than_their_header_and_their_size_say() {
    let dir = TempDir::new().unwrap();
    let header = |dims: &[u32]| {
        let mut header = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|dim| header.extend(dim.to_be_bytes()));
        header
    };
    let gz = |name: &str, parts: &[&[u8]]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        parts.iter().for_each(|part| packed.write_all(part).unwrap());
        fs::write(dir.path().join(name), packed.finish().unwrap()).unwrap();
    };
    let images = "train-images-idx3-ubyte.gz";
    gz("train-labels-idx1-ubyte.gz", &[&header(&[1]), &[0]]);
    // A short file whose header says 3.9 GB, and one that holds as much as it says, in a thousandth of the bytes.
    gz(images, &[&header(&[5_000_000, 28, 28]), &[0; 784]]);
    assert_fails(open_path(dir.path()), &[images, "5000000, 28, 28", "in this compressed file"]);
    let zeros = vec![0; 1 << 20];
    let parts: Vec<&[u8]> = std::iter::repeat_n(zeros.as_slice(), 200).collect();
    gz(images, &[[header(&[200, 1024, 1024]).as_slice()].as_slice(), &parts].concat());
    assert_fails(open_path(dir.path()), &[images, "200, 1024, 1024", "in this compressed file"]);

    // Not compressed: the length of the file decides before anything is read.
    fs::remove_file(dir.path().join(images)).unwrap();
    let plain = dir.path().join("train-images-idx3-ubyte");
    fs::write(&plain, [header(&[5_000_000, 28, 28]), vec![0; 784]].concat()).unwrap();
    assert_fails(open_path(dir.path()), &["train-images-idx3-ubyte", "expected 3920000016", "found 800 bytes"]);
}

#[test]
fn class_names_of_any_length_are_printed() {
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("a.png"), [0; 3]);
    let long = "x".repeat(70_000);
    fs::write(dir.path().join("list.csv"), format!("path,label\na.png,{long}\n./a.png,y\n")).unwrap();
    let splits = open_path(&dir.path().join("list.csv")).unwrap();
    let text = summary(splits.train.as_ref(), tallow_data::OnCorrupt::Stop).unwrap().to_string();
    assert!(text.len() < 1000 && text.contains("xxx…"), "{} characters", text.len());
    assert!(splits.warnings().iter().all(|warning| warning.len() < 2000));
}
