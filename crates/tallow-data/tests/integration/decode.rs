//! Decoding: orientation, limits, damaged files.

use std::fs;
use std::path::{Path, PathBuf};

use tallow_data::decode::{MAX_FILE_BYTES, decode_bytes, decode_file};
use tempfile::TempDir;

use crate::{assert_fails, fixture, reference};

#[test]
fn exif_orientation_is_applied_as_pillow_does() {
    let image = decode_file(&fixture("oriented.jpg")).unwrap().into_rgb8();
    let expected = reference("oriented.json");
    let (width, height) = image.dimensions();
    assert_eq!(expected["width"], width);
    assert_eq!(expected["height"], height);
    let mut quarters = Vec::new();
    for y in [0, height / 2] {
        for x in [0, width / 2] {
            let mut sums = [0.0; 3];
            for (dy, dx) in (0..height / 2).flat_map(|dy| (0..width / 2).map(move |dx| (dy, dx))) {
                let pixel = image.get_pixel(x + dx, y + dy).0;
                (0..3).for_each(|c| sums[c] += f64::from(pixel[c]));
            }
            quarters.push(sums.map(|sum| sum / f64::from(height / 2 * (width / 2))));
        }
    }
    let expected: Vec<[f64; 3]> = serde_json::from_value(expected["quarters"].clone()).unwrap();
    for (found, expected) in quarters.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1.5, "{found} {expected}"); // decoders differ by a level
    }
}

/// An image with detail, so that its end matters, in the format of the extension.
fn detailed(dir: &Path, extension: &str) -> PathBuf {
    let path = dir.join(format!("x.{extension}"));
    image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y) as u8]))
        .save(&path)
        .unwrap();
    path
}

#[test]
fn truncated_files_of_every_format_are_named() {
    let dir = TempDir::new().unwrap();
    for extension in ["jpg", "png", "webp", "bmp", "gif", "tiff"] {
        let path = detailed(dir.path(), extension);
        let bytes = fs::read(&path).unwrap();
        assert!(decode_bytes(&bytes, &path).is_ok());
        for len in [0, 1, 20, bytes.len() / 2, bytes.len() * 9 / 10] {
            fs::write(&path, &bytes[..len]).unwrap();
            assert_fails(decode_file(&path), &[path.to_str().unwrap()]);
        }
    }
}

#[test]
fn garbage_in_any_byte_does_not_panic() {
    let dir = TempDir::new().unwrap();
    for extension in ["jpg", "png", "webp", "bmp", "gif", "tiff"] {
        let path = detailed(dir.path(), extension);
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len().min(600)).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xa5;
            let _ = decode_bytes(&damaged, &path);
        }
    }
}

#[test]
fn huge_images_are_refused_before_memory_is_taken() {
    // A BMP header that promises much; no pixels behind it.
    let bmp = |width: i32, height: i32| {
        let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend([1, 0, 24, 0]);
        bytes.extend([0; 24]);
        bytes
    };
    let path = Path::new("some/huge.bmp");
    for (width, height) in [(20_000, 10), (10, 20_000), (16_384, 16_384)] {
        assert_fails(decode_bytes(&bmp(width, height), path), &["some/huge.bmp", "too large"]);
    }

    let dir = TempDir::new().unwrap();
    let path = dir.path().join("sparse.png");
    fs::File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    assert_fails(decode_file(&path), &["sparse.png", "too large", "256 MB"]);
}

#[test]
fn what_is_not_an_image_file_is_named() {
    let dir = TempDir::new().unwrap();
    assert_fails(decode_file(&dir.path().join("gone.png")), &["cannot read", "gone.png"]);
    assert_fails(decode_file(dir.path()), &["not a regular file"]);
    assert_fails(decode_bytes(b"hello, world", Path::new("text.png")), &["text.png", "decoded"]);
}

#[test]
fn the_content_tells_the_format_and_not_the_name() {
    let dir = TempDir::new().unwrap();
    let png = detailed(dir.path(), "png");
    let renamed = dir.path().join("really-a-png.jpg");
    fs::rename(png, &renamed).unwrap();
    assert!(decode_file(&renamed).is_ok());
}
