//! Five or ten crops of an image, for averaging predictions.

use super::crop::{Window, crop};
use super::{center_crop, horizontal_flip, vertical_flip};
use crate::{Error, Image8, PaddingMode, Result, Size};

/// Crops the four corners (top left, top right, bottom left, bottom right) and the centre.
///
/// # Errors
/// The crop is larger than the image.
///
/// # Source
/// torchvision `F.five_crop`.
pub fn five_crop(image: &Image8, size: Size) -> Result<[Image8; 5]> {
    if size.height > image.height() || size.width > image.width() || !size.is_valid() {
        return Err(Error::CropTooLarge { op: "five_crop", crop: size, image: image.size() });
    }
    let (bottom, right) = ((image.height() - size.height) as i64, (image.width() - size.width) as i64);
    let at = |top, left| crop(image, Window { top, left, size }, PaddingMode::Constant, [0; 3]);
    Ok([at(0, 0), at(0, right), at(bottom, 0), at(bottom, right), center_crop(image, size)])
}

/// [`five_crop`] of the image and of the mirrored image: mirrored horizontally, or vertically with `vertical`.
///
/// # Errors
/// As [`five_crop`].
///
/// # Source
/// torchvision `F.ten_crop`.
pub fn ten_crop(image: &Image8, size: Size, vertical: bool) -> Result<Vec<Image8>> {
    let mut mirrored = image.clone();
    if vertical {
        vertical_flip(&mut mirrored);
    } else {
        horizontal_flip(&mut mirrored);
    }
    Ok(five_crop(image, size)?.into_iter().chain(five_crop(&mirrored, size)?).collect())
}
