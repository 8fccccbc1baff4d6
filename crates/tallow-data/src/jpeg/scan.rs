//! A JPEG's scan: from its bytes to the blocks that are asked for, to the image.

use image::DynamicImage;
use tallow_augment::Size;
use tallow_augment::ops::Window;

use super::Scale;
use super::colour::{Plane, Upsampling, chroma_row, to_rgb};
use super::header::Header;
use super::huffman::{Bits, PADDING, Steps, Table};
use super::idct::transform;

/// The image at `scale`; of one at full size the pixels in `window`.
pub(super) fn decode(header: &Header<'_>, scale: Scale, window: Option<Window>) -> Option<DynamicImage> {
    let plan = Plan::new(header, scale, window)?;
    let size = plan.size;
    let (width, height) = (u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?);
    // Compiled once more for AVX2, which most of the time's machines have.
    let data = pulp::Arch::new().dispatch(Decode { plan: &plan, header })?;
    match plan.components.len() {
        1 => image::GrayImage::from_raw(width, height, data).map(DynamicImage::from),
        _ => image::RgbImage::from_raw(width, height, data).map(DynamicImage::from),
    }
}

/// What is to be made of which blocks.
struct Plan<'a> {
    /// Of the image that is made.
    size: Size,
    /// MCUs in a row, and rows of them.
    mcus: [usize; 2],
    /// The MCUs whose pixels are asked for: columns and rows.
    columns: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
    /// The pixels that are made.
    pixel_columns: std::ops::Range<usize>,
    pixel_rows: std::ops::Range<usize>,
    components: Vec<Part<'a>>,
    upsampling: Upsampling,
}

/// A component with its tables.
struct Part<'a> {
    across: usize,
    down: usize,
    /// Pixels made of a block, across and down.
    side: usize,
    dc: &'a Table,
    ac: &'a Table,
    /// What a block's first coefficient was divided by.
    first_step: i32,
    steps: Steps,
}

impl<'a> Plan<'a> {
    fn new(header: &'a Header<'_>, scale: Scale, window: Option<Window>) -> Option<Self> {
        let luma = header.components.first()?;
        let (across, down) = (luma.across, luma.down);
        let mcus = [header.size.width.div_ceil(8 * across), header.size.height.div_ceil(8 * down)];
        let side = 8 / scale.divisor();
        // Chroma that is halved both ways is transformed to twice the size instead of being brought to it later.
        let both = across == 2 && down == 2;
        let chroma_side = if both { (2 * side).min(8) } else { side };
        let upsampling = match (across, chroma_side == side) {
            (2, true) if both => Upsampling::Both,
            (2, true) if side == 1 => Upsampling::Repeated,
            (2, true) => Upsampling::Across,
            _ => Upsampling::None,
        };
        let mut components = Vec::new();
        for (i, component) in header.components.iter().enumerate() {
            let quantization = header.quantization[component.quantization].as_ref()?;
            components.push(Part {
                across: component.across,
                down: component.down,
                side: if i == 0 { side } else { chroma_side },
                dc: header.dc[component.dc].as_ref()?,
                ac: header.ac[component.ac].as_ref()?,
                first_step: quantization[0],
                steps: Steps::new(quantization),
            });
        }
        let size = scale.of(header.size);
        let inside = |start: i64, length: usize, whole: usize| {
            let end = (start + length as i64).clamp(0, whole as i64);
            (start.clamp(0, end) as usize)..end as usize
        };
        let (pixel_columns, pixel_rows) = match window {
            Some(w) => (inside(w.left, w.size.width, size.width), inside(w.top, w.size.height, size.height)),
            None => (0..size.width, 0..size.height),
        };
        // Chroma is smoothed over one of its pixels, which is two of the image's.
        let blocks = |pixels: &std::ops::Range<usize>, length: usize, most: usize| {
            (pixels.start.saturating_sub(2) / length)..(pixels.end + 2).div_ceil(length).min(most)
        };
        Some(Self {
            size,
            mcus,
            columns: blocks(&pixel_columns, side * across, mcus[0]),
            rows: blocks(&pixel_rows, side * down, mcus[1]),
            pixel_columns,
            pixel_rows,
            components,
            upsampling,
        })
    }

    /// A plane for the rows of a component that are asked for.
    fn plane(&self, part: &Part<'_>) -> Plane {
        let luma = &self.components[0];
        let stride = self.mcus[0] * part.across * part.side;
        let rows = self.rows.len() * part.down * part.side;
        let share = |length: usize, blocks: usize, all: usize| (length * blocks * part.side).div_ceil(all * luma.side);
        Plane {
            data: vec![0; stride * rows],
            stride,
            first: self.rows.start * part.down * part.side,
            width: share(self.size.width, part.across, luma.across),
            height: share(self.size.height, part.down, luma.down),
        }
    }
}

