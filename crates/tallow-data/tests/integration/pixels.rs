//! Pixels that are not 8-bit RGB: 16 bits, floats, palettes, alpha; and formats that are not read.

use std::path::Path;

use image::{DynamicImage, ImageBuffer, Luma, LumaA};
use tallow_augment::{Image8, PixelRule};
use tallow_data::decode::{decode_bytes, decode_file};
use tallow_data::{OnCorrupt, OpenOptions, measure, open};
use tempfile::TempDir;
use tiff::encoder::{TiffEncoder, colortype};
use tiff::tags::Tag;

use crate::{assert_fails, assert_notes, open_path, save_image};

fn save(path: &Path, image: &DynamicImage) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save(path).unwrap();
}

#[test]
fn the_bit_depth_applies_to_samples_statistics_and_the_cache() {
    let dir = TempDir::new().unwrap();
    let levels = |x: u32, y: u32| Luma([(x * 64 + y) as u16]); // 0 to 4095
    for class in ["a", "b"] {
        save(&dir.path().join(class).join("1.png"), &ImageBuffer::from_fn(64, 64, levels).into());
    }
    let spec = dir.path().to_str().unwrap();
    let distinct = |options: &OpenOptions| {
        let train = open(spec, options).unwrap().train;
        let mut values = Image8::from_dynamic(train.image(0).unwrap(), 1).unwrap().data().to_vec();
        values.sort();
        values.dedup();
        (values.len(), measure(train.as_ref(), OnCorrupt::Stop).unwrap().mean[0])
    };
    let plain = OpenOptions::default();
    let rule = PixelRule { bit_depth: Some(12), background: None };
    let scaled = OpenOptions { pixel_rule: rule, ..OpenOptions::default() };
    let (few, all) = (distinct(&plain), distinct(&scaled));
    assert_eq!((few.0, all.0), (16, 256));
    assert!((all.1 - 0.5).abs() < 1e-3 && few.1 < 0.04, "{few:?} {all:?}");
    // Each rule has a cache of its own.
    let cached = |options: &OpenOptions| OpenOptions { cache: Some(dir.path().join(".cache")), ..options.clone() };
    for _ in 0..2 {
        assert_eq!((distinct(&cached(&plain)), distinct(&cached(&scaled))), (few, all));
    }
    assert_notes(&open_path(dir.path()).unwrap().warnings(), &["up to 4095 of 65535", "data.bit_depth = 12"]);
    assert!(!open(spec, &scaled).unwrap().warnings().iter().any(|warning| warning.contains("bit_depth")));
    let wrong = PixelRule { bit_depth: Some(7), background: None };
    assert_fails(open(spec, &OpenOptions { pixel_rule: wrong, ..plain }), &["`bit_depth`", "8 to 16", "found 7"]);
}

#[test]
fn alpha_that_carries_the_shape_is_noticed_and_blended() {
    let dir = TempDir::new().unwrap();
    let shape = |x: u32, _: u32| LumaA([0u8, if x < 4 { 255 } else { 0 }]);
    for class in ["a", "b"] {
        save(&dir.path().join(class).join("1.png"), &ImageBuffer::from_fn(8, 8, shape).into());
    }
    let splits = open_path(dir.path()).unwrap();
    assert_notes(&splits.warnings(), &["2 of 2 images", "alpha carries the shape", "data.background"]);
    let rule = PixelRule { bit_depth: None, background: Some([255; 3]) };
    let options = OpenOptions { pixel_rule: rule, ..OpenOptions::default() };
    let splits = open(dir.path().to_str().unwrap(), &options).unwrap();
    let image = Image8::from_dynamic(splits.train.image(0).unwrap(), 1).unwrap();
    assert_eq!(image.row(0), [0, 0, 0, 0, 255, 255, 255, 255]);
    assert!(!splits.warnings().iter().any(|warning| warning.contains("background")));
}

#[test]
fn grey_floats_in_tiff_files_are_read() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, values: &[f32]| {
        let path = dir.path().join(name);
        let mut encoder = TiffEncoder::new(std::fs::File::create(&path).unwrap()).unwrap();
        encoder.write_image::<colortype::Gray32Float>(2, 2, values).unwrap();
        path
    };
    let unit = decode_file(&write("unit.tif", &[0.0, 0.25, 0.5, 1.0])).unwrap();
    assert_eq!(Image8::from_dynamic(unit, 1).unwrap().data(), [0, 64, 128, 255]);
    let wide = decode_file(&write("wide.tif", &[0.0, 100.0, 2048.0, 4095.0])).unwrap();
    let refused = Image8::from_dynamic(wide.clone(), 1).unwrap_err().to_string();
    assert!(refused.contains("4095") && refused.contains("data.bit_depth"), "{refused}");
    let scaled = PixelRule { bit_depth: Some(12), background: None }.apply(wide);
    assert_eq!(Image8::from_dynamic(scaled, 1).unwrap().data(), [0, 6, 128, 255]);
}

#[test]
fn palettes_in_tiff_files_are_read() {
    let mut file = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut file).unwrap();
    let mut image = encoder.new_image::<colortype::Gray8>(3, 1).unwrap();
    let mut colours = vec![0u16; 3 * 256];
    for (index, colour) in [[255, 0, 0], [0, 128, 0], [1, 2, 3]].into_iter().enumerate() {
        (0..3).for_each(|channel| colours[256 * channel + index] = colour[channel] * 257);
    }
    image.encoder().write_tag(Tag::ColorMap, colours.as_slice()).unwrap();
    image.encoder().write_tag(Tag::PhotometricInterpretation, 3u16).unwrap();
    image.write_data(&[0, 1, 2]).unwrap();
    let bytes = file.into_inner();
    let image = decode_bytes(&bytes, Path::new("p.tif")).unwrap().into_rgb8();
    assert_eq!(image.as_raw(), &[255, 0, 0, 0, 128, 0, 1, 2, 3]);
    for length in 0..bytes.len() {
        assert!(decode_bytes(&bytes[..length], Path::new("p.tif")).is_err() || length > 8);
    }
}

#[test]
fn formats_that_are_not_read_are_named() {
    for (start, name) in [
        (b"\0\0\0\x20ftypavif\0\0\0\0".as_slice(), "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC"),
        (b"\xff\x0a\0\0\0\0\0\0\0\0", "JPEG XL"),
        (b"8BPS\0\x01\0\0\0\0\0\0", "Photoshop"),
        (b"P6\n2 2\n255\n\0\0\0", "PNM"),
    ] {
        assert_fails(decode_bytes(start, Path::new("x.jpg")), &["x.jpg", name, "convert", "magick"]);
    }
}

#[test]
fn images_of_eight_bits_are_not_converted() {
    let dir = TempDir::new().unwrap();
    save_image(&dir.path().join("a/1.png"), [7; 3]);
    save_image(&dir.path().join("b/1.png"), [9; 3]);
    let rule = PixelRule { bit_depth: Some(12), background: Some([255; 3]) };
    let options = OpenOptions { pixel_rule: rule, ..OpenOptions::default() };
    let train = open(dir.path().to_str().unwrap(), &options).unwrap().train;
    assert_eq!(train.image(0).unwrap(), open_path(dir.path()).unwrap().train.image(0).unwrap());
}
