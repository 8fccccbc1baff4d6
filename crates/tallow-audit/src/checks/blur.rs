//! Blurred pictures, by the deviation of an edge filter's answer.
//!
//! # Source
//! cleanvision's `blurry`: at most 64 pixels a side, Pillow's `FIND_EDGES`, score 1 − exp(−0.01 · deviation); pictures of
//! few grey levels, whose histogram has high peaks, are spared. Colours are turned grey before scaling, not after.

use tallow_augment::{Image8, Interpolation, Result};

use crate::picture::{histogram, mean_and_std};
use crate::{Measures, Picture};

/// The longest side at which sharpness is measured, in pixels.
const SIDE: f64 = 64.0;
/// The peaks of the histogram from which on a picture counts as drawn rather than blurred.
const DRAWN: f64 = 0.18;

/// What sharpness is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edges {
    /// The standard deviation of the edges, in levels.
    pub deviation: f64,
    /// The standard deviation of the 256 counts of the histogram.
    pub peaks: f64,
}

/// Measures the edges of a picture.
///
/// # Errors
/// None that a valid picture causes.
pub fn edges(picture: &Picture) -> Result<Edges> {
    let (width, height) = (picture.width() as f64, picture.height() as f64);
    let ratio = (width.max(height) / SIDE).max(1.0);
    let scaled = |side: f64| ((side / ratio).floor() as usize).max(1);
    let grey = picture.resized_grey(scaled(width), scaled(height), Interpolation::Bicubic)?;
    let edges = find_edges(&grey);
    let (_, deviation) = mean_and_std(edges.iter().map(|value| f64::from(*value)));
    let (_, peaks) = mean_and_std(histogram(grey.data()).iter().map(|count| *count as f64));
    Ok(Edges { deviation, peaks })
}

/// Eight times the pixel minus its neighbours, within 0 to 255; pixels of the border stay as they are.
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

/// How sharp, 0 to 1.
pub fn score(measures: &Measures) -> f64 {
    let saturating = |value: f64| 1.0 - (-0.01 * value).exp();
    let peaks = saturating(measures.edges.peaks);
    (saturating(measures.edges.deviation) + if peaks > DRAWN { peaks } else { 0.0 }).min(1.0)
}
