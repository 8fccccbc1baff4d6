//! What a reader should know before training on splits: classes that a split lacks, small splits, and pixels that the
//! defaults misread.

use std::path::Path;

use image::DynamicImage;

use crate::dataset::{Dataset, class_counts};
use crate::error::{Error, Result};
use crate::names::listed;
use crate::sources::folder;
use crate::splits::Splits;

/// The number of training images that are decoded to look at their pixels.
const LOOKED_AT: usize = 16;
/// A split with fewer samples measures an accuracy to no better than about ten points.
const FEW: usize = 100;

impl Splits {
    /// [`notes`](Self::notes), and sentences about classes that a split lacks, about small validation and test splits,
    /// and about pixels: 16-bit images that use fewer bits, and alpha that carries the shape. Some training images are
    /// decoded to tell; images that cannot be read are left out.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.notes.clone();
        let given = [("validation", &self.validation), ("test", &self.test)];
        if self.stream.is_none() {
            warnings.extend(absent_classes("training", self.train.as_ref()));
        }
        for (name, split) in given.into_iter().filter_map(|(name, split)| Some((name, split.as_deref()?))) {
            warnings.extend(absent_classes(name, split));
            warnings.extend(few(name, split.len()));
        }
        let step = (self.train.len() / LOOKED_AT).max(1);
        let images = (0..self.train.len()).step_by(step).take(LOOKED_AT);
        let mut pixels = PixelFindings::default();
        images.filter_map(|index| self.train.image(index).ok()).for_each(|image| pixels.add(&image));
        warnings.extend(pixels.sentences());
        warnings
    }

    /// Checks that there are two classes or more, or several labels for a sample. `spec` is what was opened.
    ///
    /// # Errors
    /// There is one class.
    pub fn check_classes(&self, spec: &str) -> Result<()> {
        match self.train.class_names() {
            [only] if !self.train.is_multi_label() => {
                let path = Path::new(spec);
                let hint = if path.is_dir() { folder::hint(path) } else { String::new() };
                Err(Error::OneClass { class: only.clone(), hint })
            }
            _ => Ok(()),
        }
    }
}

/// The sentence about classes without samples, if there are some. The label of multi-label data is one of several.
fn absent_classes(split: &str, dataset: &dyn Dataset) -> Option<String> {
    let names = dataset.class_names();
    let mut counts = class_counts(dataset);
    if dataset.is_multi_label() {
        counts = vec![0; names.len()];
        for target in (0..dataset.len()).filter_map(|index| dataset.target(index)) {
            counts.iter_mut().zip(target).for_each(|(count, share)| *count += usize::from(share > 0.0));
        }
    }
    let absent: Vec<&String> =
        names.iter().zip(counts).filter(|(_, count)| *count == 0).map(|(name, _)| name).collect();
    let (number, all) = (absent.len(), names.len());
    (number > 0).then(|| format!("the {split} split has no sample of {number} of {all} classes: {}", listed(&absent)))
}

/// The sentence about a small split: the half width of the 95 % interval of an accuracy of 50 %.
fn few(split: &str, samples: usize) -> Option<String> {
    let points = 98.0 / (samples.max(1) as f64).sqrt();
    (samples < FEW).then(|| {
        format!("the {split} split has {samples} images: an accuracy measured on it is off by up to {points:.0} points")
    })
}

/// What the pixels of some images show.
#[derive(Default)]
struct PixelFindings {
    /// The number of 16-bit images and their highest value.
    deep: usize,
    highest: u16,
    /// The number of images with alpha, and of those whose colours are nearly the same everywhere.
    with_alpha: usize,
    plain_below_alpha: usize,
}

impl PixelFindings {
    /// Looks at an image as it is decoded.
    fn add(&mut self, image: &DynamicImage) {
        let deep: Option<&[u16]> = match image {
            DynamicImage::ImageLuma16(image) => Some(image.as_raw()),
            DynamicImage::ImageRgb16(image) => Some(image.as_raw()),
            _ => None, // with alpha, the highest value is that of opaque pixels
        };
        if let Some(values) = deep {
            self.deep += 1;
            self.highest = values.iter().copied().fold(self.highest, u16::max);
        }
        if image.color().has_alpha() {
            self.add_alpha(image);
        }
    }

    fn add_alpha(&mut self, image: &DynamicImage) {
        /// Levels within which colours count as the same.
        const SAME: u8 = 16;
        let pixels = image.to_rgba8();
        let range = |channel: usize| {
            let values = || pixels.pixels().map(move |pixel| pixel.0[channel]);
            values().max().unwrap_or(0) - values().min().unwrap_or(0)
        };
        if range(3) > SAME {
            self.with_alpha += 1;
            self.plain_below_alpha += usize::from((0..3).all(|channel| range(channel) <= SAME));
        }
    }

    /// The sentences.
    fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        let bits = (16 - self.highest.leading_zeros()).max(8);
        if self.deep > 0 && bits < 16 {
            let (highest, levels) = (self.highest, (u32::from(self.highest) >> 8) + 1);
            sentences.push(format!(
                "the 16-bit images hold values up to {highest} of 65535, of which {levels} levels remain in 8 bits: if they \
                 use {bits} bits, set data.bit_depth = {bits}"
            ));
        }
        if self.plain_below_alpha > 0 {
            sentences.push(format!(
                "in {} of {} images with transparency, only alpha carries the shape, and alpha is dropped: set \
                 data.background = [255, 255, 255], or another colour",
                self.plain_below_alpha, self.with_alpha
            ));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Luma, Rgba};

    use super::*;

    fn sentences(images: &[DynamicImage]) -> Vec<String> {
        let mut findings = PixelFindings::default();
        images.iter().for_each(|image| findings.add(image));
        findings.sentences()
    }

    #[test]
    fn twelve_bits_in_sixteen_are_noticed() {
        let deep = |value: u16| DynamicImage::from(ImageBuffer::from_pixel(2, 2, Luma([value])));
        let found = sentences(&[deep(4000), deep(100)]);
        assert!(found[0].contains("data.bit_depth = 12") && found[0].contains("16 levels"), "{found:?}");
        assert!(sentences(&[deep(4000), deep(40_000)]).is_empty());
        assert!(sentences(&[DynamicImage::new_luma8(2, 2)]).is_empty());
    }

    #[test]
    fn shapes_in_alpha_are_noticed() {
        let image = |colour: fn(u32) -> [u8; 4]| DynamicImage::from(ImageBuffer::from_fn(4, 4, |x, _| Rgba(colour(x))));
        let shape = image(|x| [0, 0, 0, if x < 2 { 0 } else { 255 }]);
        let opaque = image(|_| [0, 0, 0, 255]);
        let photo = image(|x| [60 * x as u8, 0, 0, if x < 2 { 0 } else { 255 }]);
        assert!(sentences(&[shape, photo.clone()])[0].contains("1 of 2"));
        assert!(sentences(&[opaque, photo]).is_empty());
    }
}
