//! A sample as the content of an image file.

use image::codecs::png::PngEncoder;

use crate::dataset::Dataset;
use crate::error::{Error, Result};

/// The image file of a sample and its extension: the stored file if its extension is one of `allowed`, else a PNG file.
pub(super) fn image_file(dataset: &dyn Dataset, index: usize, allowed: &[&str]) -> Result<(Vec<u8>, &'static str)> {
    if let Some(bytes) = dataset.encoded(index)? {
        let format = image::guess_format(&bytes).ok();
        let extension = format.and_then(|format| format.extensions_str().first().copied());
        if let Some(extension) = extension.filter(|extension| allowed.contains(extension)) {
            return Ok((bytes, extension));
        }
    }
    let mut bytes = Vec::new();
    dataset
        .image(index)?
        .write_with_encoder(PngEncoder::new(&mut bytes)) // `write_to` would compile the encoders of all formats
        .map_err(|error| Error::Decode { path: dataset.id(index).into(), reason: format!("as PNG: {error}") })?;
    Ok((bytes, "png"))
}
