//! Resize: antialiased resizing, equal to Pillow within one level.

use std::cell::RefCell;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use super::affine::scaled_places;
use crate::params::{always, validate_p};
use crate::rng::Rng;
use crate::{Error, Image8, Interpolation, Result, Size, SizeParam, Transform};

const NAME: &str = "Resize";

/// Resizes the image: to a short side of `size` with the aspect ratio kept, or to `[height, width]` exactly.
///
/// # Source
/// torchvision `v2.Resize` with `antialias=True`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// The short side, or `[height, width]`.
    pub size: SizeParam,
    /// The interpolation.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// The probability that the op is applied.
    #[serde(default = "always")]
    pub p: f64,
}

impl Resize {
    fn size_for(&self, image: Size) -> Size {
        match self.size {
            SizeParam::Exact([height, width]) => Size { height, width },
            SizeParam::One(short) => short_side(image, short),
        }
    }
}

impl Transform for Resize {
    fn probability(&self) -> f64 {
        self.p
    }

    fn validate(&self, _: usize) -> Result<()> {
        validate_p(NAME, self.p)?;
        self.size.validate(NAME)
    }

    fn output_size(&self, input: Option<Size>) -> Result<Option<Size>> {
        let size = match (self.size, input) {
            (SizeParam::One(_), None) => return Ok(None),
            (SizeParam::Exact([height, width]), None) => Size { height, width },
            (_, Some(image)) => checked(NAME, image, self.size_for(image))?,
        };
        Ok(Some(size))
    }

    fn is_random(&self) -> bool {
        false
    }

    fn apply(&self, image: Image8, _: &mut Rng) -> Result<Image8> {
        let size = checked(NAME, image.size(), self.size_for(image.size()))?;
        resize(image, size, self.interpolation)
    }
}

/// The size with the short side `short` and the aspect ratio of `image`; the long side is rounded down.
fn short_side(image: Size, short: usize) -> Size {
    let long = |long_side: usize, short_side: usize| (short as u128 * long_side as u128 / short_side as u128) as usize;
    if image.width <= image.height {
        Size { height: long(image.height, image.width), width: short }
    } else {
        Size { height: short, width: long(image.width, image.height) }
    }
}

/// Refuses an invalid size, such as the long side of a very thin image.
pub(super) fn checked(op: &'static str, image: Size, wanted: Size) -> Result<Size> {
    if wanted.is_valid() { Ok(wanted) } else { Err(Error::ImageSize { op, wanted, image }) }
}

/// Resizes the image to `size`. Equal to Pillow's `resize` for `Nearest`. Otherwise each of the two passes may differ by 1 level,
/// because the coefficients are 16-bit integers here and have 22 fractional bits in Pillow: that is 1 level in all for most
/// images, and 2 for some enlarged ones.
///
/// # Errors
/// The resizer fails; it does not for valid sizes.
pub fn resize(image: Image8, size: Size, interpolation: Interpolation) -> Result<Image8> {
    let from = image.size();
    let filter = match interpolation {
        Interpolation::Nearest => return Ok(resize_nearest(image, size)),
        Interpolation::Bilinear => FilterType::Bilinear,
        Interpolation::Bicubic => FilterType::CatmullRom,
        Interpolation::Lanczos => FilterType::Lanczos3,
    };
    // Two calls, because a single call keeps more precision between the passes than Pillow does. The order is
    // Pillow's: horizontal first, unless only the vertical pass makes the image smaller.
    let down_first = size.width > from.width && size.height < from.height;
    let between = if down_first {
        Size { height: size.height, width: from.width }
    } else {
        Size { height: from.height, width: size.width }
    };
    resize_once(resize_once(image, between, filter)?, size, filter)
}

fn resize_nearest(image: Image8, size: Size) -> Image8 {
    let from = image.size();
    if from == size {
        return image;
    }
    let channels = image.channels();
    let places = |from: usize, to: usize| scaled_places(from as f64 / to as f64, 0.0, to, from);
    let columns = places(from.width, size.width);
    let mut data = Vec::with_capacity(size.pixels() * channels);
    for y in places(from.height, size.height) {
        // A summed position may end one bit beyond the last pixel.
        let row = image.row(y.unwrap_or(from.height - 1));
        for x in &columns {
            let x = x.unwrap_or(from.width - 1) * channels;
            data.extend_from_slice(&row[x..x + channels]);
        }
    }
    Image8::from_parts(size, channels, data)
}

/// Resizes along one axis; the other side has its final length.
fn resize_once(image: Image8, size: Size, filter: FilterType) -> Result<Image8> {
    let from = image.size();
    if from == size {
        return Ok(image);
    }
    let channels = image.channels();
    let mut data = vec![0; size.pixels() * channels];
    // Typed calls: the resizer's dynamic dispatch would compile all pixel types into this crate.
    let result = if channels == 1 {
        resize_typed::<U8>(from, image.data(), size, &mut data, filter)
    } else {
        resize_typed::<U8x3>(from, image.data(), size, &mut data, filter)
    };
    result.map_err(|message| Error::Resize { from, to: size, message })?;
    Ok(Image8::from_parts(size, channels, data))
}

fn resize_typed<P: PixelTrait>(
    from: Size,
    source: &[u8],
    to: Size,
    target: &mut [u8],
    filter: FilterType,
) -> std::result::Result<(), String> {
    thread_local! {
        // Reused for its buffers.
        static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
    }
    let source = TypedImageRef::<P>::from_buffer(from.width as u32, from.height as u32, source)
        .map_err(|error| error.to_string())?;
    let mut target =
        TypedImage::<P>::from_buffer(to.width as u32, to.height as u32, target).map_err(|error| error.to_string())?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    RESIZER
        .with_borrow_mut(|resizer| resizer.resize_typed(&source, &mut target, &options))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_side_is_exact_and_the_long_one_rounded_down() {
        let size = |height, width| Size { height, width };
        assert_eq!(short_side(size(333, 500), 256), size(256, 384));
        assert_eq!(short_side(size(500, 333), 256), size(384, 256));
        assert_eq!(short_side(size(7, 7), 5), size(5, 5));
    }

    #[test]
    fn a_thin_image_is_refused_not_blown_up() {
        let op = Resize { size: SizeParam::One(224), interpolation: Interpolation::Bilinear, p: 1.0 };
        let thin = Image8::new(Size { height: 1, width: 5000 }, 1, vec![0; 5000]).unwrap();
        let error = op.apply(thin, &mut crate::rng::keyed(0, 0, 0, 0)).unwrap_err();
        assert!(matches!(error, Error::ImageSize { op: "Resize", .. }), "{error}");
    }
}
