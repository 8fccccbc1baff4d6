//! The 3 × 3 median filter, which removes stray pixels and reduces noise.

use tallow_augment::{Image8, Result, Size};

/// Replaces each pixel of each channel by the median of its 3 × 3 neighbourhood. Borders are extended by the nearest
/// pixel, as in `scipy.ndimage.median_filter(mode="nearest")`.
///
/// # Errors
/// The image has no pixels.
pub fn median_filter(image: &Image8) -> Result<Image8> {
    let (height, width, channels) = (image.height(), image.width(), image.channels());
    let mut data = Vec::with_capacity(image.data().len());
    for y in 0..height {
        let rows = [y.saturating_sub(1), y, (y + 1).min(height - 1)].map(|y| image.row(y));
        for x in 0..width {
            let columns = [x.saturating_sub(1), x, (x + 1).min(width - 1)];
            for channel in 0..channels {
                let mut square = [0; 9];
                for (i, value) in square.iter_mut().enumerate() {
                    *value = rows[i / 3][columns[i % 3] * channels + channel];
                }
                square.sort_unstable();
                data.push(square[4]);
            }
        }
    }
    Image8::new(Size { height, width }, channels, data)
}
