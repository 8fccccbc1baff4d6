//! Changes of brightness, contrast, saturation and hue by given factors: the deterministic parts of colour ops.

use crate::Image8;
use crate::image8::luma;

/// Blends black (`factor` 0) with the image (1); more than 1 brightens.
///
/// # Source
/// Pillow `ImageEnhance.Brightness`, which torchvision `F.adjust_brightness` calls.
pub fn adjust_brightness(image: &mut Image8, factor: f32) {
    look_up(image, |value| blend(0, value, factor));
}

/// Blends the mean grey level (`factor` 0) with the image (1).
///
/// # Source
/// Pillow `ImageEnhance.Contrast`.
pub fn adjust_contrast(image: &mut Image8, factor: f32) {
    let data = image.data();
    let sum: u64 = match image.channels() {
        1 => data.iter().map(|v| u64::from(*v)).sum(),
        _ => data.chunks_exact(3).map(|pixel| u64::from(luma(pixel))).sum(),
    };
    let mean = (sum as f64 / image.size().pixels() as f64 + 0.5) as u8;
    look_up(image, |value| blend(mean, value, factor));
}

/// Blends the grey image (`factor` 0) with the coloured one (1). Does not change a grey image.
///
/// # Source
/// Pillow `ImageEnhance.Color`.
pub fn adjust_saturation(image: &mut Image8, factor: f32) {
    if image.channels() == 1 {
        return;
    }
    for pixel in image.data_mut().as_chunks_mut::<3>().0 {
        let grey = luma(pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
}

/// Rotates the hue by `factor` of a full turn, -0.5 to 0.5. Does not change a grey image.
///
/// # Source
/// torchvision `F.adjust_hue` on Pillow images: through 8-bit HSV, with Pillow's rounding.
pub fn adjust_hue(image: &mut Image8, factor: f64) {
    let turn = (factor * 255.0) as i32 as u8; // negative factors wrap around
    if image.channels() == 1 {
        return;
    }
    let sectors: [Sector; 256] = std::array::from_fn(|hue| Sector::of((hue as u8).wrapping_add(turn)));
    for pixel in image.data_mut().as_chunks_mut::<3>().0 {
        let [hue, saturation, value] = rgb_to_hsv(*pixel);
        *pixel = hsv_to_rgb(sectors[usize::from(hue)], saturation, value);
    }
}

/// The sextant of the hue, 0 to 5 from red, and the position in it, 0 to 1.
#[derive(Clone, Copy)]
struct Sector {
    sixth: u8,
    fraction: f64,
}

impl Sector {
    fn of(hue: u8) -> Self {
        let position = f64::from(hue) * 6.0 / 255.0;
        let sixth = position.floor();
        // Rounded to f32, as Pillow stores it.
        Self { sixth: sixth as u8 % 6, fraction: f64::from((position - sixth) as f32) }
    }
}

/// Linear interpolation from `from` (factor 0) to `to` (1) and beyond; clipped to 0..255, rounded down as in Pillow.
pub(super) fn blend(from: u8, to: u8, factor: f32) -> u8 {
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// Replaces every value by its entry in a table of all 256 values.
fn look_up(image: &mut Image8, change: impl Fn(u8) -> u8) {
    let table: [u8; 256] = std::array::from_fn(|value| change(value as u8));
    image.data_mut().iter_mut().for_each(|value| *value = table[usize::from(*value)]);
}

/// Hue, saturation and value, each from 0 to 255, rounded down.
fn rgb_to_hsv(pixel: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = pixel;
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let spread = f32::from(most - least);
    let distance = |channel: u8| f32::from(most - channel) / spread;
    // The sextant of the hue, counted from red.
    let sixth = if r == most {
        distance(b) - distance(g)
    } else if g == most {
        (2.0 + f64::from(distance(r)) - f64::from(distance(b))) as f32
    } else {
        (4.0 + f64::from(distance(g)) - f64::from(distance(r))) as f32
    };
    let turns = f64::from(sixth) / 6.0 + 1.0;
    let hue = if turns >= 1.0 { turns - 1.0 } else { turns } as f32;
    let saturation = spread / f32::from(most);
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

/// The inverse of [`rgb_to_hsv`], except for rounding.
fn hsv_to_rgb(hue: Sector, saturation: u8, value: u8) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let Sector { sixth, fraction } = hue;
    let saturation = f64::from(f32::from(saturation) / 255.0);
    let top = f64::from(value);
    let level = |x: f64| (x + 0.5) as i32 as u8; // from 0 to 255
    let low = level(top * (1.0 - saturation));
    let falling = level(top * (1.0 - saturation * fraction));
    let rising = level(top * (1.0 - saturation * (1.0 - fraction)));
    match sixth {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Size;

    #[test]
    fn factor_one_and_hue_zero_change_nothing() {
        let data: Vec<u8> = (0..=255u8).flat_map(|v| [v, v.wrapping_mul(7), 255 - v]).collect();
        let original = Image8::new(Size { height: 16, width: 16 }, 3, data).unwrap();
        let mut image = original.clone();
        adjust_brightness(&mut image, 1.0);
        adjust_contrast(&mut image, 1.0);
        adjust_saturation(&mut image, 1.0);
        assert_eq!(image, original);
        adjust_hue(&mut image, 0.0); // an 8-bit HSV in between costs some levels
        let differences = image.data().iter().zip(original.data()).map(|(a, b)| a.abs_diff(*b));
        assert!(differences.max().unwrap() <= 8);
    }
}
