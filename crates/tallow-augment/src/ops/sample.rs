//! Sampling an image at fractional positions, for affine and perspective transforms.

use crate::{Image8, Interpolation, Size};

/// A map from positions in the output to positions in the input, in pixels, with pixel centres at half integers.
pub(super) trait Placement {
    /// The position in the input for (x, y) in the output.
    fn place(&self, x: f64, y: f64) -> (f64, f64);
}

/// Samples the image at `placement.place(x, y)` for every pixel (x, y). Keeps the size; `fill` outside the image.
///
/// # Source
/// Pillow's `ImagingGenericTransform`.
pub(super) fn transform(
    image: &Image8,
    placement: &impl Placement,
    interpolation: Interpolation,
    fill: [u8; 3],
) -> Image8 {
    let size = image.size();
    let mut data = vec![0; image.data().len()];
    if image.channels() == 1 {
        let pixels = image.data().as_chunks::<1>().0;
        let fill = [fill[0]];
        pulp::Arch::new().dispatch(Sample::<1, 1, _> { pixels, size, placement, interpolation, fill, out: &mut data });
    } else {
        // Padded to four values per pixel: four are computed as fast as three, and load as one vector.
        let mut pixels = vec![[0; 4]; size.pixels()];
        for (pixel, rgb) in pixels.iter_mut().zip(image.data().as_chunks::<3>().0) {
            *pixel = [rgb[0], rgb[1], rgb[2], 0];
        }
        let fill = [fill[0], fill[1], fill[2], 0];
        let pixels = &pixels;
        pulp::Arch::new().dispatch(Sample::<4, 3, _> { pixels, size, placement, interpolation, fill, out: &mut data });
    }
    Image8::from_parts(size, image.channels(), data)
}

/// An image with `L` values per pixel, of which `C` are written.
struct Sample<'a, const L: usize, const C: usize, P> {
    pixels: &'a [[u8; L]],
    size: Size,
    placement: &'a P,
    interpolation: Interpolation,
    fill: [u8; L],
    out: &'a mut [u8],
}

/// Compiled for AVX2 too. Uses loops, because closures would not be compiled for AVX2.
impl<const L: usize, const C: usize, P: Placement> pulp::NullaryFnOnce for Sample<'_, L, C, P> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (width, height) = (self.size.width as f64, self.size.height as f64);
        for i in 0..self.size.height {
            let y_out = i as f64 + 0.5;
            for j in 0..self.size.width {
                let (x, y) = self.placement.place(j as f64 + 0.5, y_out);
                let inside = x >= 0.0 && x < width && y >= 0.0 && y < height;
                let pixel = if !inside {
                    self.fill
                } else if self.interpolation == Interpolation::Nearest {
                    self.pixels[y as usize * self.size.width + x as usize]
                } else if self.interpolation == Interpolation::Bilinear {
                    self.bilinear(x - 0.5, y - 0.5)
                } else {
                    self.bicubic(x - 0.5, y - 0.5)
                };
                let at = (i * self.size.width + j) * C;
                self.out[at..at + C].copy_from_slice(&pixel[..C]);
            }
        }
    }
}

impl<const L: usize, const C: usize, P> Sample<'_, L, C, P> {
    /// The start of row `y`, clamped to the image.
    #[inline(always)]
    fn row(&self, y: i32) -> usize {
        y.clamp(0, self.size.height as i32 - 1) as usize * self.size.width
    }

    /// Column `x`, clamped to the image.
    #[inline(always)]
    fn column(&self, x: i32) -> usize {
        x.clamp(0, self.size.width as i32 - 1) as usize
    }

    /// The pixel in a column of the row that starts at `row`.
    #[inline(always)]
    fn pixel(&self, row: usize, column: usize) -> [f64; L] {
        floats(self.pixels[row + column])
    }

    /// The interpolated value; positions are in pixels from the first pixel's centre.
    #[inline(always)]
    fn bilinear(&self, x: f64, y: f64) -> [u8; L] {
        let ((left, dx), (above, dy)) = (split(x), split(y));
        let (upper, lower) = (self.row(above), self.row(above + 1));
        let (left, right) = (self.column(left), self.column(left + 1));
        let (a, b) = (self.pixel(upper, left), self.pixel(upper, right));
        let (c, d) = (self.pixel(lower, left), self.pixel(lower, right));
        let mut out = [0; L];
        for i in 0..L {
            let top = a[i] + (b[i] - a[i]) * dx;
            let bottom = c[i] + (d[i] - c[i]) * dx;
            out[i] = whole((top + (bottom - top) * dy).floor()) as u8; // between four pixels, so within 0 to 255
        }
        out
    }

    /// The interpolated value; positions are in pixels from the first pixel's centre.
    #[inline(always)]
    fn bicubic(&self, x: f64, y: f64) -> [u8; L] {
        let ((left, dx), (above, dy)) = (split(x), split(y));
        let columns = [self.column(left - 1), self.column(left), self.column(left + 1), self.column(left + 2)];
        let mut across = [[0.0; L]; 4];
        for (i, across) in across.iter_mut().enumerate() {
            let row = self.row(above - 1 + i as i32);
            let [a, b, c, d] = columns;
            *across = cubic([self.pixel(row, a), self.pixel(row, b), self.pixel(row, c), self.pixel(row, d)], dx);
        }
        let values = cubic(across, dy);
        let mut out = [0; L];
        for i in 0..L {
            out[i] = whole(values[i].clamp(0.0, 255.0).floor()) as u8;
        }
        out
    }
}

#[inline(always)]
fn floats<const L: usize>(pixel: [u8; L]) -> [f64; L] {
    let mut out = [0.0; L];
    for i in 0..L {
        out[i] = f64::from(pixel[i]);
    }
    out
}

/// The integer and fractional part of a position in the image.
#[inline(always)]
fn split(place: f64) -> (i32, f64) {
    let below = place.floor();
    (whole(below), place - below)
}

/// Converts an integral value within ±2³¹: added to 3 · 2⁵¹, it is in the lowest bits. A cast would also check for
/// NaN.
#[inline(always)]
fn whole(value: f64) -> i32 {
    (value + 6_755_399_441_055_744.0).to_bits() as i32
}

/// Cubic interpolation (Keys' kernel with a = -1) of four values, at `d` between the second and the third.
#[inline(always)]
fn cubic<const L: usize>([v1, v2, v3, v4]: [[f64; L]; 4], d: f64) -> [f64; L] {
    let mut out = [0.0; L];
    for i in 0..L {
        let (v1, v2, v3, v4) = (v1[i], v2[i], v3[i], v4[i]);
        out[i] = v2 + d * (-v1 + v3 + d * (2.0 * (v1 - v2) + v3 - v4 + d * (-v1 + v2 - v3 + v4)));
    }
    out
}
