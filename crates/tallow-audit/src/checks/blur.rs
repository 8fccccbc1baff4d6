//! Blurred pictures, by the deviation of an edge filter's answer.
//!
//! # Source
//! cleanvision's `blurry`: at most 64 pixels a side, Pillow's `FIND_EDGES`, score 1 − exp(−0.01 · deviation); pictures of
//! few grey levels, whose histogram has high peaks, are spared. Colours are turned grey before scaling, not after.
//!
//! Small blurred photographs pass that; the second measure, the lower of both scores counting, is scikit-image's
//! `blur_effect` (F. Crete and others, "The Blur Effect", 2007) at 128 pixels a side: how little a further blur changes.

use tallow_augment::{Image8, Interpolation, Result};

use crate::picture::{histogram, mean_and_std};
use crate::{Measures, Picture};

/// The longest side at which sharpness is measured, in pixels.
const SIDE: f64 = 64.0;
/// The peaks of the histogram from which on a picture counts as drawn rather than blurred.
const DRAWN: f64 = 0.18;
/// The longest side at which the effect of a further blur is measured, in pixels.
const EFFECT_SIDE: f64 = 128.0;
/// The width of that blur, in pixels.
const EFFECT_WIDTH: usize = 11;

/// What sharpness is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edges {
    /// The standard deviation of the edges, in levels.
    pub deviation: f64,
    /// The standard deviation of the 256 counts of the histogram.
    pub peaks: f64,
    /// Which part of the differences between neighbours outlasts a further blur, 0 (sharp) to 1 (blurred already).
    pub effect: f64,
}

/// Measures the edges of a picture.
///
/// # Errors
/// None that a valid picture causes.
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

/// The higher effect of both directions; 0 without any difference between neighbours.
fn blur_effect(grey: &Image8) -> f64 {
    let (width, height) = (grey.width(), grey.height());
    let rows: Vec<f64> = grey.data().iter().map(|level| f64::from(*level)).collect();
    let columns: Vec<f64> =
        (0..width).flat_map(|x| (0..height).map(move |y| (x, y))).map(|(x, y)| rows[y * width + x]).collect();
    effect_along(&rows, width).max(effect_along(&columns, height))
}

/// The effect along rows of `width` values.
fn effect_along(values: &[f64], width: usize) -> f64 {
    let height = values.len() / width;
    if width < 4 || height < 4 {
        return 0.0;
    }
    let half = (EFFECT_WIDTH / 2) as isize;
    // Beyond its ends a row goes on mirrored, the last value twice.
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
    // Sobel's operator; border pixels are left out, as in scikit-image.
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
    let edges = saturating(measures.edges.deviation) + if peaks > DRAWN { peaks } else { 0.0 };
    edges.min(1.0 - measures.edges.effect)
}
