//! Images of one size held in memory as raw pixels: the dataset of IDX and CIFAR files.

use std::sync::Arc;

use image::{DynamicImage, GrayImage, RgbImage};

use crate::dataset::Dataset;
use crate::error::Result;

/// A split of 8-bit images of one size.
pub(crate) struct MemoryImages {
    /// The split's name, the first part of every id.
    pub split: &'static str,
    pub class_names: Arc<[String]>,
    pub height: usize,
    pub width: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// The images one after another, row by row, channels last.
    pub pixels: Vec<u8>,
    /// The label of each image, below the number of classes.
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
        // `from_raw` refuses only a buffer that is too short; the readers have checked its length.
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
