//! The 8-bit image that ops work on, and the conversion of decoded images into it, equal to Pillow's.

use image::DynamicImage;

use crate::{Error, Result, Size};

/// An 8-bit image, grey or RGB, channels last, without padding between rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image8 {
    size: Size,
    channels: usize,
    data: Vec<u8>,
}

impl Image8 {
    /// An image of `size` with 1 or 3 `channels` from `height * width * channels` values.
    ///
    /// # Errors
    /// `channels` is neither 1 nor 3, the data have the wrong length, or the size is invalid.
    pub fn new(size: Size, channels: usize, data: Vec<u8>) -> Result<Self> {
        if channels != 1 && channels != 3 {
            return Err(Error::Channels { found: channels });
        }
        if !size.is_valid() {
            return Err(Error::ImageSize { op: "input", wanted: size, image: size });
        }
        let expected = size.pixels() * channels;
        if data.len() != expected {
            return Err(Error::BufferLength { expected, found: data.len() });
        }
        Ok(Self { size, channels, data })
    }

    /// As [`Image8::new`] without its checks, for ops that guarantee them.
    pub(crate) fn from_parts(size: Size, channels: usize, data: Vec<u8>) -> Self {
        debug_assert_eq!(data.len(), size.pixels() * channels);
        Self { size, channels, data }
    }

    /// Converts an image as Pillow's `convert("L")` (1 channel) or `convert("RGB")` (3): alpha is dropped, 16-bit
    /// values are scaled from their whole range as torchvision's `to_dtype(uint8, scale=True)` does (`value >> 8`), grey
    /// is `(19595 R + 38470 G + 7471 B + 32768) >> 16`. Floats are scaled from 0..1. [`PixelRule`](crate::PixelRule)
    /// converts values of another range, and alpha, before. An image that already has the right type is not copied.
    ///
    /// # Errors
    /// `channels` is neither 1 nor 3, the image has no pixels, or it has float values far outside 0..1.
    pub fn from_dynamic(image: DynamicImage, channels: usize) -> Result<Self> {
        let size = Size { height: image.height() as usize, width: image.width() as usize };
        let (found, data) = match image {
            DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
            DynamicImage::ImageLumaA8(image) => (1, image.into_raw().chunks_exact(2).map(|p| p[0]).collect()),
            DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
            DynamicImage::ImageRgba8(image) => (3, drop_alpha(&image.into_raw(), |v| v)),
            DynamicImage::ImageLuma16(image) => (1, image.into_raw().into_iter().map(high_byte).collect()),
            DynamicImage::ImageLumaA16(image) => {
                (1, image.into_raw().chunks_exact(2).map(|p| high_byte(p[0])).collect())
            }
            DynamicImage::ImageRgb16(image) => (3, image.into_raw().into_iter().map(high_byte).collect()),
            DynamicImage::ImageRgba16(image) => (3, drop_alpha(&image.into_raw(), high_byte)),
            other => {
                check_floats(&other)?;
                (3, other.into_rgb8().into_raw())
            }
        };
        let data = match (found, channels) {
            (1, 3) => data.iter().flat_map(|v| [*v; 3]).collect(),
            (3, 1) => data.chunks_exact(3).map(luma).collect(),
            _ => data,
        };
        Self::new(size, channels, data)
    }

    /// The same pixels as a `Luma8` or `Rgb8` image.
    pub fn into_dynamic(self) -> DynamicImage {
        // `from_raw` cannot fail: `new` has checked the size and the length.
        let (width, height) = (self.size.width as u32, self.size.height as u32);
        if self.channels == 1 {
            image::GrayImage::from_raw(width, height, self.data).unwrap_or_default().into()
        } else {
            image::RgbImage::from_raw(width, height, self.data).unwrap_or_default().into()
        }
    }

    /// Height and width.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The number of rows.
    pub fn height(&self) -> usize {
        self.size.height
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.size.width
    }

    /// 1 (grey) or 3 (RGB).
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The values, row by row, channels last.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The values, mutable.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The values of row `y`.
    pub fn row(&self, y: usize) -> &[u8] {
        let stride = self.size.width * self.channels;
        &self.data[y * stride..(y + 1) * stride]
    }
}

/// Refuses float values that cannot be from 0 to 1: clipped, all of them would become white. A few bright ones may
/// exceed 1 by a little.
fn check_floats(image: &DynamicImage) -> Result<()> {
    const HIGHEST: f32 = 1.5;
    let values: &[f32] = match image {
        DynamicImage::ImageRgb32F(image) => image.as_raw(),
        DynamicImage::ImageRgba32F(image) => image.as_raw(),
        _ => return Ok(()),
    };
    let highest = values.iter().copied().fold(0.0, f32::max);
    let finite = values.iter().all(|value| value.is_finite());
    if finite && highest <= HIGHEST { Ok(()) } else { Err(Error::FloatRange { highest, finite }) }
}

fn high_byte(value: u16) -> u8 {
    (value >> 8) as u8
}

fn drop_alpha<T: Copy>(data: &[T], convert: impl Fn(T) -> u8) -> Vec<u8> {
    data.chunks_exact(4).flat_map(|p| [convert(p[0]), convert(p[1]), convert(p[2])]).collect()
}

/// The grey level of an RGB pixel: ITU-R 601-2 in Pillow's 16-bit integer arithmetic.
pub(crate) fn luma(pixel: &[u8]) -> u8 {
    let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16) as u8
}
