//! Colourfulness: how far the channels of a pixel differ.

use tallow_augment::Image8;

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
