//! The pipeline as a whole: config, errors, determinism, conversions, constant output size.

use image::DynamicImage;
use tallow_augment::ops::{CenterCrop, RandomCrop, RandomHorizontalFlip};
use tallow_augment::{
    Error, Image8, Normalization, OpConfig, Pipeline, PipelineConfig, Result, Size, SizeParam, Transform, rng,
};

/// The config that TOML's `ops = …` holds.
fn config(ops: &str) -> std::result::Result<PipelineConfig, String> {
    #[derive(serde::Deserialize)]
    struct File {
        ops: PipelineConfig,
    }
    toml::from_str::<File>(&format!("ops = {ops}")).map(|file| file.ops).map_err(|error| error.to_string())
}

fn build(ops: &str) -> Result<Pipeline> {
    config(ops).unwrap().build(3, &Normalization::imagenet())
}

fn photo(width: u32, height: u32) -> DynamicImage {
    image::RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 7) as u8, (y * 5) as u8, (x ^ y) as u8])).into()
}

const EVERYTHING: &str = r#"[
    { op = "ResizePad", size = [60, 70] }, { op = "Resize", size = 48, interpolation = "bicubic" },
    { op = "RandomResizedCrop", size = 40, interpolation = "random" }, { op = "CenterCrop", size = 36 },
    { op = "RandomCrop", size = 32, padding = [1, 2], padding_mode = "reflect" },
    { op = "RandomHorizontalFlip" }, { op = "RandomVerticalFlip", p = 0.2 }, { op = "RandomRotation", degrees = 10 },
    { op = "RandomAffine", translate = [0.1, 0.1], scale = [0.9, 1.1], fill = [1, 2, 3] },
    { op = "ColorJitter", brightness = 0.2, hue = [-0.1, 0.2] }, { op = "GaussianNoise", p = 0.5 },
    { op = "RandomPerspective" }, { op = "ElasticTransform", p = 0.5 }, { op = "GaussianBlur", kernel_size = 3, p = 0.5 },
    { op = "RandomAdjustSharpness", sharpness_factor = 1.5 }, { op = "RandomPosterize", bits = 5, p = 0.1 },
    { op = "RandomSolarize", threshold = 200, p = 0.1 }, { op = "RandomEqualize", p = 0.1 },
    { op = "RandomAutocontrast" }, { op = "RandomInvert", p = 0.1 }, { op = "RandomGrayscale" },
    { op = "JPEG", quality = [60, 95], p = 0.5 }, { op = "SaltAndPepper", p = 0.3 }, { op = "PoissonNoise", p = 0.3 },
    { op = "GridMask", p = 0.2 }, { op = "AutoAugment", policy = "svhn" }, { op = "RandAugment", p = 0.5 },
    { op = "TrivialAugmentWide" }, { op = "AugMix", p = 0.5 }, { op = "ThreeAugment", p = 0.5 },
    { op = "RandomErasing", value = "random" },
]"#;

#[test]
fn every_op_is_written_and_read_back() {
    let ops = config(EVERYTHING).unwrap();
    let mut used: Vec<String> = Vec::new();
    for op in serde_json::to_value(&ops).unwrap().as_array().unwrap() {
        used.push(op["op"].as_str().unwrap().to_string());
    }
    assert!(OpConfig::NAMES.iter().all(|name| used.iter().any(|op| op == name)), "add the new op to EVERYTHING");
    let text = serde_json::to_string(&ops).unwrap();
    assert_eq!(serde_json::from_str::<PipelineConfig>(&text).unwrap(), ops);
    #[derive(serde::Serialize)]
    struct File<'a> {
        ops: &'a PipelineConfig,
    }
    let text = toml::to_string(&File { ops: &ops }).unwrap();
    let tables: toml::Table = toml::from_str(&text).unwrap();
    assert_eq!(tables["ops"].clone().try_into::<PipelineConfig>().unwrap(), ops);
}

#[test]
fn every_op_is_documented() {
    let root = env!("CARGO_MANIFEST_DIR");
    for page in ["README.md", "../../docs/augment.md"] {
        let text = std::fs::read_to_string(format!("{root}/{page}")).unwrap();
        for name in OpConfig::NAMES {
            assert!(text.contains(&format!("`{name}`")), "{page} does not name {name}");
        }
    }
}

#[test]
fn the_same_key_gives_the_same_pixels_and_another_key_others() {
    let pipeline = build(EVERYTHING).unwrap();
    assert_eq!(pipeline.output_shape(), (32, 32, 3));
    let run = |epoch, sample| {
        let mut out = vec![0.0; pipeline.output_len()];
        pipeline.apply(photo(91, 57), &mut rng::keyed(1, epoch, sample, rng::AUGMENT), &mut out).unwrap();
        out
    };
    assert_eq!(run(0, 0), run(0, 0));
    assert_ne!(run(0, 0), run(1, 0));
    assert_ne!(run(0, 0), run(0, 1));
    assert!(run(0, 0).iter().all(|v| v.is_finite()));
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| run(3, 3))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(results.iter().all(|result| *result == run(3, 3)));
}

