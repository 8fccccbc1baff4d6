//! The size of an image.

use std::fmt;

/// Height and width of an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The number of rows.
    pub height: usize,
    /// The number of columns.
    pub width: usize,
}

impl Size {
    /// The longest allowed side.
    pub const MAX_SIDE: usize = 1 << 16;
    /// The largest allowed number of pixels.
    pub const MAX_PIXELS: usize = 1 << 28;

    /// The number of pixels.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Whether both sides are from 1 to [`MAX_SIDE`](Self::MAX_SIDE), with at most [`MAX_PIXELS`](Self::MAX_PIXELS).
    pub fn is_valid(self) -> bool {
        let side = 1..=Self::MAX_SIDE;
        side.contains(&self.height) && side.contains(&self.width) && self.pixels() <= Self::MAX_PIXELS
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{} (height×width)", self.height, self.width)
    }
}
