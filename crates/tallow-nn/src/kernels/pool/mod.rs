//! Pooling over windows of an image batch: maximum, average, and both over the whole image.

mod avg;
mod global;
mod max;
mod window;

pub use avg::avg_pool2d;
pub use global::{global_avg_pool, global_max_pool};
pub use max::max_pool2d;

/// A pooling window: (vertical, horizontal) each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolConfig {
    /// Pixels of the window.
    pub kernel: (usize, usize),
    /// Pixels between windows.
    pub stride: (usize, usize),
    /// Pixels added around the image on both sides, at most half the window.
    pub padding: (usize, usize),
    /// Whether a window that begins inside the image (or its padding) and ends outside counts.
    pub ceil_mode: bool,
}

impl PoolConfig {
    /// A square window, its size rounded down.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        PoolConfig { kernel: (kernel, kernel), stride: (stride, stride), padding: (padding, padding), ceil_mode: false }
    }
}
