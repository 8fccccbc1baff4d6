//! Images in memory through a pipeline, without a dataset.

use std::sync::Arc;

use image::DynamicImage;
use tallow_augment::{Normalization, PipelineConfig};
use tallow_data::{Loader, LoaderConfig, OpenOptions, Sampler, open, preprocess};

use crate::assert_fails;

#[test]
fn pixels_are_those_of_the_loader() {
    let test = open("fashion-mnist-6k", &OpenOptions::default()).unwrap().test.unwrap();
    // Random too: image `i` has the generator that the loader gives to position `i` of its first epoch.
    for config in [
        r#"[{ "op": "Resize", "size": [20, 24] }]"#,
        r#"[{ "op": "RandomCrop", "size": 28, "padding": 4 }, { "op": "RandomHorizontalFlip" }]"#,
    ] {
        let config: PipelineConfig = serde_json::from_str(config).unwrap();
        let pipeline = Arc::new(config.build(1, &Normalization::identity(1)).unwrap());
        let images: Vec<DynamicImage> = (0..50).map(|index| test.image(index).unwrap()).collect();
        let pixels = preprocess(&images, &pipeline).unwrap();
        let config = LoaderConfig { batch_size: 50, sampler: Sampler::Sequential, ..LoaderConfig::default() };
        let batch = Loader::new(test.clone(), pipeline, config).unwrap().epoch(0, 0).next().unwrap().unwrap();
        assert_eq!(pixels, batch.pixels);
    }
}

#[test]
fn no_images_give_no_pixels_and_a_refused_one_is_named() {
    let config: PipelineConfig = serde_json::from_str(r#"[{ "op": "RandomCrop", "size": 16 }]"#).unwrap();
    let pipeline = config.build(3, &Normalization::imagenet()).unwrap();
    assert!(preprocess(&[], &pipeline).unwrap().is_empty());
    let images = [16, 8, 4].map(|side| DynamicImage::new_rgb8(side, side));
    assert_fails(preprocess(&images, &pipeline), &["sample 1", "does not fit"]);
}
