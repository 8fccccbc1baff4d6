//! The decoder of common JPEG files, against libjpeg-turbo: fixtures/scripts/jpeg.py.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use flate2::Crc;
use tallow_augment::ops::Window;
use tallow_augment::{Normalization, PipelineConfig, Size};
use tallow_data::decode::{decode_bytes, decode_in_view};
use tallow_data::jpeg::{Jpeg, Scale};
use tallow_data::{Loader, LoaderConfig};

use crate::open_path;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/jpeg")
}

/// By the scale's divisor: height, width and checksum of the pixels; none for another decoder's files.
type Expected = Option<BTreeMap<usize, (u32, u32, u32)>>;

/// Every file with what is expected of it.
fn files() -> Vec<(String, Vec<u8>, Expected)> {
    let text = fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_str(&text).unwrap();
    expected.into_iter().map(|(name, e)| (name.clone(), fs::read(folder().join(name)).unwrap(), e)).collect()
}

#[test]
fn pixels_are_those_of_libjpeg_turbo_at_every_scale() {
    let mut compared = 0;
    for (name, bytes, expected) in files() {
        let jpeg = Jpeg::read(&bytes);
        let Some(expected) = expected else {
            assert!(jpeg.is_none(), "{name} is another decoder's");
            assert!(decode_bytes(&bytes, name.as_ref()).is_ok());
            continue;
        };
        let jpeg = jpeg.unwrap();
        for (divisor, (height, width, sum)) in expected {
            let scale = Scale::ALL.into_iter().find(|scale| scale.divisor() == divisor).unwrap();
            let image = jpeg.decode(scale, None).unwrap();
            assert_eq!((image.height(), image.width()), (height, width), "{name} 1/{divisor}");
            let mut crc = Crc::new();
            crc.update(image.as_bytes());
            assert_eq!(crc.sum(), sum, "{name} 1/{divisor}");
            compared += 1;
        }
    }
    assert!(compared > 45, "{compared}");
}

#[test]
fn a_window_holds_the_pixels_of_the_whole() {
    for (name, bytes, _) in files() {
        let Some(jpeg) = Jpeg::read(&bytes) else { continue };
        let whole = jpeg.decode(Scale::Full, None).unwrap().into_rgb8();
        let Size { height, width } = jpeg.size();
        for i in 0..60 {
            let (top, left) = (i * 7 % height, i * 5 % width);
            let size = Size { height: 1 + i * 3 % (height - top), width: 1 + i * 11 % (width - left) };
            let window = Window { top: top as i64, left: left as i64, size };
            let part = jpeg.decode(Scale::Full, Some(window)).unwrap().into_rgb8();
            assert_eq!(part.dimensions(), whole.dimensions());
            for y in top..top + size.height {
                for x in left..left + size.width {
                    let at = (x as u32, y as u32);
                    assert_eq!(part.get_pixel(at.0, at.1), whole.get_pixel(at.0, at.1), "{name} {at:?} of {window:?}");
                }
            }
        }
    }
}

#[test]
fn damage_is_left_to_the_other_decoder_and_never_panics() {
    for (name, bytes, _) in files() {
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] = damaged[at].wrapping_mul(31) ^ 0x5a;
            if let Some(jpeg) = Jpeg::read(&damaged)
                && jpeg.size().pixels() < 1 << 20
            {
                Scale::ALL.iter().for_each(|scale| drop(jpeg.decode(*scale, None)));
            }
            if at % 16 == 0 {
                let _ = decode_bytes(&bytes[..at], name.as_ref());
                assert!(
                    Jpeg::read(&bytes[..at]).is_none_or(|jpeg| jpeg.decode(Scale::Full, None).is_none()),
                    "{name} {at}"
                );
            }
        }
    }
}

#[test]
fn a_view_that_is_much_smaller_is_decoded_at_a_reduced_scale() {
    let bytes = fs::read(folder().join("420.jpg")).unwrap();
    let decoded = |side: usize| {
        let look = |input: Size| {
            let window = Window { top: 0, left: 0, size: input };
            Some(tallow_augment::View { window, size: Size { height: side, width: side } })
        };
        decode_in_view(&bytes, "420.jpg".as_ref(), &look).unwrap()
    };
    // 47 × 61: twice 11 fits in 24, twice 12 in 24, twice 13 does not.
    for (side, height) in [(47, 47), (13, 47), (12, 24), (6, 12), (3, 6), (1, 6)] {
        assert_eq!(decoded(side).height(), height, "{side}");
    }
}

/// The first batch of a folder through a random crop.
fn batch(reduced_jpeg: bool, side: usize) -> Vec<f32> {
    let dir = tempfile::TempDir::new().unwrap();
    for (class, name) in [("a", "420.jpg"), ("a", "422.jpg"), ("b", "444.jpg"), ("b", "progressive.jpg")] {
        fs::create_dir_all(dir.path().join(class)).unwrap();
        fs::copy(folder().join(name), dir.path().join(class).join(name)).unwrap();
    }
    let ops = format!(r#"[{{ "op": "RandomResizedCrop", "size": {side}, "scale": [0.2, 0.9] }}]"#);
    let config: PipelineConfig = serde_json::from_str(&ops).unwrap();
    let pipeline = Arc::new(config.build(3, &Normalization::identity(3)).unwrap());
    let config = LoaderConfig { batch_size: 4, reduced_jpeg, ..LoaderConfig::default() };
    let loader = Loader::new(open_path(dir.path()).unwrap().train, pipeline.clone(), config).unwrap();
    let batch = loader.epoch(0, 0).next().unwrap().unwrap();

    // What the whole images would have given.
    if !reduced_jpeg {
        for (row, index) in batch.indices.iter().enumerate() {
            let image = loader.dataset().image(*index).unwrap();
            let mut pixels = vec![0.0; pipeline.output_len()];
            let mut rng = tallow_augment::rng::keyed(0, 0, row as u64, tallow_augment::rng::AUGMENT);
            pipeline.apply(image, &mut rng, &mut pixels).unwrap();
            assert_eq!(pixels, batch.pixels[row * pixels.len()..(row + 1) * pixels.len()]);
        }
    }
    batch.pixels
}

#[test]
fn the_loader_decodes_windows_without_changing_a_pixel_and_reduced_images_nearly_so() {
    let exact = batch(false, 6);
    let reduced = batch(true, 6);
    assert_ne!(exact, reduced);
    let mean = exact.iter().zip(&reduced).map(|(a, b)| (a - b).abs()).sum::<f32>() / exact.len() as f32;
    assert!(mean < 0.03, "{mean}");
    assert_eq!(batch(false, 40), batch(true, 40), "nothing to reduce");
}
