//! CIFAR-10 and CIFAR-100: unpacked files and archives.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

use crate::{assert_fails, open_named};

const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

/// A record whose red, green and blue planes count up from `first`, `first + 1` and `first + 2`.
fn record(labels: &[u8], first: u8) -> Vec<u8> {
    let plane = |p: u8| (0..1024u32).map(move |i| (i as u8).wrapping_add(first + p));
    let mut bytes = labels.to_vec();
    (0..3).for_each(|p| bytes.extend(plane(p)));
    bytes
}

/// One record a file, labelled as its position.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let numbered = FILES.iter().enumerate();
    numbered.map(|(i, name)| (*name, record(&[i as u8], 10 * i as u8))).collect()
}

fn write_unpacked(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in contents() {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// A tar.gz with a folder entry and a file that is not wanted, in reverse order.
fn archive(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    let mut entry = |name: &str, kind: u8, bytes: &[u8]| {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..136].copy_from_slice(format!("{:011o} ", bytes.len()).as_bytes());
        header[156] = kind;
        tar.extend(header);
        tar.extend(bytes);
        tar.resize(tar.len().next_multiple_of(512), 0);
    };
    entry("cifar-10-batches-bin/", b'5', &[]);
    entry("cifar-10-batches-bin/batches.meta.txt", b'0', &[b'x'; 700]);
    for (name, bytes) in files.iter().rev() {
        entry(&format!("cifar-10-batches-bin/{name}"), b'0', bytes);
    }
    tar.extend([0; 1024]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&tar).unwrap();
    encoder.finish().unwrap()
}

fn check_cifar10(data_dir: &Path) {
    let splits = open_named("cifar10", data_dir).unwrap();
    let test = splits.test.unwrap();
    assert_eq!((splits.train.len(), test.len()), (5, 1));
    assert_eq!((0..5).map(|i| splits.train.label(i)).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(test.class_names()[test.label(0)], "dog");
    let image = splits.train.image(2).unwrap().into_rgb8();
    assert_eq!(image.dimensions(), (32, 32));
    assert_eq!(image.get_pixel(0, 0).0, [20, 21, 22]);
    assert_eq!(image.get_pixel(5, 1).0, [57, 58, 59]);
    assert_eq!(splits.train.channels(), 3);
}

#[test]
fn unpacked_files_and_the_archive_give_the_same_images_in_the_same_order() {
    let dir = TempDir::new().unwrap();
    write_unpacked(&dir.path().join("cifar-10-batches-bin"));
    check_cifar10(dir.path());
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("cifar-10-binary.tar.gz"), archive(&contents())).unwrap();
    check_cifar10(dir.path());
}

#[test]
fn cifar100_has_its_fine_labels() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("train.bin"), record(&[19, 99], 0)).unwrap();
    fs::write(dir.path().join("test.bin"), record(&[3, 0], 0)).unwrap();
    let splits = open_named("cifar100", dir.path()).unwrap();
    let train = splits.train;
    assert_eq!(train.class_names().len(), 100);
    assert_eq!(train.class_names()[train.label(0)], "worm");
    assert_eq!(splits.test.unwrap().label(0), 0);
}

#[test]
fn damaged_files_are_named() {
    let dir = TempDir::new().unwrap();
    write_unpacked(dir.path());
    let path = dir.path().join("data_batch_2.bin");
    let message_of = |bytes: Vec<u8>, parts: &[&str]| {
        fs::write(&path, bytes).unwrap();
        let named = [&[path.to_str().unwrap()], parts].concat();
        assert_fails(open_named("cifar10", dir.path()), &named);
    };
    message_of(record(&[1], 0)[..3000].to_vec(), &["multiple of 3073", "found 3000"]);
    message_of(Vec::new(), &["found 0 bytes"]);
    message_of(record(&[10], 0), &["sample 0", "from 0 to 9", "found 10"]);
    fs::remove_file(&path).unwrap();
    assert_fails(open_named("cifar10", dir.path()), &["cannot read", "data_batch_2.bin"]);
}

#[test]
fn a_damaged_archive_is_named() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("cifar-10-binary.tar.gz");
    let whole = archive(&contents());
    let message_of = |bytes: &[u8], part: &str| {
        fs::write(&path, bytes).unwrap();
        assert_fails(open_named("cifar10", dir.path()), &[path.to_str().unwrap(), part]);
    };
    for len in [20, whole.len() / 3, whole.len() / 2] {
        message_of(&whole[..len], "truncated");
    }
    message_of(&archive(&contents()[1..]), "data_batch_1.bin");
    message_of(&[b'<'; 2000], "without a size");
}
