//! From the planes of a JPEG to pixels: chroma brought to full size, YCbCr to RGB.

/// The pixels of one component, rows without gaps.
#[derive(Default)]
pub(super) struct Plane {
    pub data: Vec<u8>,
    /// Bytes a row.
    pub stride: usize,
    /// The row of the component that the first one here is.
    pub first: usize,
    /// Of the component, without what fills up the last block.
    pub width: usize,
    pub height: usize,
}

impl Plane {
    /// Row `y` of the component.
    #[inline(always)]
    pub fn row(&self, y: usize) -> &[u8] {
        let start = (y - self.first) * self.stride;
        &self.data[start..start + self.width]
    }
}

/// How much larger an image is than its chroma.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Upsampling {
    /// Not at all.
    None,
    /// Twice as wide.
    Across,
    /// Twice as wide, by repeating: what libjpeg does where a block becomes one pixel.
    Repeated,
    /// Twice as wide and as high.
    Both,
}

/// Row `y` of the image, of one of the planes of chroma, into `out`; `sums` is for use inside.
///
/// # Source
/// libjpeg's "fancy upsampling": a pixel is 3/4 of the nearest and 1/4 of the next nearest, in each direction.
#[inline(always)]
pub(super) fn chroma_row(plane: &Plane, kind: Upsampling, y: usize, sums: &mut [u16], out: &mut [u8]) {
    match kind {
        Upsampling::None => {
            let row = plane.row(y);
            out[..row.len()].copy_from_slice(row);
        }
        Upsampling::Across | Upsampling::Repeated => {
            for (sum, value) in sums.iter_mut().zip(plane.row(y)) {
                *sum = u16::from(*value);
            }
            let smooth = kind == Upsampling::Across && plane.width > 2;
            across::<4>(&sums[..plane.width], [1, 2], smooth, out);
        }
        Upsampling::Both => {
            let near = plane.row(y / 2);
            let beside =
                if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(plane.height - 1) };
            let far = plane.row(beside);
            if plane.width > 2 {
                for ((sum, near), far) in sums.iter_mut().zip(near).zip(far) {
                    *sum = 3 * u16::from(*near) + u16::from(*far);
                }
                across::<16>(&sums[..plane.width], [8, 7], true, out);
            } else {
                for (pair, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(near) {
                    *pair = [*value; 2];
                }
            }
        }
    }
}

/// Makes a row twice as wide: `(3 near + far + rounding) / SUM`; or, not `smooth`, by repeating.
#[inline(always)]
fn across<const SUM: u16>(values: &[u16], rounding: [u16; 2], smooth: bool, out: &mut [u8]) {
    let (out, _) = out.as_chunks_mut::<2>();
    let last = values.len() - 1;
    if !smooth {
        for (pair, value) in out.iter_mut().zip(values) {
            *pair = [*value as u8; 2];
        }
        return;
    }
    let middle = out[1..last].iter_mut().zip(values).zip(&values[1..]).zip(&values[2..]);
    for (((pair, left), value), right) in middle {
        *pair = [((3 * value + left + rounding[0]) / SUM) as u8, ((3 * value + right + rounding[1]) / SUM) as u8];
    }
    let edge = |i: usize, next: usize| {
        let (value, next) = (values[i], values[next]);
        [((3 * value + next + rounding[0]) / SUM) as u8, ((3 * value + next + rounding[1]) / SUM) as u8]
    };
    out[0] = [((4 * values[0] + rounding[0]) / SUM) as u8, edge(0, 1)[1]];
    out[last] = [edge(last, last - 1)[0], ((4 * values[last] + rounding[1]) / SUM) as u8];
}

const fn fixed(value: f64) -> i32 {
    (value * 65536.0 + 0.5) as i32
}

#[inline(always)]
fn level(value: i32) -> i32 {
    value.clamp(0, 255)
}

/// A row of pixels in RGB; `packed` is for use inside.
///
/// # Source
/// JFIF, in 16-bit fixed point as libjpeg has it.
#[inline(always)]
pub(super) fn to_rgb(y: &[u8], cb: &[u8], cr: &[u8], packed: &mut [u32], out: &mut [u8]) {
    // Loops and no closures: a closure of its own is compiled for the least of the instruction sets.
    for (((packed, y), cb), cr) in packed.iter_mut().zip(y).zip(cb).zip(cr) {
        let (y, cb, cr) = (i32::from(*y), i32::from(*cb) - 128, i32::from(*cr) - 128);
        let red = y + ((fixed(1.402) * cr + 32768) >> 16);
        let green = y + ((-fixed(0.34414) * cb - fixed(0.71414) * cr + 32768) >> 16);
        let blue = y + ((fixed(1.772) * cb + 32768) >> 16);
        *packed = (level(red) | level(green) << 8 | level(blue) << 16) as u32;
    }
    let (fours, rest) = packed[..y.len()].as_chunks::<4>();
    let (twelves, _) = out.as_chunks_mut::<12>();
    for (out, [a, b, c, d]) in twelves.iter_mut().zip(fours) {
        out[..4].copy_from_slice(&(a | b << 24).to_le_bytes());
        out[4..8].copy_from_slice(&(b >> 8 | c << 16).to_le_bytes());
        out[8..].copy_from_slice(&(c >> 16 | d << 8).to_le_bytes());
    }
    for (out, pixel) in out[12 * fours.len()..].chunks_exact_mut(3).zip(rest) {
        out.copy_from_slice(&pixel.to_le_bytes()[..3]);
    }
}
