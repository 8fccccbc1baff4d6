//! Views against what they should show, by hand and by torchvision's rules.

use image::{DynamicImage, GrayImage, Luma};
use serde_json::json;
use tallow_augment::{ops, rng};

use super::*;

fn config(tta: &[View], eval: serde_json::Value, size: (usize, usize)) -> RunSections {
    let mut config = RunSections::default();
    config.augment.tta = tta.to_vec();
    config.augment.eval = Some(serde_json::from_value(eval).expect("a pipeline"));
    (config.augment.mean, config.augment.std) = (Some(vec![0.0]), Some(vec![1.0]));
    (config.model.config.in_chans, config.model.config.input_size) = (1, size);
    config
}

fn picture(width: u32, height: u32) -> DynamicImage {
    GrayImage::from_fn(width, height, |x, y| Luma([(7 * x + 31 * y) as u8])).into()
}

fn seen(pipeline: &Pipeline, image: DynamicImage) -> Vec<u8> {
    let mut pixels = vec![0.0; pipeline.output_len()];
    pipeline.apply(image, &mut rng::keyed(0, 0, 0, rng::AUGMENT), &mut pixels).expect("pixels");
    pixels.iter().map(|p| (p * 255.0).round() as u8).collect()
}

#[test]
fn a_flip_exchanges_left_and_right() {
    let pixels: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let flip = Look { hflip: true, ..Look::default() };
    let flipped = flip.at(&pixels, (1, 2, 3, 2));
    assert_eq!(flipped, [4.0, 5.0, 2.0, 3.0, 0.0, 1.0, 10.0, 11.0, 8.0, 9.0, 6.0, 7.0]);
    assert_eq!(flip.at(&flipped, (1, 2, 3, 2)), pixels);
    let both = Look { vflip: true, ..flip }.at(&pixels, (1, 2, 3, 2));
    assert_eq!(both, [10.0, 11.0, 8.0, 9.0, 6.0, 7.0, 4.0, 5.0, 2.0, 3.0, 0.0, 1.0]);
}

#[test]
fn a_shift_mirrors_the_border_as_torchs_reflect() {
    // F.pad(x, (1, 1), mode="reflect") of 0 1 2 3 is 1 0 1 2 3 2.
    let row: Vec<f32> = vec![0.0, 1.0, 2.0, 3.0];
    let shifted = |shift| Look { shift, ..Look::default() }.at(&row, (1, 1, 4, 1));
    assert_eq!(shifted((0, 1)), [1.0, 0.0, 1.0, 2.0]);
    assert_eq!(shifted((0, -1)), [1.0, 2.0, 3.0, 2.0]);
    assert_eq!(shifted((1, 0)), row, "one row has nowhere to go");
    // 64 pixels a side move by two.
    let long: Vec<f32> = (0..64).map(|x| x as f32).collect();
    assert_eq!(Look { shift: (0, 1), ..Look::default() }.at(&long, (1, 1, 64, 1))[..4], [2.0, 1.0, 0.0, 1.0]);
}

#[test]
fn kinds_multiply() -> Result<()> {
    let count = |tta: &[View]| TestTime::new(&config(tta, json!([{ "op": "Resize", "size": [28, 28] }]), (28, 28)));
    for (tta, expected) in [
        (&[][..], 1),
        (&[View::HFlip], 2),
        (&[View::Shift], 5),
        (&[View::HFlip, View::Shift], 10),
        (&[View::FiveCrop], 5),
        (&[View::TenCrop], 10),
        (&[View::TenCrop, View::HFlip], 10),
        (&[View::Scales, View::VFlip], 6),
    ] {
        assert_eq!(count(tta)?.count(), expected, "{tta:?}");
    }
    Ok(())
}

#[test]
fn corners_of_a_photograph_are_torchvisions_five_crop() -> Result<()> {
    let eval = json!([{ "op": "Resize", "size": 16 }, { "op": "CenterCrop", "size": 12 }]);
    let views = TestTime::new(&config(&[View::FiveCrop], eval, (12, 12)))?;
    let resize = Resize { size: SizeParam::One(16), interpolation: Default::default(), p: 1.0 };
    let image = resize.apply(Image8::from_dynamic(picture(40, 20), 1)?, &mut rng::keyed(0, 0, 0, rng::AUGMENT))?;
    let expected = ops::five_crop(&image, Size { height: 12, width: 12 })?;
    assert_eq!(views.crops.len(), 4);
    for (pipeline, expected) in views.crops.iter().zip(&expected) {
        assert_eq!(seen(pipeline, picture(40, 20)), expected.data());
    }
    Ok(())
}

#[test]
fn small_images_without_a_crop_are_enlarged_first() -> Result<()> {
    for eval in [json!([]), json!([{ "op": "Resize", "size": [28, 28] }])] {
        let views = TestTime::new(&config(&[View::FiveCrop, View::Scales], eval, (28, 28)))?;
        assert_eq!(views.crops.len(), 6);
        for pipeline in &views.crops {
            assert_eq!(pipeline.output_shape(), (28, 28, 1));
            seen(pipeline, picture(28, 28));
        }
        // The corner of an image of 32 pixels, 8/7 of 28.
        let resize = Resize { size: SizeParam::One(32), interpolation: Default::default(), p: 1.0 };
        let image = resize.apply(Image8::from_dynamic(picture(28, 28), 1)?, &mut rng::keyed(0, 0, 0, rng::AUGMENT))?;
        let expected = ops::five_crop(&image, Size { height: 28, width: 28 })?;
        assert_eq!(seen(&views.crops[3], picture(28, 28)), expected[3].data());
    }
    Ok(())
}

#[test]
fn names_are_read_and_others_refused() -> Result<()> {
    assert_eq!(View::parse_list("hflip,shift")?, [View::HFlip, View::Shift]);
    assert_eq!(View::parse_list("none")?, []);
    for (name, view) in View::ALL {
        assert_eq!(serde_json::to_value(view).expect("JSON"), json!(name));
    }
    let error = View::parse_list("hflp").expect_err("a typo").to_string();
    assert!(error.contains("`hflp`") && error.contains("hflip, vflip, shift"), "{error}");
    Ok(())
}
