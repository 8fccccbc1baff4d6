//! Pixels found between pixels: what affine maps and perspective share.

use crate::{Image8, Interpolation, Size};

/// Where to look for the pixel that comes to stand at a place; in pixels, pixel centres at halves.
pub(super) trait Placement {
    /// The place in the input for (x, y) in the output.
    fn place(&self, x: f64, y: f64) -> (f64, f64);
}

/// The image of which the pixel at `placement.place(x, y)` stands at (x, y), its size kept; `fill` outside of it.
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
        // A fourth value a pixel, of no use but that four are computed as fast as three.
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

/// Pixels of `L` values to sample from, of which `C` are wanted.
struct Sample<'a, const L: usize, const C: usize, P> {
    pixels: &'a [[u8; L]],
    size: Size,
    placement: &'a P,
    interpolation: Interpolation,
    fill: [u8; L],
    out: &'a mut [u8],
}

/// Compiled once more for AVX2: loops and no closures, which would be left behind.
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
    /// Where row `y` begins, the nearest row if there is none.
    #[inline(always)]
    fn row(&self, y: i32) -> usize {
        y.clamp(0, self.size.height as i32 - 1) as usize * self.size.width
    }

    /// Column `x`, the nearest one if there is none.
    #[inline(always)]
    fn column(&self, x: i32) -> usize {
        x.clamp(0, self.size.width as i32 - 1) as usize
    }

    /// The pixel in a column of the row that begins at `row`.
    #[inline(always)]
    fn pixel(&self, row: usize, column: usize) -> [f64; L] {
        floats(self.pixels[row + column])
    }

    /// The value at a place counted between pixel centres.
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

    /// The value at a place counted between pixel centres.
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

/// The whole number below `place`, which is within an image, and the rest.
#[inline(always)]
fn split(place: f64) -> (i32, f64) {
    let below = place.floor();
    (whole(below), place - below)
}

/// A whole number between ±2³¹: added to 3 · 2⁵¹, it stands in the lowest bits. A cast would look for what is no number.
#[inline(always)]
fn whole(value: f64) -> i32 {
    (value + 6_755_399_441_055_744.0).to_bits() as i32
}

/// The cubic through four values in a row (Keys' kernel with a = -1), at `d` between the second and the third.
#[inline(always)]
fn cubic<const L: usize>([v1, v2, v3, v4]: [[f64; L]; 4], d: f64) -> [f64; L] {
    let mut out = [0.0; L];
    for i in 0..L {
        let (v1, v2, v3, v4) = (v1[i], v2[i], v3[i], v4[i]);
        out[i] = v2 + d * (-v1 + v3 + d * (2.0 * (v1 - v2) + v3 - v4 + d * (-v1 + v2 - v3 + v4)));
    }
    out
}
