//! Batches from images that lie on the device as bytes: crop with padding, flips, normalisation and erasing. What is drawn
//! at random comes from the CPU, and the values are the CPU's to the bit.

use super::run;
use crate::device::{Array, Device, Memory};
use crate::error::{Result, check, int, require};
use crate::launch::{Grid, arguments};
use crate::memory::{Plain, Storage, View, ViewMut};

const OP: &str = "images";

/// What was drawn for one sample.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Draw {
    /// The image.
    pub image: u32,
    /// The first row of the crop's window in the image; negative above it.
    pub top: i32,
    /// The first column.
    pub left: i32,
    /// 1 if the window is mirrored horizontally.
    pub flip_horizontally: u32,
    /// 1 if the window is mirrored vertically.
    pub flip_vertically: u32,
    /// The first of its rectangles.
    pub first_rectangle: u32,
    /// The number of its rectangles.
    pub rectangles: u32,
}

// SAFETY: numbers without padding.
unsafe impl Plain for Draw {}

/// A rectangle of the result that is overwritten.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rectangle {
    /// The first row.
    pub top: i32,
    /// The first column.
    pub left: i32,
    /// Rows.
    pub height: i32,
    /// Columns.
    pub width: i32,
    /// The normalised value of each channel.
    pub values: [f32; 3],
}

// SAFETY: numbers without padding.
unsafe impl Plain for Rectangle {}

/// What the crop shows outside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Padding {
    /// A colour.
    #[default]
    Constant = 0,
    /// The nearest pixel.
    Edge = 1,
    /// The image mirrored at its outermost pixels.
    Reflect = 2,
    /// The image mirrored at its edge.
    Symmetric = 3,
}

/// Images of one size as bytes, `[count, h, w, c]` with 1 or 3 channels, and the normalised value of every byte.
#[derive(Debug)]
pub struct Images<M> {
    images: Array<M, u8>,
    table: Array<M, f32>,
    shape: [usize; 4],
}

/// The sizes and constants of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// Rows of the result.
    pub height: usize,
    /// Columns of the result.
    pub width: usize,
    /// What lies outside the image.
    pub padding: Padding,
    /// The colour of [`Padding::Constant`].
    pub fill: [u8; 3],
}

impl<M: Memory> Images<M> {
    /// Puts the images on the device. A channel's value is `(byte / 255 − mean) / std`, by torchvision's operations.
    ///
    /// # Errors
    /// Another number of bytes or channels; too little memory.
    pub fn new<D: Device<Memory = M>>(
        device: &D,
        shape: [usize; 4],
        bytes: &[u8],
        mean: &[f32],
        std: &[f32],
    ) -> Result<Self> {
        let channels = shape[3];
        require(OP, channels == 1 || channels == 3, "images of 1 or 3 channels", channels)?;
        require(OP, shape[1] * shape[2] > 0, "images with pixels", format!("{shape:?}"))?;
        check(OP, "the images", shape.iter().product(), bytes.len())?;
        check(OP, "the mean", channels, mean.len())?;
        check(OP, "the deviation", channels, std.len())?;
        let value = |(mean, std)| (0..256).map(move |byte| (byte as f32 * (1.0 / 255.0) - mean) / std);
        let table: Vec<f32> = mean.iter().zip(std).flat_map(value).collect();
        Ok(Self { images: Array::upload(device, bytes)?, table: Array::upload(device, &table)?, shape })
    }

    /// A batch `[n, height, width, c]`, a sample for each draw.
    ///
    /// # Errors
    /// A draw of an image or rectangle that does not exist; an array of another length; a failed launch.
    pub fn batch<D: Device<Memory = M>, T: Storage>(
        &self,
        device: &D,
        draws: &[Draw],
        rectangles: &[Rectangle],
        crop: Crop,
        y: ViewMut<T>,
    ) -> Result<()> {
        let [count, h, w, c] = self.shape;
        check(OP, "the batch", draws.len() * crop.height * crop.width * c, y.len())?;
        let image = draws.iter().find(|draw| draw.image as usize >= count);
        require(OP, image.is_none(), "draws of images that exist", format!("{image:?}"))?;
        let beyond =
            |draw: &&Draw| u64::from(draw.first_rectangle) + u64::from(draw.rectangles) > rectangles.len() as u64;
        let beyond = draws.iter().find(beyond);
        require(OP, beyond.is_none(), "draws of rectangles that exist", format!("{beyond:?}"))?;
        if y.is_empty() {
            return Ok(());
        }
        let limit = 1 << 24;
        let small = [h, w, crop.height, crop.width].into_iter().all(|size| size < limit)
            && draws.iter().all(|draw| draw.top.unsigned_abs().max(draw.left.unsigned_abs()) < limit as u32);
        require(OP, small, "sizes and windows below 2^24", format!("{:?}, {crop:?}", self.shape))?;
        let pixels = int(OP, "the pixels of a sample", crop.height * crop.width)? as usize;
        let draws_there = Array::upload(device, draws)?;
        let rectangles_there = Array::upload(device, rectangles)?;
        let fill = u32::from_le_bytes([crop.fill[0], crop.fill[1], crop.fill[2], 0]);
        let arguments = arguments![
            self.images.view(),
            draws_there.view(),
            rectangles_there.view(),
            self.table.view() as View<f32>,
            &y,
            h as i32,
            w as i32,
            c as i32,
            crop.height as i32,
            crop.width as i32,
            crop.padding as i32,
            fill,
        ];
        let grid = Grid::rows(draws.len(), pixels);
        // SAFETY: the lengths were checked, and that the draws name images and rectangles that exist.
        unsafe { run(device, OP, format!("prepare_images{}", T::SUFFIX), grid, arguments) }
    }
}
