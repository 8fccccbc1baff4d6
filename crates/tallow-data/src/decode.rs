//! From an image file to pixels, within limits: a damaged or huge file is an error that names it.

use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use crate::{Error, Result};

/// The largest width or height that is decoded, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The most memory that decoding one image may take.
pub const MAX_DECODED_BYTES: u64 = 512 << 20;
/// The largest image file that is read.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
/// The file name extensions of images, in lower case.
pub const EXTENSIONS: &[&str] = &["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// True if the file name ends as one of the supported image formats, in any case.
pub fn has_image_extension(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|found| EXTENSIONS.iter().any(|e| e.eq_ignore_ascii_case(found)))
}

/// Decodes an image file, upright as its EXIF orientation says; of an animation the first frame. The content tells the
/// format, not the name.
///
/// # Errors
/// A file that cannot be read, is damaged, truncated or of another format, or exceeds the limits above.
pub fn decode_file(path: &Path) -> Result<DynamicImage> {
    decode_bytes(&read_file(path)?, path)
}

/// An image file's content, if it is a file and not too large.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(Error::io(path))?;
    if !metadata.is_file() {
        // Reading a named pipe would wait for ever.
        return Err(Error::Decode { path: path.into(), reason: "not a regular file".into() });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(Error::TooLarge { path: path.into(), reason: format!("the file has {} MB", metadata.len() >> 20) });
    }
    fs::read(path).map_err(Error::io(path))
}

/// Decodes an image file's content as [`decode_file`] does; `path` is for messages.
///
/// # Errors
/// As [`decode_file`].
pub fn decode_bytes(bytes: &[u8], path: &Path) -> Result<DynamicImage> {
    let failed = |reason: String| Error::Decode { path: path.into(), reason };
    if bytes.is_empty() {
        return Err(failed("the file is empty".into()));
    }
    // Decoders are other people's code on anybody's bytes: a bug there must not end a day of training.
    match catch_unwind(AssertUnwindSafe(|| decode(bytes))) {
        Ok(Ok(image)) => Ok(image),
        Ok(Err(ImageError::Limits(error))) => Err(Error::TooLarge { path: path.into(), reason: error.to_string() }),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("the decoder panicked".into())),
    }
}

fn decode(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if reader.format() == Some(ImageFormat::Jpeg) && !jpeg_is_complete(bytes) {
        return Err(ImageError::IoError(std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "the JPEG data end before the image does",
        )));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    // `into_decoder` leaves the output buffer itself out of the account.
    limits.reserve(decoder.total_bytes())?;
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// A JPEG file at 1/2, 1/4 or 1/8 of its size, upright: the smallest at which its short side has `short_side` pixels.
/// `None`: it is to be decoded as it is, being too small, damaged, of another format, or of a kind (CMYK, 16 bits) that is
/// not scaled here.
pub(crate) fn decode_draft(bytes: &[u8], short_side: u32) -> Option<DynamicImage> {
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

/// True if an end-of-image marker stands behind the last scan. The decoder paints what is missing of a truncated file
/// grey and says nothing. Inside a scan a byte 0xff is followed by 0x00 or a restart marker, so neither marker sought
/// here can be data.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
    let find_last = |marker: [u8; 2]| bytes.windows(2).rposition(|window| window == marker);
    // The end is found at once in a whole file; a preview in the EXIF data has an end of its own.
    find_last(END_OF_IMAGE).is_some_and(|end| !bytes[end..].windows(2).any(|window| window == START_OF_SCAN))
}
