//! JPEG files decoded at a smaller scale.

use std::path::Path;

use image::DynamicImage;
use tallow_data::decode::decode_file;
use tallow_data::{OpenOptions, open};
use tempfile::TempDir;

use crate::assert_fails;

/// The images of a folder, decoded to a short side of at least this many pixels.
fn drafted(root: &Path, short_side: u32) -> Vec<DynamicImage> {
    let options = OpenOptions { draft: Some(short_side), ..Default::default() };
    let train = open(root.to_str().unwrap(), &options).unwrap().train;
    (0..train.len()).map(|index| train.image(index).unwrap()).collect()
}

/// The mean level of each of 4 × 4 parts.
fn parts(image: &DynamicImage) -> Vec<f64> {
    let image = image.to_rgb8();
    let (width, height) = image.dimensions();
    let (mut sums, mut counts) = ([0.0; 48], [0.0; 48]);
    for (x, y, pixel) in image.enumerate_pixels() {
        let part = (y * 4 / height * 4 + x * 4 / width) as usize;
        for channel in 0..3 {
            sums[part * 3 + channel] += f64::from(pixel[channel]);
            counts[part * 3 + channel] += 1.0;
        }
    }
    sums.into_iter().zip(counts).map(|(sum, count)| sum / count).collect()
}

#[test]
fn the_smallest_scale_that_leaves_the_side_long_enough() {
    let root = TempDir::new().unwrap();
    std::fs::create_dir(root.path().join("a")).unwrap();
    let picture =
        image::RgbImage::from_fn(403, 302, |x, y| image::Rgb([(x / 2) as u8, (y / 2) as u8, ((x + y) / 4) as u8]));
    picture.save(root.path().join("a/x.jpg")).unwrap();
    picture.save(root.path().join("a/x.png")).unwrap();
    let whole = decode_file(&root.path().join("a/x.jpg")).unwrap();
    for (short_side, size) in [(1, (51, 38)), (38, (51, 38)), (39, (101, 76)), (77, (202, 151)), (152, (403, 302))] {
        let images = drafted(root.path(), short_side);
        assert_eq!((images[0].width(), images[0].height()), size, "to {short_side}");
        assert_eq!((images[1].width(), images[1].height()), (403, 302), "a PNG file is as it was");
        for (found, expected) in parts(&images[0]).into_iter().zip(parts(&whole)) {
            assert!((found - expected).abs() < 5.0, "to {short_side}: {found} {expected}");
        }
    }
    let zero = OpenOptions { draft: Some(0), ..Default::default() };
    assert_fails(open(root.path().to_str().unwrap(), &zero), &["draft", "at least 1"]);
}

#[test]
fn upright_and_grey_as_at_full_size_and_cmyk_as_it_is() {
    let pillow = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data_files/pillow");
    let names = ["orientation3.jpg", "orientation6.jpg", "orientation7.jpg", "grey.jpg", "progressive.jpg", "cmyk.jpg"];
    for name in names {
        let root = TempDir::new().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::copy(pillow.join(name), root.path().join("a").join(name)).unwrap();
        let whole = decode_file(&pillow.join(name)).unwrap();
        let short = whole.width().min(whole.height()).div_ceil(2);
        let draft = drafted(root.path(), short).remove(0);
        let scale = if name == "cmyk.jpg" { 1 } else { 2 };
        let size = (whole.width().div_ceil(scale), whole.height().div_ceil(scale));
        assert_eq!((draft.width(), draft.height()), size, "{name}");
        assert_eq!(draft.color().has_color(), whole.color().has_color(), "{name}");
        for (found, expected) in parts(&draft).into_iter().zip(parts(&whole)) {
            assert!((found - expected).abs() < 12.0, "{name}: {found} {expected}");
        }
    }
}

#[test]
fn a_damaged_file_is_the_error_that_it_is_at_full_size() {
    let root = TempDir::new().unwrap();
    std::fs::create_dir(root.path().join("a")).unwrap();
    let path = root.path().join("a/x.jpg");
    image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 0])).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let options = OpenOptions { draft: Some(8), ..Default::default() };
    let train = open(root.path().to_str().unwrap(), &options).unwrap().train;
    assert_fails(train.image(0), &["x.jpg"]);
}