struct Decode<'a> {
    plan: &'a Plan<'a>,
    header: &'a Header<'a>,
}

impl pulp::NullaryFnOnce for Decode<'_> {
    type Output = Option<Vec<u8>>;

    #[inline(always)]
    fn call(self) -> Self::Output {
        let planes = planes(self.plan, self.header)?;
        Some(pixels(self.plan, &planes))
    }
}

/// The components' planes.
#[inline(always)]
fn planes(plan: &Plan<'_>, header: &Header<'_>) -> Option<Vec<Plane>> {
    let mut planes: Vec<Plane> = plan.components.iter().map(|part| plan.plane(part)).collect();
    let mut parts = Parts { data: header.data, bytes: Vec::new(), ended: false };
    let interval = if header.restart_interval == 0 { usize::MAX } else { header.restart_interval };
    let total = plan.rows.end * plan.mcus[0];
    let mut block = [0; 64];
    let mut mcu = 0;
    while mcu < total {
        parts.next()?;
        let mut bits = Bits::new(&parts.bytes);
        let mut before = [0i32; 3];
        for mcu in mcu..total.min(mcu.saturating_add(interval)) {
            let (row, column) = (mcu / plan.mcus[0], mcu % plan.mcus[0]);
            let wanted = plan.rows.contains(&row) && plan.columns.contains(&column);
            for ((part, plane), before) in plan.components.iter().zip(&mut planes).zip(&mut before) {
                for y in 0..part.down {
                    for x in 0..part.across {
                        *before = before.wrapping_add(bits.dc(part.dc)?);
                        if !wanted {
                            bits.skip_ac(part.ac)?;
                            continue;
                        }
                        block[0] = before.wrapping_mul(part.first_step);
                        let last = bits.ac(part.ac, &part.steps, &mut block)?;
                        let top = ((row - plan.rows.start) * part.down + y) * part.side;
                        let left = (column * part.across + x) * part.side;
                        let place = top * plane.stride + left;
                        transform(&block, last, part.side, &mut plane.data[place..], plane.stride);
                        if last > 0 {
                            block = [0; 64];
                        }
                    }
                }
            }
        }
        if bits.overrun() {
            return None;
        }
        mcu = mcu.saturating_add(interval);
    }
    Some(planes)
}

/// The parts of a scan between restart markers, one after the other.
struct Parts<'a> {
    data: &'a [u8],
    /// The present part, its stuffing taken out.
    bytes: Vec<u8>,
    ended: bool,
}

impl Parts<'_> {
    #[inline(always)]
    fn next(&mut self) -> Option<()> {
        if self.ended {
            return None;
        }
        self.bytes.clear();
        loop {
            let at = self.data.iter().position(|byte| *byte == 0xff)?;
            self.bytes.extend_from_slice(&self.data[..at]);
            match self.data.get(at + 1)? {
                0 => {
                    self.bytes.push(0xff);
                    self.data = &self.data[at + 2..];
                }
                // A fill byte before a marker.
                0xff => self.data = &self.data[at + 1..],
                0xd0..=0xd7 => {
                    self.data = &self.data[at + 2..];
                    break;
                }
                _ => {
                    self.ended = true;
                    break;
                }
            }
        }
        self.bytes.extend_from_slice(&[0; PADDING]);
        Some(())
    }
}

/// The image from its planes.
#[inline(always)]
fn pixels(plan: &Plan<'_>, planes: &[Plane]) -> Vec<u8> {
    let width = plan.size.width;
    let [luma, cb, cr] = planes else {
        let mut out = vec![0; plan.size.pixels()];
        for y in plan.pixel_rows.clone() {
            out[y * width..(y + 1) * width].copy_from_slice(planes[0].row(y));
        }
        return out;
    };
    let mut out = vec![0; 3 * plan.size.pixels()];
    // Twice a component's width, which may be one pixel more than the image's.
    let mut rows = [vec![0; width + 2], vec![0; width + 2]];
    let (mut sums, mut packed) = (vec![0; width + 2], vec![0; width]);
    let columns = plan.pixel_columns.clone();
    for y in plan.pixel_rows.clone() {
        for (row, plane) in rows.iter_mut().zip([cb, cr]) {
            chroma_row(plane, plan.upsampling, y, &mut sums, row);
        }
        let line = &mut out[3 * y * width..3 * (y + 1) * width][3 * columns.start..3 * columns.end];
        let [cb, cr] = &rows;
        to_rgb(&luma.row(y)[columns.clone()], &cb[columns.clone()], &cr[columns.clone()], &mut packed, line);
    }
    out
}
