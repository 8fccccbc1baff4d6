//! Rotation, translation, scaling and shear: the deterministic part of RandomRotation and RandomAffine.

use super::sample::{Placement, transform};
use crate::{Image8, Interpolation, Size};

/// An affine map from a position in the output to the position in the input:
/// `x = m[0] x' + m[1] y' + m[2]`, `y = m[3] x' + m[4] y' + m[5]`, in pixels, with pixel centres at half integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AffineMatrix(pub [f64; 6]);

impl AffineMatrix {
    /// Rotation by `angle` degrees counter-clockwise about the centre of an image.
    ///
    /// # Source
    /// Pillow `Image.rotate` (without `expand`), which torchvision `F.rotate` calls.
    pub fn rotation(angle: f64, image: Size) -> Self {
        // Rounded to 15 decimals as in Pillow: quarter turns have exact zeros and ones.
        let round = |x: f64| (x * 1e15).round_ties_even() / 1e15;
        let (sin, cos) = (-angle.rem_euclid(360.0)).to_radians().sin_cos();
        Self::about_middle([round(cos), round(sin), round(-sin), round(cos)], [0.0; 2], image)
    }

    /// Shear by `shear` degrees (x, y), scaling by `scale` and rotation by `angle` degrees clockwise about the
    /// centre, then translation by `translate` pixels (x, y).
    ///
    /// # Source
    /// torchvision `F.affine`.
    pub fn new(angle: f64, translate: [f64; 2], scale: f64, shear: [f64; 2], image: Size) -> Self {
        let (angle, [shear_x, shear_y]) = (angle.to_radians(), shear.map(f64::to_radians));
        let turned = angle - shear_y;
        let a = turned.cos() / shear_y.cos();
        let b = -turned.cos() * shear_x.tan() / shear_y.cos() - angle.sin();
        let c = turned.sin() / shear_y.cos();
        let d = -turned.sin() * shear_x.tan() / shear_y.cos() + angle.cos();
        Self::about_middle([d / scale, -b / scale, -c / scale, a / scale], translate, image)
    }

    /// The linear map `m` (row-major) about the centre, which it maps to `translate`.
    fn about_middle(m: [f64; 4], translate: [f64; 2], image: Size) -> Self {
        let (middle_x, middle_y) = (image.width as f64 * 0.5, image.height as f64 * 0.5);
        let (x, y) = (-middle_x - translate[0], -middle_y - translate[1]);
        Self([m[0], m[1], m[0] * x + m[1] * y + middle_x, m[2], m[3], m[2] * x + m[3] * y + middle_y])
    }
}

/// Transforms the image by `matrix` and keeps its size. Uncovered pixels become `fill`; `Lanczos` is treated as
/// `Bicubic`.
///
/// # Source
/// Pillow `Image.transform(AFFINE)`: same coordinates, same rounding (down).
pub fn affine(image: &Image8, matrix: &AffineMatrix, interpolation: Interpolation, fill: [u8; 3]) -> Image8 {
    if interpolation != Interpolation::Nearest {
        return transform(image, matrix, interpolation, fill);
    }
    if image.channels() == 1 { nearest_of(image, matrix, [fill[0]]) } else { nearest_of(image, matrix, fill) }
}

impl Placement for AffineMatrix {
    #[inline(always)]
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        let m = &self.0;
        (m[0] * x + m[1] * y + m[2], m[3] * x + m[4] * y + m[5])
    }
}

fn nearest_of<const C: usize>(image: &Image8, matrix: &AffineMatrix, fill: [u8; C]) -> Image8 {
    let source = Source { pixels: image.data().as_chunks::<C>().0, size: image.size() };
    let mut data = vec![0; image.data().len()];
    let rows = data.as_chunks_mut::<C>().0.chunks_exact_mut(image.width());
    nearest(&source, matrix, fill, rows);
    Image8::from_parts(image.size(), C, data)
}

/// The pixels of the input.
struct Source<'a, const C: usize> {
    pixels: &'a [[u8; C]],
    size: Size,
}

/// The rows of an output with `C` channels.
type Rows<'a, const C: usize> = std::slice::ChunksExactMut<'a, [u8; C]>;

/// Nearest-neighbour sampling. As in Pillow, positions are computed in 16.16 fixed point; for scaling without rotation
/// or shear, in floating point.
fn nearest<const C: usize>(source: &Source<'_, C>, matrix: &AffineMatrix, fill: [u8; C], rows: Rows<'_, C>) {
    let m = matrix.0;
    if m[1] == 0.0 && m[3] == 0.0 {
        let columns = scaled_places(m[0], m[2], source.size.width, source.size.width);
        let lines = scaled_places(m[4], m[5], source.size.height, source.size.height);
        for (row, y) in rows.zip(lines) {
            for (out, x) in row.iter_mut().zip(&columns) {
                *out = y.zip(*x).map_or(fill, |(y, x)| source.pixels[y * source.size.width + x]);
            }
        }
        return;
    }
    let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
    let start = [m[2] + m[0] * 0.5 + m[1] * 0.5, m[5] + m[3] * 0.5 + m[4] * 0.5].map(fixed);
    let [step_x, slope_x, step_y, slope_y] = [m[0], m[1], m[3], m[4]].map(fixed);
    for (i, row) in rows.enumerate() {
        // Wrapping: only an extreme matrix overflows; the result is arbitrary then, but within the image.
        let mut x = start[0].wrapping_add(slope_x.wrapping_mul(i as i64));
        let mut y = start[1].wrapping_add(slope_y.wrapping_mul(i as i64));
        for out in row {
            *out = match (inside(y >> 16, source.size.height), inside(x >> 16, source.size.width)) {
                (Some(y), Some(x)) => source.pixels[y * source.size.width + x],
                _ => fill,
            };
            x = x.wrapping_add(step_x);
            y = y.wrapping_add(step_y);
        }
    }
}

/// The pixel of `length` at each of `count` positions, `step` apart, from `start`; `None` outside.
pub(super) fn scaled_places(step: f64, start: f64, count: usize, length: usize) -> Vec<Option<usize>> {
    // Added up, not multiplied, as in Pillow: the last bit decides at the border of a pixel.
    std::iter::successors(Some(start + step * 0.5), |place| Some(place + step))
        .take(count)
        .map(|place| inside(if place < 0.0 { -1 } else { place as i64 }, length))
        .collect()
}

/// The pixel at `place`, if it is one of `length` pixels.
fn inside(place: i64, length: usize) -> Option<usize> {
    usize::try_from(place).ok().filter(|place| *place < length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_changes_nothing_and_a_shift_moves() {
        let size = Size { height: 3, width: 4 };
        let image = Image8::new(size, 1, (0..12).map(|v| v * 20).collect()).unwrap();
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic] {
            let moved = |translate| {
                affine(&image, &AffineMatrix::new(0.0, translate, 1.0, [0.0; 2], size), interpolation, [7; 3])
            };
            assert_eq!(moved([0.0, 0.0]), image, "{interpolation:?}");
            assert_eq!(moved([1.0, 2.0]).data(), [7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 20, 40], "{interpolation:?}");
        }
    }

    #[test]
    fn matrices_without_sense_give_the_fill() {
        let size = Size { height: 2, width: 2 };
        let image = Image8::new(size, 3, vec![100; 12]).unwrap();
        for value in [f64::NAN, f64::INFINITY, 1e300] {
            for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
                affine(&image, &AffineMatrix([value, value, value, value, value, value]), interpolation, [7; 3]);
            }
        }
    }
}
