//! Decodes image files within limits: a damaged or huge file is an error that names it.

mod foreign;
mod png;
mod tiff;

use std::borrow::Cow;
use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use crate::error::{Error, Result};
pub use crate::limits::{MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_SIDE};
pub(crate) use foreign::has_foreign_extension;

/// The file name extensions of images, in lower case.
pub const EXTENSIONS: &[&str] = &["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Whether the file name has the extension of a supported image format, in upper or lower case.
pub fn has_image_extension(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|found| EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(found)))
}

/// Decodes an image file and applies its EXIF orientation. Of an animation, the first frame is decoded. The format is
/// detected from the content, not from the name.
///
/// # Errors
/// The file cannot be read, is damaged or truncated, has an unsupported format, or exceeds the limits above.
pub fn decode_file(path: &Path) -> Result<DynamicImage> {
    decode_bytes(&read_file(path)?, path)
}

/// The content of a regular file that is not too large.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(Error::io(path))?;
    if !metadata.is_file() {
        // Reading a named pipe would block.
        return Err(Error::Decode { path: path.into(), reason: "not a regular file".into() });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge { path: path.into(), reason: format!("the file has {} MB", metadata.len() >> 20) });
    }
    fs::read(path).map_err(Error::io(path))
}

/// Decodes the content of an image file as [`decode_file`] does; `path` is for messages.
///
/// # Errors
/// As [`decode_file`].
pub fn decode_bytes(bytes: &[u8], path: &Path) -> Result<DynamicImage> {
    let failed = |reason: String| Error::Decode { path: path.into(), reason };
    if bytes.is_empty() {
        return Err(failed("the file is empty".into()));
    }
    if let Some(format) = foreign::format_of(bytes) {
        return Err(failed(format!("{format} are not read; {}", foreign::CONVERT)));
    }
    // A panic of a decoder on malformed bytes must not end the training.
    match catch_unwind(AssertUnwindSafe(|| decode(bytes))) {
        Ok(Ok(image)) => Ok(image),
        Ok(Err(ImageError::Limits(error))) => Err(Error::TooLarge { path: path.into(), reason: error.to_string() }),
        Ok(Err(error @ ImageError::Unsupported(_))) if image::guess_format(bytes).is_ok() => {
            Err(failed(format!("{error}; {}", foreign::CONVERT)))
        }
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("the decoder panicked".into())),
    }
}

fn decode(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let format = image::guess_format(bytes).ok();
    let mut bytes = Cow::Borrowed(bytes);
    match format {
        Some(ImageFormat::Jpeg) if !jpeg_is_complete(&bytes) => {
            return Err(ImageError::IoError(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                "the JPEG data end before the image does",
            )));
        }
        Some(ImageFormat::Png) => bytes = png::without_packed_metadata(bytes),
        Some(ImageFormat::Tiff) => {
            if let Some(image) = tiff::decode_other_kinds(&bytes)? {
                return Ok(image);
            }
        }
        _ => {}
    }
    let mut reader = ImageReader::new(Cursor::new(bytes.as_ref()));
    match format {
        Some(format) => reader.set_format(format),
        None => reader = reader.with_guessed_format()?,
    }
    let mut limits = limits();
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // `into_decoder` does not count the output buffer.
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// The limits above, as those of a decoder.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    limits
}

/// Decodes a JPEG file at the smallest of 1/2, 1/4 and 1/8 scale whose short side has at least `short_side` pixels, and
/// applies its orientation. `None` if the file must be decoded at full size: it is too small, damaged, not a JPEG, or
/// of a kind that cannot be scaled (CMYK, 16 bits).
pub(crate) fn decode_scaled_jpeg(bytes: &[u8], short_side: u32) -> Option<DynamicImage> {
    catch_unwind(AssertUnwindSafe(|| scaled(bytes, short_side))).ok().flatten()
}

fn scaled(bytes: &[u8], short_side: u32) -> Option<DynamicImage> {
    let is_jpeg = image::guess_format(bytes).is_ok_and(|format| format == ImageFormat::Jpeg);
    if !is_jpeg || !jpeg_is_complete(bytes) {
        return None;
    }
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.read_info().ok()?;
    let info = decoder.info()?;
    let at = |scale: u16| (info.width.div_ceil(scale), info.height.div_ceil(scale));
    let fits = |&scale: &u16| u32::from(at(scale).0.min(at(scale).1)) >= short_side;
    let (width, height) = at([8, 4, 2].into_iter().find(fits)?);
    if u32::from(info.width.max(info.height)) > MAX_SIDE {
        return None;
    }
    let (width, height) = decoder.scale(width, height).ok()?;
    let pixels = decoder.decode().ok()?;
    let mut image = match info.pixel_format {
        jpeg_decoder::PixelFormat::L8 => GrayImage::from_raw(width.into(), height.into(), pixels)?.into(),
        jpeg_decoder::PixelFormat::RGB24 => RgbImage::from_raw(width.into(), height.into(), pixels)?.into(),
        _ => return None,
    };
    let orientation = decoder.exif_data().and_then(Orientation::from_exif_chunk);
    DynamicImage::apply_orientation(&mut image, orientation.unwrap_or(Orientation::NoTransforms));
    Some(image)
}

/// Whether an end-of-image marker follows the last scan. The decoder fills the missing part of a truncated file with
/// grey and reports no error. Within a scan, a byte 0xff is followed by 0x00 or a restart marker, so that neither
/// marker searched here can be data.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
    let find_last = |marker: [u8; 2]| bytes.windows(2).rposition(|window| window == marker);
    // A complete file ends with the marker; a preview in the EXIF data has its own.
    find_last(END_OF_IMAGE).is_some_and(|end| !bytes[end..].windows(2).any(|window| window == START_OF_SCAN))
}
