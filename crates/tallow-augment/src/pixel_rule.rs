//! How decoded pixels become 8-bit values where the defaults do not fit: values of another range, and alpha.

use image::{DynamicImage, GrayImage, RgbImage};
use serde::{Deserialize, Serialize};

/// The conversion of a decoded image before [`Image8::from_dynamic`](crate::Image8::from_dynamic). The default changes
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PixelRule {
    /// The number of bits that 16-bit and float images use, from 8 to 16: values from 0 to 2^bits − 1 become 0 to 255,
    /// higher ones 255. Images of 8 bits are not changed. `None`: 16-bit images use all 16 bits, floats are from 0 to 1.
    pub bit_depth: Option<u8>,
    /// The colour behind transparent pixels, as Pillow's `paste` with a mask blends it. `None`: alpha is dropped, as
    /// Pillow's `convert("RGB")` does.
    pub background: Option<[u8; 3]>,
}

/// Pixels of 8 bits: one to four channels, the last of two or four being alpha.
struct Bytes {
    width: u32,
    height: u32,
    channels: usize,
    data: Vec<u8>,
}

impl PixelRule {
    /// The range of [`bit_depth`](Self::bit_depth).
    pub const BIT_DEPTHS: std::ops::RangeInclusive<u8> = 8..=16;

    /// Whether the rule changes no image.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The image with its values scaled and its alpha blended.
    pub fn apply(&self, image: DynamicImage) -> DynamicImage {
        let deep = matches!(
            image,
            DynamicImage::ImageLuma16(_)
                | DynamicImage::ImageLumaA16(_)
                | DynamicImage::ImageRgb16(_)
                | DynamicImage::ImageRgba16(_)
                | DynamicImage::ImageRgb32F(_)
                | DynamicImage::ImageRgba32F(_)
        );
        let scales = self.bit_depth.is_some() && deep;
        let blends = self.background.is_some() && image.color().has_alpha();
        if !scales && !blends {
            return image;
        }
        let (width, height) = (image.width(), image.height());
        let channels = usize::from(image.color().channel_count());
        let data = self.bytes(image);
        let pixels = Bytes { width, height, channels, data };
        match self.background.filter(|_| blends) {
            Some(background) => pixels.blended(background).into_image(),
            None => pixels.into_image(),
        }
    }

    /// The values as bytes.
    fn bytes(&self, image: DynamicImage) -> Vec<u8> {
        let words = |values: Vec<u16>| values.into_iter().map(|value| self.of_word(value)).collect();
        let floats = |values: Vec<f32>| values.into_iter().map(|value| self.of_float(value)).collect();
        match image {
            DynamicImage::ImageLuma16(image) => words(image.into_raw()),
            DynamicImage::ImageLumaA16(image) => words(image.into_raw()),
            DynamicImage::ImageRgb16(image) => words(image.into_raw()),
            DynamicImage::ImageRgba16(image) => words(image.into_raw()),
            DynamicImage::ImageRgb32F(image) => floats(image.into_raw()),
            DynamicImage::ImageRgba32F(image) => floats(image.into_raw()),
            other => other.into_bytes(),
        }
    }

    /// The bit depth, within its range.
    fn bits(&self) -> Option<u32> {
        self.bit_depth.map(|bits| u32::from(bits.clamp(*Self::BIT_DEPTHS.start(), *Self::BIT_DEPTHS.end())))
    }

    /// A 16-bit value: the high 8 of its bits.
    fn of_word(&self, value: u16) -> u8 {
        let bits = self.bits().unwrap_or(16);
        (u32::from(value) >> (bits - 8)).min(255) as u8
    }

    /// A float: scaled from 0 to 2^bits − 1, or from 0 to 1.
    fn of_float(&self, value: f32) -> u8 {
        let highest = self.bits().map_or(1.0, |bits| (1u32 << bits) as f32 - 1.0);
        // Not a number becomes 0.
        (value / highest * 255.0).round().clamp(0.0, 255.0) as u8
    }
}