#[test]
fn odd_images_of_every_kind_go_through() {
    let colour = build(EVERYTHING).unwrap();
    let grey_ops = EVERYTHING.replace("fill = [1, 2, 3]", "fill = 9");
    let grey = config(&grey_ops).unwrap().build(1, &Normalization::identity(1)).unwrap();
    for (width, height) in [(1, 1), (1, 9), (200, 2), (33, 47)] {
        let rgb = photo(width, height);
        for image in [
            rgb.clone(),
            rgb.to_luma8().into(),
            rgb.to_luma_alpha8().into(),
            rgb.to_rgba8().into(),
            rgb.to_luma16().into(),
            rgb.to_luma_alpha16().into(),
            rgb.to_rgb16().into(),
            rgb.to_rgba16().into(),
            rgb.to_rgb32f().into(),
            rgb.to_rgba32f().into(),
        ] {
            for pipeline in [&colour, &grey] {
                let mut out = vec![0.0; pipeline.output_len()];
                pipeline.apply(image.clone(), &mut rng::keyed(0, 0, 0, 0), &mut out).unwrap();
                let preview = pipeline.preview(image.clone(), &mut rng::keyed(0, 0, 0, 0)).unwrap();
                assert_eq!((preview.width(), preview.height()), (32, 32));
            }
        }
    }
}

#[test]
fn sixteen_bits_keep_the_high_byte_and_alpha_is_dropped() {
    let deep = image::ImageBuffer::from_pixel(1, 1, image::Rgba([0x1234u16, 0x80ff, 0xffff, 7]));
    let image = Image8::from_dynamic(DynamicImage::ImageRgba16(deep), 3).unwrap();
    assert_eq!(image.data(), [0x12, 0x80, 0xff]);
    let grey = image::ImageBuffer::from_pixel(1, 1, image::LumaA([0x1234u16, 0]));
    assert_eq!(Image8::from_dynamic(DynamicImage::ImageLumaA16(grey), 3).unwrap().data(), [0x12; 3]);
}

#[test]
fn preview_shows_what_apply_writes() {
    let pipeline = build(EVERYTHING).unwrap();
    let mut out = vec![0.0; pipeline.output_len()];
    pipeline.apply(photo(60, 60), &mut rng::keyed(0, 0, 5, 0), &mut out).unwrap();
    let preview = pipeline.preview(photo(60, 60), &mut rng::keyed(0, 0, 5, 0)).unwrap().into_rgb8();
    let Normalization { mean, std } = Normalization::imagenet();
    for (i, (value, level)) in out.iter().zip(preview.as_raw()).enumerate() {
        let expected = ((value * std[i % 3] + mean[i % 3]) * 255.0).clamp(0.0, 255.0);
        assert!((expected - f32::from(*level)).abs() <= 0.51, "{i}");
    }
}

