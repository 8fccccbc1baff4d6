//! Sharpness: the lower of two measures is the score.
//!
//! # Source
//! The first measure is cleanvision's `blurry`: the standard deviation of Pillow's `FIND_EDGES` at 64 pixels a side or
//! less, as 1 − exp(−0.01 · deviation). Drawings, which have few grey levels and so high peaks in the histogram, get a
//! bonus. Unlike cleanvision, colour is converted to grey before resizing.
//!
//! Small blurred photographs pass that measure. The second one is scikit-image's `blur_effect` (Crete et al., "The Blur
//! Effect", 2007) at 128 pixels a side or less: the less a further blur changes, the blurrier the image.

use tallow_augment::{Image8, Interpolation, Result};

use crate::Picture;
use crate::stats::{histogram, mean_and_std};

/// The maximum side for the first measure, in pixels.
const SIDE: f64 = 64.0;
/// The peak score of the histogram above which an image is a drawing.
const DRAWN: f64 = 0.18;
/// The maximum side for the second measure, in pixels.
const EFFECT_SIDE: f64 = 128.0;
/// The width of the further blur, in pixels.
const EFFECT_WIDTH: usize = 11;

/// The measures of sharpness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edges {
    /// The standard deviation of the edge image, in levels.
    pub deviation: f64,
    /// The standard deviation of the 256 counts of the histogram.
    pub peaks: f64,
    /// The fraction of the differences between neighbouring pixels that a further blur preserves, 0 (sharp) to 1
    /// (blurred).
    pub effect: f64,
}

impl Edges {
    /// The sharpness, 0 to 1.
    pub fn sharpness(&self) -> f64 {
        let saturating = |value: f64| 1.0 - (-0.01 * value).exp();
        let peaks = saturating(self.peaks);
        let edges = saturating(self.deviation) + if peaks > DRAWN { peaks } else { 0.0 };
        edges.min(1.0 - self.effect)
    }
}

/// Measures the sharpness of an image.
///
/// # Errors
/// Resizing fails.
pub fn edges(picture: &Picture) -> Result<Edges> {
    let scaled = |side: f64| {
        let (width, height) = (picture.width() as f64, picture.height() as f64);
        let ratio = (width.max(height) / side).max(1.0);
        let shorter = |length: f64| ((length / ratio).floor() as usize).max(1);
        picture.resized_grey(shorter(width), shorter(height), Interpolation::Bicubic)
    };
    let grey = scaled(SIDE)?;
    let edges = find_edges(&grey);
    let (_, deviation) = mean_and_std(edges.iter().map(|value| f64::from(*value)));
    let (_, peaks) = mean_and_std(histogram(grey.data()).iter().map(|count| *count as f64));
    Ok(Edges { deviation, peaks, effect: blur_effect(&scaled(EFFECT_SIDE)?) })
}

/// The higher blur effect of both directions; 0 if all pixels are equal.
fn blur_effect(grey: &Image8) -> f64 {
    let (width, height) = (grey.width(), grey.height());
    let rows: Vec<f64> = grey.data().iter().map(|level| f64::from(*level)).collect();
    let columns: Vec<f64> =
        (0..width).flat_map(|x| (0..height).map(move |y| (x, y))).map(|(x, y)| rows[y * width + x]).collect();
    effect_along(&rows, width).max(effect_along(&columns, height))
}

/// The blur effect along rows of `width` values.
fn effect_along(values: &[f64], width: usize) -> f64 {
    let height = values.len() / width;
    if width < 4 || height < 4 {
        return 0.0;
    }
    let half = (EFFECT_WIDTH / 2) as isize;
    // Rows are extended by reflection that repeats the last value.
    let mirrored = |place: isize| {
        let place = place.rem_euclid(2 * width as isize) as usize;
        if place < width { place } else { 2 * width - 1 - place }
    };
    let mut blurred = Vec::with_capacity(values.len());
    for row in values.chunks_exact(width) {
        let mean =
            |x: isize| (x - half..=x + half).map(|place| row[mirrored(place)]).sum::<f64>() / EFFECT_WIDTH as f64;
        blurred.extend((0..width as isize).map(mean));
    }
    // The Sobel operator without border pixels, as in scikit-image.
    let difference = |values: &[f64], x: usize, y: usize| {
        let across = |y: usize| values[y * width + x + 1] - values[y * width + x - 1];
        (across(y - 1) + 2.0 * across(y) + across(y + 1)).abs() / 8.0
    };
    let (mut sharp, mut lost) = (0.0, 0.0);
    for y in 2..height - 1 {
        for x in 2..width - 1 {
            let (before, after) = (difference(values, x, y), difference(&blurred, x, y));
            sharp += before;
            lost += (before - after).max(0.0);
        }
    }
    if sharp > 0.0 { (sharp - lost) / sharp } else { 0.0 }
}

/// Eight times the pixel minus its neighbours, clamped to 0 to 255; border pixels are unchanged.
fn find_edges(grey: &Image8) -> Vec<u8> {
    let (width, height) = (grey.width(), grey.height());
    let mut edges = grey.data().to_vec();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let square: i32 = (y - 1..=y + 1).flat_map(|y| &grey.row(y)[x - 1..=x + 1]).map(|v| i32::from(*v)).sum();
            edges[y * width + x] = (9 * i32::from(grey.row(y)[x]) - square).clamp(0, 255) as u8;
        }
    }
    edges
}