impl Bytes {
    /// The pixels over a background, without alpha.
    fn blended(self, background: [u8; 3]) -> Self {
        let grey = self.channels == 2 && background[0] == background[1] && background[1] == background[2];
        let channels = if grey { 1 } else { 3 };
        let mut data = Vec::with_capacity(self.data.len() / self.channels * channels);
        for pixel in self.data.chunks_exact(self.channels) {
            let alpha = u32::from(pixel[self.channels - 1]);
            for (channel, behind) in background.iter().enumerate().take(channels) {
                let value = u32::from(if self.channels == 2 { pixel[0] } else { pixel[channel] });
                let sum = value * alpha + u32::from(*behind) * (255 - alpha) + 128;
                data.push(((sum + (sum >> 8)) >> 8) as u8);
            }
        }
        Self { channels, data, ..self }
    }

    fn into_image(self) -> DynamicImage {
        let Self { width, height, channels, data } = self;
        // `from_raw` refuses only a buffer that is too short; these have the image's own length.
        match channels {
            1 => GrayImage::from_raw(width, height, data).unwrap_or_default().into(),
            2 => image::GrayAlphaImage::from_raw(width, height, data).unwrap_or_default().into(),
            3 => RgbImage::from_raw(width, height, data).unwrap_or_default().into(),
            _ => image::RgbaImage::from_raw(width, height, data).unwrap_or_default().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Luma, LumaA, Rgb, Rgba};

    use super::*;

    fn rule(bit_depth: Option<u8>, background: Option<[u8; 3]>) -> PixelRule {
        PixelRule { bit_depth, background }
    }

    #[test]
    fn twelve_bits_keep_all_levels() {
        let levels: Vec<u16> = (0..4096).collect();
        let image: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_raw(64, 64, levels).unwrap();
        let distinct = |image: DynamicImage| {
            let mut levels = crate::Image8::from_dynamic(image, 1).unwrap().data().to_vec();
            levels.dedup();
            levels.len()
        };
        assert_eq!(distinct(rule(Some(12), None).apply(image.clone().into())), 256);
        assert_eq!(distinct(rule(None, None).apply(image.clone().into())), 16, "all 16 bits are taken for used");
        let scaled = rule(Some(12), None).apply(image.into()).into_luma8();
        assert_eq!((scaled.as_raw()[0], scaled.as_raw()[2048], scaled.as_raw()[4095]), (0, 128, 255));
        let above: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_raw(1, 1, vec![5000]).unwrap();
        assert_eq!(rule(Some(12), None).apply(above.into()).into_luma8().as_raw(), &[255]);
    }

    #[test]
    fn floats_are_scaled_or_refused() {
        let image = |value: f32| DynamicImage::from(ImageBuffer::from_pixel(2, 1, Rgb([value, 0.0, 0.0])));
        let red = |image: DynamicImage| crate::Image8::from_dynamic(image, 3).map(|image| image.data()[0]);
        assert_eq!(red(image(0.5)), Ok(128));
        assert_eq!(red(image(1.2)), Ok(255));
        let error = red(image(255.0)).unwrap_err().to_string();
        assert!(error.contains("255") && error.contains("data.bit_depth"), "{error}");
        assert!(red(image(f32::NAN)).is_err());
        assert_eq!(red(rule(Some(8), None).apply(image(255.0))), Ok(255));
        assert_eq!(red(rule(Some(12), None).apply(image(2048.0))), Ok(128));
    }

    #[test]
    fn alpha_is_blended_as_pillow_pastes_it() {
        // Image.new("RGB", (1, 1), (255, 255, 255)).paste((0, 100, 200), mask=128)
        let image = DynamicImage::from(ImageBuffer::from_pixel(1, 1, Rgba([0u8, 100, 200, 128])));
        assert_eq!(rule(None, Some([255; 3])).apply(image.clone()).into_rgb8().as_raw(), &[127, 177, 227]);
        assert_eq!(rule(None, None).apply(image.clone()), image);
        assert_eq!(rule(Some(12), None).apply(image.clone()), image, "8-bit images keep their values and their alpha");
        let grey = DynamicImage::from(ImageBuffer::from_pixel(1, 1, LumaA([0u8, 0])));
        assert_eq!(
            rule(None, Some([9; 3])).apply(grey.clone()),
            DynamicImage::from(GrayImage::from_pixel(1, 1, Luma([9])))
        );
        assert_eq!(rule(None, Some([9, 8, 7])).apply(grey).into_rgb8().as_raw(), &[9, 8, 7]);
        let deep = DynamicImage::from(ImageBuffer::from_pixel(1, 1, LumaA([0u16, 0xffff])));
        assert_eq!(rule(None, Some([9; 3])).apply(deep).into_luma8().as_raw(), &[0]);
    }
}