#[test]
fn typos_name_the_nearest() {
    for (ops, expected) in [
        (r#"[{ op = "RandomCorp", size = 28 }]"#, "unknown op `RandomCorp`; did you mean `RandomCrop`?"),
        (r#"[{ op = "randomhorizontalflip" }]"#, "did you mean `RandomHorizontalFlip`?"),
        (r#"[{ op = "RandomCrop", size = 28, paddin = 2 }]"#, "unknown key `paddin`; did you mean `padding`?"),
        (r#"[{ op = "RandomErasing", valu = 2 }]"#, "did you mean `value`?"),
        (r#"[{ op = "RandomCrop", size = 2.5 }]"#, "RandomCrop: a whole number or [height, width]"),
        (r#"[{ op = "RandomCrop", size = -1 }]"#, "a whole number or [height, width]"),
        (r#"[{ op = "RandomCrop" }]"#, "RandomCrop: missing field `size`"),
        (r#"[{ op = "Resize", size = 2, interpolation = "cubic" }]"#, "unknown variant `cubic`"),
        (r#"[{ op = "RandomCrop", size = 2, fill = 256 }]"#, "a number from 0 to 255"),
        (r#"[{ size = 28 }]"#, "every op needs its name"),
        (r#"[{ op = 3 }]"#, "`op` must be the name of an op"),
        (r#"[{ op = "Normalize" }]"#, "pixels are always normalised"),
    ] {
        let error = config(ops).unwrap_err();
        assert!(error.contains(expected), "{ops}: {error}");
    }
}

#[test]
fn sizes_are_checked_when_built() {
    let check = |ops: &str, wanted: fn(&Error) -> bool| {
        let error = match build(ops).unwrap_err() {
            Error::AtOp { source, .. } => *source,
            error => error,
        };
        assert!(wanted(&error), "{ops}: {error}");
    };
    check("[]", |e| matches!(e, Error::SizeNotConstant { .. }));
    check(r#"[{ op = "Resize", size = 32 }]"#, |e| matches!(e, Error::SizeNotConstant { .. }));
    check(r#"[{ op = "RandomCrop", size = 32, p = 0.5 }]"#, |e| matches!(e, Error::SizeNotConstant { .. }));
    check(r#"[{ op = "CenterCrop", size = 9 }, { op = "RandomResizedCrop", size = 8, p = 0.5 }]"#, |e| {
        matches!(e, Error::SizeNotConstant { .. })
    });
    for size in ["0", "[0, 5]", "1000000", "[60000, 60000]", "9223372036854775807"] {
        for op in ["Resize", "ResizePad", "CenterCrop", "RandomCrop", "RandomResizedCrop"] {
            check(&format!("[{{ op = \"{op}\", size = {size} }}]"), |e| {
                matches!(e, Error::BadValue { field: "size", .. })
            });
        }
    }
    check(r#"[{ op = "CenterCrop", size = 28 }, { op = "RandomCrop", size = 32, padding = 1 }]"#, |e| {
        matches!(e, Error::CropTooLarge { .. })
    });
    check(r#"[{ op = "RandomCrop", size = 8, padding = 9223372036854775807 }]"#, |e| {
        matches!(e, Error::BadValue { field: "padding", .. })
    });
    check(r#"[{ op = "CenterCrop", size = 8 }, { op = "RandomErasing" }, { op = "RandomHorizontalFlip" }]"#, |e| {
        matches!(e, Error::Order { op_index: 2 })
    });
    let fixed = config(r#"[{ op = "RandomHorizontalFlip", p = 2.0 }, { op = "CenterCrop", size = 8 }]"#).unwrap();
    let error = fixed.build(3, &Normalization::imagenet()).unwrap_err().to_string();
    assert!(error.contains("op 0") && error.contains("RandomHorizontalFlip: `p`"), "{error}");
    let crop = config(r#"[{ op = "CenterCrop", size = 8 }]"#).unwrap();
    assert!(matches!(crop.build(2, &Normalization::identity(2)), Err(Error::Channels { found: 2 })));
    assert!(matches!(crop.build(1, &Normalization::imagenet()), Err(Error::BadValue { field: "mean", .. })));
}

#[test]
fn bad_images_and_buffers_are_errors() {
    let pipeline = PipelineConfig(vec![RandomCrop::new(28, 2).into()]).build(1, &Normalization::identity(1)).unwrap();
    let mut rng = rng::keyed(0, 0, 0, 0);
    let mut out = vec![0.0; 784];
    let error = pipeline.apply(photo(20, 40), &mut rng, &mut out).unwrap_err();
    assert!(matches!(error, Error::CropTooLarge { .. }), "{error}");
    let error = pipeline.apply(DynamicImage::new_luma8(0, 5), &mut rng, &mut out).unwrap_err();
    assert!(matches!(error, Error::ImageSize { op: "input", .. }), "{error}");
    let error = pipeline.apply(photo(28, 28), &mut rng, &mut out[1..]).unwrap_err();
    assert_eq!(error, Error::BufferLength { expected: 784, found: 783 });
}

#[test]
fn a_known_input_size_makes_an_empty_pipeline_whole() {
    let size = Size { height: 28, width: 30 };
    let pipeline = PipelineConfig::default().build_for_input(1, &Normalization::identity(1), size).unwrap();
    let mut out = vec![0.0; pipeline.output_len()];
    pipeline.apply(photo(30, 28), &mut rng::keyed(0, 0, 0, 0), &mut out).unwrap();
    let error = pipeline.apply(photo(28, 30), &mut rng::keyed(0, 0, 0, 0), &mut out).unwrap_err();
    assert!(matches!(error, Error::UnexpectedSize { .. }), "{error}");
}

#[test]
fn probabilities_hold_in_the_pipeline() {
    let ops = vec![CenterCrop { size: SizeParam::One(2), p: 1.0 }.into(), RandomHorizontalFlip { p: 0.25 }.into()];
    let pipeline = PipelineConfig(ops).build(1, &Normalization::identity(1)).unwrap();
    let image = DynamicImage::ImageLuma8(image::GrayImage::from_raw(2, 2, vec![0, 255, 0, 255]).unwrap());
    let mut out = [0.0; 4];
    let mut flipped = 0;
    for sample in 0..4000 {
        pipeline.apply(image.clone(), &mut rng::keyed(0, 0, sample, rng::AUGMENT), &mut out).unwrap();
        flipped += usize::from(out[0] == 1.0);
    }
    assert!((890..1110).contains(&flipped), "{flipped}"); // 1000 ± 4 standard deviations
}

#[test]
fn an_op_of_ones_own_is_plugged_in() {
    #[derive(Debug)]
    struct Invert;
    impl Transform for Invert {
        fn apply(&self, mut image: Image8, _: &mut rng::Rng) -> Result<Image8> {
            image.data_mut().iter_mut().for_each(|value| *value = 255 - *value);
            Ok(image)
        }
    }
    let pipeline = build(r#"[{ op = "CenterCrop", size = 4 }]"#).unwrap().with(Box::new(Invert)).unwrap();
    let preview = pipeline.preview(DynamicImage::new_rgb8(4, 4), &mut rng::keyed(0, 0, 0, 0)).unwrap();
    assert!(preview.as_bytes().iter().all(|value| *value == 255));
}
