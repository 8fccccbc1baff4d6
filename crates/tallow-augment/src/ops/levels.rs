//! Posterize, solarize, invert, autocontrast, equalize and grayscale: the deterministic parts.

use crate::Image8;
use crate::image8::luma;

/// Keeps the `bits` highest bits of every value. 8 or more is no change; 0 makes the image black.
///
/// # Source
/// Pillow `ImageOps.posterize`, which torchvision `F.posterize` calls.
pub fn posterize(image: &mut Image8, bits: u8) {
    let mask = !(0xffu16 >> bits.min(8)) as u8;
    map(image, |value| value & mask);
}

/// Inverts the values of at least `threshold`; 256 is no change.
///
/// # Source
/// Pillow `ImageOps.solarize`.
pub fn solarize(image: &mut Image8, threshold: f64) {
    map(image, |value| if f64::from(value) < threshold { value } else { 255 - value });
}

/// Adds `add` to the values below 128, up to 255.
///
/// # Source
/// timm's `solarize_add`.
pub fn solarize_add(image: &mut Image8, add: u8) {
    map(image, |value| if value < 128 { value.saturating_add(add) } else { value });
}

/// Inverts all values.
///
/// # Source
/// Pillow `ImageOps.invert`.
pub fn invert(image: &mut Image8) {
    image.data_mut().iter_mut().for_each(|value| *value = 255 - *value);
}

/// Stretches each channel so that its darkest value becomes 0 and its brightest 255.
///
/// # Source
/// Pillow `ImageOps.autocontrast`.
pub fn autocontrast(image: &mut Image8) {
    map_channels(image, |histogram| {
        let darkest = histogram.iter().position(|n| *n > 0).unwrap_or(0);
        let brightest = histogram.iter().rposition(|n| *n > 0).unwrap_or(0);
        if brightest <= darkest {
            return std::array::from_fn(|value| value as u8);
        }
        let scale = 255.0 / (brightest - darkest) as f64;
        let offset = -(darkest as f64) * scale;
        std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
    });
}

/// Equalizes the histogram of each channel.
///
/// # Source
/// Pillow `ImageOps.equalize`.
pub fn equalize(image: &mut Image8) {
    map_channels(image, |histogram| {
        let last = histogram.iter().rev().find(|n| **n > 0).copied().unwrap_or(0);
        let step = (histogram.iter().sum::<usize>() - last) / 255;
        let mut before = step / 2;
        std::array::from_fn(|value| {
            if step == 0 {
                return value as u8;
            }
            let level = (before / step).min(255) as u8;
            before += histogram[value];
            level
        })
    });
}

/// Converts a colour image to grey with three equal channels. Does not change a grey image.
///
/// # Source
/// torchvision `F.rgb_to_grayscale` with the image's number of channels.
pub fn grayscale(image: &mut Image8) {
    if image.channels() == 3 {
        for pixel in image.data_mut().as_chunks_mut::<3>().0 {
            *pixel = [luma(pixel); 3];
        }
    }
}

/// Replaces every value `v` by `change(v)`.
fn map(image: &mut Image8, change: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|value| change(value as u8));
    image.data_mut().iter_mut().for_each(|value| *value = table[usize::from(*value)]);
}

/// Maps each channel by the lookup table that `table` computes from its histogram.
fn map_channels(image: &mut Image8, table: impl Fn(&[usize; 256]) -> [u8; 256]) {
    if image.channels() == 3 {
        map_each::<3>(image, table);
    } else {
        map_each::<1>(image, table);
    }
}

fn map_each<const C: usize>(image: &mut Image8, table: impl Fn(&[usize; 256]) -> [u8; 256]) {
    let (pixels, _) = image.data_mut().as_chunks_mut::<C>();
    let mut histograms = [[0; 256]; C];
    for pixel in pixels.iter() {
        for (histogram, value) in histograms.iter_mut().zip(pixel) {
            histogram[usize::from(*value)] += 1;
        }
    }
    let tables = histograms.map(|histogram| table(&histogram));
    for pixel in pixels {
        for (value, table) in pixel.iter_mut().zip(&tables) {
            *value = table[usize::from(*value)];
        }
    }
}
