//! Mixes rows of pixels, and rows of targets or weights.

use crate::Size;
use crate::ops::Rectangle;

/// The mix of a row with another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowMix {
    /// The other row, whose partner must be this one.
    pub partner: usize,
    /// The weight of the row itself, 0 to 1; the rest is the partner's.
    pub own: f32,
    /// CutMix: the rectangle that shows the partner. `None` (Mixup) blends all pixels.
    pub area: Option<Rectangle>,
}

impl RowMix {
    /// A row that is not changed.
    pub fn alone(partner: usize) -> Self {
        Self { partner, own: 1.0, area: None }
    }
}

/// Mixes images in place. `pixels` is `[n, height, width, channels]`, with one entry of `rows` for each image.
///
/// # Source
/// timm's `Mixup._mix_elem`, which covers all modes.
pub fn mix_pixels(rows: &[RowMix], pixels: &mut [f32], size: Size, channels: usize) {
    let stride = size.width * channels;
    in_pairs(rows, pixels, size.pixels() * channels, |row, out, other| match row.area {
        None => blend(out, other, row.own),
        Some(area) => {
            let columns = area.left * channels..(area.left + area.size.width) * channels;
            for y in area.top..area.top + area.size.height {
                let line = y * stride + columns.start..y * stride + columns.end;
                out[line.clone()].copy_from_slice(&other[line]);
            }
        }
    });
}

/// Mixes targets or weights by the weights of the rows. `values` is `[n, width]`, for example targets `[n, classes]`.
pub fn mix_rows(rows: &[RowMix], values: &mut [f32], width: usize) {
    in_pairs(rows, values, width, |row, out, other| blend(out, other, row.own));
}

/// Calls `mix(row, its values, its partner's values before mixing)` for every row.
fn in_pairs(rows: &[RowMix], values: &mut [f32], width: usize, mix: impl Fn(&RowMix, &mut [f32], &[f32])) {
    let mut before = vec![0.0; width];
    for (i, row) in rows.iter().enumerate() {
        let j = row.partner;
        if i >= j || j >= rows.len() {
            continue; // done with its partner, or its own partner
        }
        let (head, tail) = values.split_at_mut(j * width);
        let (first, second) = (&mut head[i * width..(i + 1) * width], &mut tail[..width]);
        before.copy_from_slice(first);
        mix(row, first, second);
        mix(&rows[j], second, &before);
    }
}

fn blend(out: &mut [f32], other: &[f32], own: f32) {
    if own < 1.0 {
        out.iter_mut().zip(other).for_each(|(out, other)| *out = *out * own + *other * (1.0 - own));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_different_weights_use_what_was_there_before() {
        let rows = [
            RowMix { partner: 2, own: 0.25, area: None },
            RowMix::alone(1),
            RowMix { partner: 0, own: 0.5, area: None },
        ];
        let mut values = [1.0, 0.0, 5.0, 5.0, 0.0, 1.0];
        mix_rows(&rows, &mut values, 2);
        assert_eq!(values, [0.25, 0.75, 5.0, 5.0, 0.5, 0.5]);
    }

    #[test]
    fn a_rectangle_is_exchanged() {
        let size = Size { height: 2, width: 3 };
        let area = Some(Rectangle { top: 1, left: 1, size: Size { height: 1, width: 2 } });
        let rows = [RowMix { partner: 1, own: 0.5, area }, RowMix { partner: 0, own: 0.5, area }];
        let mut pixels: Vec<f32> = (0..12).map(|v| v as f32).collect();
        mix_pixels(&rows, &mut pixels, size, 1);
        assert_eq!(pixels, [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 6.0, 7.0, 8.0, 9.0, 4.0, 5.0]);
    }
}
