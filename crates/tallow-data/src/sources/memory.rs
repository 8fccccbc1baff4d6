//! Images of one size held in memory as undecoded bytes: what IDX and CIFAR files become.

use std::sync::Arc;

use image::{DynamicImage, GrayImage, RgbImage};

use crate::{Dataset, Result};

/// A split of equally large 8-bit images.
pub(crate) struct MemoryImages {
    /// The split's name, the first part of every id.
    pub split: &'static str,
    pub class_names: Arc<[String]>,
    pub height: usize,
    pub width: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// One image after the other, each row by row, channels last.
    pub pixels: Vec<u8>,
    /// One label an image, each below the number of classes.
    pub labels: Vec<u8>,
}

impl Dataset for MemoryImages {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index].into()
    }

    fn image(&self, index: usize) -> Result<DynamicImage> {
        let size = self.height * self.width * self.channels;
        let pixels = self.pixels[index * size..(index + 1) * size].to_vec();
        let (width, height) = (self.width as u32, self.height as u32);
        // `from_raw` refuses only too short a buffer, which the readers have ruled out.
        Ok(if self.channels == 1 {
            GrayImage::from_raw(width, height, pixels).unwrap_or_default().into()
        } else {
            RgbImage::from_raw(width, height, pixels).unwrap_or_default().into()
        })
    }

    fn id(&self, index: usize) -> String {
        format!("{}/{index}", self.split)
    }

    fn channels(&self) -> usize {
        self.channels
    }
}
