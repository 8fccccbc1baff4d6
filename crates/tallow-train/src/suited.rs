//! What to train on data of which nothing else is said: a recipe, its architecture and a size of images, by a rule.
//!
//! | short side of the images, median | recipe | size of the images |
//! |---|---|---|
//! | up to 64 pixels | `default`: a small ResNet-9 | as they are |
//! | up to 127 | `photos`: ResNet-18 | 64 |
//! | more | `photos`: ResNet-18 | 128 |
//!
//! `photos` shows about 64,000 images, in 8 to 60 epochs, in batches of 32, or of 8 where there are fewer than 256.

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use tallow_augment::Preprocessing;
use tallow_data::Splits;
use toml::Value;

use crate::{Result, Setting};

/// The images that are looked at.
const SHOWN: usize = 32;
/// The images that `photos` shows in all, and the epochs within which it stays.
const SEEN: usize = 64_000;
const EPOCHS: (usize, usize) = (8, 60);

/// The recipe that suits some data.
#[derive(Debug, Clone, PartialEq)]
pub struct Suited {
    /// The name of the recipe.
    pub recipe: &'static str,
    /// The settings over it.
    pub settings: Vec<Setting>,
    /// What was found and what follows, in one line, without the settings.
    pub why: String,
}

/// The recipe for the training images of `splits`, by the rule above. Images that cannot be read are passed over: training
/// reports them.
///
/// # Errors
/// The length of a stream is unknown.
pub fn suited(splits: &Splits) -> Result<Suited> {
    let images = splits.train_samples()?;
    let classes = splits.train.class_names().len();
    let Some([height, width]) = median_size(splits, images) else {
        return Ok(Suited {
            recipe: "default",
            settings: Vec::new(),
            why: "no image can be read: recipe default".into(),
        });
    };
    let set = |key: &str, value: Value| Setting::value("the rule for these images", key, value);
    let mut settings = Vec::new();
    if splits.train.is_multi_label() {
        settings.push(set("loss.name", Value::String("binary_cross_entropy".into())));
    }
    let found = format!("{images} images in {classes} classes, {height}×{width} in the median");
    let (recipe, chosen) = match height.min(width) {
        _ if height.max(width) <= Preprocessing::SMALL_IMAGE => ("default", "recipe default"),
        short => {
            let side = if short < 128 { 64 } else { 128 };
            let epochs = (SEEN / images.max(1)).clamp(EPOCHS.0, EPOCHS.1);
            let batch = if images < 256 { 8 } else { 32 };
            let number = |value: usize| Value::Integer(value as i64);
            settings.extend([
                set("model.input_size", Value::Array(vec![number(side), number(side)])),
                set("train.epochs", number(epochs)),
                set("train.batch_size", number(batch)),
            ]);
            if splits.stream.is_some() {
                settings.push(set("data.validation_fraction", Value::Float(0.0)));
            }
            ("photos", "recipe photos, resnet18")
        }
    };
    Ok(Suited { recipe, settings, why: format!("{found}: {chosen}") })
}

/// The medians of height and width of some images that are spread over the training split.
fn median_size(splits: &Splits, images: usize) -> Option<[usize; 2]> {
    let count = images.min(SHOWN);
    let mut sides: [Vec<usize>; 2] = Default::default();
    let found: Vec<_> = match &splits.stream {
        Some(stream) => stream.first(0, count).filter_map(|sample| sample.ok()?.image().ok()).collect(),
        None => {
            let image = |i: usize| splits.train.image(i * images / count).ok();
            (0..count).into_par_iter().filter_map(image).collect()
        }
    };
    for image in found {
        sides[0].push(image.height() as usize);
        sides[1].push(image.width() as usize);
    }
    sides.iter_mut().for_each(|sides| sides.sort_unstable());
    (!sides[0].is_empty()).then(|| sides.map(|sides| sides[sides.len() / 2]))
}
