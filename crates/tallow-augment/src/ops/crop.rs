//! Cropping and padding: the deterministic part of all crops.

use crate::rng::{Rng, uniform};
use crate::{Image8, Padding, PaddingMode, Size};

/// A rectangle in pixels of an image. It may extend beyond the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first row; negative above the image.
    pub top: i64,
    /// The first column; negative left of the image.
    pub left: i64,
    /// Height and width.
    pub size: Size,
}

/// The pixels of `window`; outside the image, as `mode` and `fill` define. Does not allocate the padded image.
///
/// # Source
/// torchvision `F.crop` after `F.pad`.
pub fn crop(image: &Image8, window: Window, mode: PaddingMode, fill: [u8; 3]) -> Image8 {
    let channels = image.channels();
    let fill = &fill[..channels];
    let (width, right) = (image.width() as i64, window.left + window.size.width as i64);
    // The columns of the window inside the image: [inside.start, inside.end).
    let inside = window.left.clamp(0, width)..right.clamp(0, width);
    let mut data = Vec::with_capacity(window.size.pixels() * channels);
    for y in 0..window.size.height as i64 {
        let Some(source_y) = mode.source(window.top + y, image.height()) else {
            (0..window.size.width).for_each(|_| data.extend_from_slice(fill));
            continue;
        };
        let row = image.row(source_y);
        let pad_columns = |data: &mut Vec<u8>, columns: std::ops::Range<i64>| {
            for x in columns {
                match mode.source(x, image.width()) {
                    Some(x) => data.extend_from_slice(&row[x * channels..(x + 1) * channels]),
                    None => data.extend_from_slice(fill),
                }
            }
        };
        pad_columns(&mut data, window.left..right.min(0));
        data.extend_from_slice(&row[inside.start as usize * channels..inside.end as usize * channels]);
        pad_columns(&mut data, window.left.max(width)..right);
    }
    Image8::from_parts(window.size, channels, data)
}

/// Pads the image. The padded size must be a valid [`Size`].
///
/// # Source
/// torchvision `F.pad`.
pub fn pad(image: &Image8, padding: Padding, mode: PaddingMode, fill: [u8; 3]) -> Image8 {
    let [left, top, right, bottom] = padding.sides();
    let size = Size { height: image.height() + top + bottom, width: image.width() + left + right };
    crop(image, Window { top: -(top as i64), left: -(left as i64), size }, mode, fill)
}

/// Draws the sides of a rectangle: its area is a fraction of the image's, drawn from `scale`; its aspect ratio (first
/// side / second side) is drawn from `ratio`, uniformly in the logarithm. Rounded; a side may be 0 or longer than the
/// image.
pub(super) fn draw_sides(image: Size, scale: [f64; 2], ratio: [f64; 2], rng: &mut Rng) -> (usize, usize) {
    let area = image.pixels() as f64 * uniform(rng, scale[0], scale[1]);
    let ratio = uniform(rng, ratio[0].ln(), ratio[1].ln()).exp();
    ((area * ratio).sqrt().round_ties_even() as usize, (area / ratio).sqrt().round_ties_even() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Image8;

    fn row(values: &[u8]) -> Image8 {
        Image8::new(Size { height: 1, width: values.len() }, 1, values.to_vec()).unwrap()
    }

    #[test]
    fn a_window_beyond_the_image_on_any_side() {
        let image = row(&[1, 2, 3]);
        let window = |left, width| Window { top: 0, left, size: Size { height: 1, width } };
        for (mode, left, expected) in [
            (PaddingMode::Constant, -2, [9, 9, 1, 2, 3, 9, 9]),
            (PaddingMode::Edge, -2, [1, 1, 1, 2, 3, 3, 3]),
            (PaddingMode::Reflect, -2, [3, 2, 1, 2, 3, 2, 1]),
            (PaddingMode::Symmetric, -2, [2, 1, 1, 2, 3, 3, 2]),
            (PaddingMode::Constant, 3, [9; 7]),
            (PaddingMode::Constant, -7, [9; 7]),
            (PaddingMode::Edge, -9, [1; 7]),
        ] {
            assert_eq!(crop(&image, window(left, 7), mode, [9; 3]).data(), expected, "{mode:?} {left}");
        }
        let above = Window { top: -1, left: 0, size: Size { height: 2, width: 2 } };
        assert_eq!(crop(&image, above, PaddingMode::Constant, [9; 3]).data(), [9, 9, 1, 2]);
        assert_eq!(crop(&row(&[5]), window(-2, 4), PaddingMode::Reflect, [9; 3]).data(), [5; 4]);
    }
}
