//! A decoder of the common JPEG files that looks at no more than is asked for: a window of the image, at full size or at a
//! half, a quarter or an eighth.
//!
//! It reads baseline and extended sequential files of 8 bits in one scan, grey or YCbCr with chroma at full size, halved
//! across or halved both ways, which are nearly all photographs. Of anything else, and of anything damaged, it makes
//! nothing ([`Jpeg::read`] and [`Jpeg::decode`] say `None`): the general decoder then reads or refuses the file.
//!
//! Pixels are those of libjpeg-turbo with its defaults (which Pillow and torchvision use) to the last bit: accurate integer
//! DCT, triangular chroma upsampling, and the same reduced transforms at smaller scales.

mod colour;
mod header;
mod huffman;
mod idct;
mod scan;

use image::DynamicImage;
use image::metadata::Orientation;
use tallow_augment::Size;
use tallow_augment::ops::Window;

use header::Header;

/// How many pixels of the file become one, in each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scale {
    /// As stored.
    Full,
    /// Two.
    Half,
    /// Four.
    Quarter,
    /// Eight.
    Eighth,
}

impl Scale {
    /// From the largest image to the smallest.
    pub const ALL: [Self; 4] = [Self::Full, Self::Half, Self::Quarter, Self::Eighth];

    /// Pixels of the file for one.
    pub fn divisor(self) -> usize {
        1 << self as usize
    }

    /// The size of an image of `size` at this scale, rounded up.
    pub fn of(self, size: Size) -> Size {
        let divisor = self.divisor();
        Size { height: size.height.div_ceil(divisor), width: size.width.div_ceil(divisor) }
    }
}

/// A file whose head was read.
pub struct Jpeg<'a> {
    header: Header<'a>,
}

impl<'a> Jpeg<'a> {
    /// Reads the head of a file; `None` if it is not of the kind read here.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        header::read(bytes).map(|header| Self { header })
    }

    /// Height and width as stored.
    pub fn size(&self) -> Size {
        self.header.size
    }

    /// How the stored image is to be turned to stand upright.
    pub fn orientation(&self) -> Orientation {
        let exif = self.header.exif.and_then(Orientation::from_exif_chunk);
        exif.unwrap_or(Orientation::NoTransforms)
    }

    /// The image, not turned. Of an image at full size only the pixels in `window` need be right, the others may be
    /// black; smaller ones are whole. `None` where the data are damaged.
    pub fn decode(&self, scale: Scale, window: Option<Window>) -> Option<DynamicImage> {
        scan::decode(&self.header, scale, window.filter(|_| scale == Scale::Full))
    }
}
