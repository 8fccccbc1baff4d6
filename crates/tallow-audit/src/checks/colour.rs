//! Grey images in a dataset of colour images. A dataset with as many grey images has no such issue.

use tallow_augment::Image8;

use crate::{Issue, Kind, Measures};

/// The colourfulness with score 1, in levels.
const COLOURED: f64 = 32.0;

/// The 99th percentile of maximum − minimum over a pixel's channels, in levels; below 3 for grey images stored as JPEG.
pub fn colourfulness(image: &Image8) -> u8 {
    if image.channels() == 1 {
        return 0;
    }
    let mut counts = [0usize; 256];
    for pixel in image.data().chunks_exact(3) {
        let (low, high) =
            pixel.iter().fold((255, 0), |(low, high), value| (value.min(&low).to_owned(), *value.max(&high)));
        counts[usize::from(high - low)] += 1;
    }
    let pixels = image.data().len() / 3;
    let mut above = 0;
    let found = (0..256).rev().find(|spread| {
        above += counts[*spread];
        100 * above > pixels
    });
    found.unwrap_or(0) as u8
}

/// The colour score, 0 (grey) to 1.
pub fn score(measures: &Measures) -> f64 {
    (f64::from(measures.colourfulness) / COLOURED).min(1.0)
}

/// The grey images, if fewer than half of all images are grey.
pub fn find(readable: &[(usize, &Measures)], threshold: f64) -> Vec<Issue> {
    let grey: Vec<_> = readable.iter().filter(|(_, measures)| score(measures) < threshold).collect();
    if 2 * grey.len() >= readable.len() {
        return Vec::new();
    }
    let issue = |&&(sample, m): &&(usize, &Measures)| {
        let detail = format!("channels at most {} levels apart", m.colourfulness);
        Issue::new(Kind::GreyAmongColour, sample, score(m), detail)
    };
    grey.iter().map(issue).collect()
}
