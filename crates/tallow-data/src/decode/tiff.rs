//! Kinds of TIFF files that the general decoder does not read: grey levels as floats, and palettes of 8 bits.

use std::io::Cursor;

use image::error::{DecodingError, LimitError, LimitErrorKind};
use image::{DynamicImage, ImageError, ImageFormat, ImageResult, Rgb, Rgb32FImage, RgbImage};
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use crate::limits::{MAX_DECODED_BYTES, MAX_SIDE};

const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u16 = 3;

/// The image, if the file is of one of these kinds. Floats keep their values, equal in the three channels.
pub(super) fn decode_other_kinds(bytes: &[u8]) -> ImageResult<Option<DynamicImage>> {
    match Photometric::find(bytes) {
        Some(field) if field.value == PALETTE => palette(bytes, &field),
        Some(_) => floats(bytes),
        None => Ok(None),
    }
}

/// Grey levels as floats of 32 or 64 bits. DynamicImage has no such type: each level is repeated for three channels.
fn floats(bytes: &[u8]) -> ImageResult<Option<DynamicImage>> {
    let Ok(mut decoder) = Decoder::new(Cursor::new(bytes)) else { return Ok(None) };
    if !matches!(decoder.colortype(), Ok(ColorType::Gray(32 | 64))) {
        return Ok(None);
    }
    let (width, height) = checked_size(&mut decoder, 12)?;
    let levels: Vec<f32> = match decoder.with_limits(limits()).read_image().map_err(failed)? {
        DecodingResult::F32(levels) => levels,
        DecodingResult::F64(levels) => levels.into_iter().map(|level| level as f32).collect(),
        _ => return Ok(None), // whole numbers of 32 bits: the general decoder names them
    };
    let levels = levels.into_iter().flat_map(|level| [level; 3]).collect();
    Ok(Rgb32FImage::from_raw(width, height, levels).map(DynamicImage::ImageRgb32F))
}

/// A palette of 256 colours: the indices are read as grey levels, then looked up.
fn palette(bytes: &[u8], field: &Photometric) -> ImageResult<Option<DynamicImage>> {
    let mut as_grey = bytes.to_vec();
    as_grey[field.at..field.at + 2].copy_from_slice(&field.bytes(BLACK_IS_ZERO));
    let mut decoder = Decoder::new(Cursor::new(as_grey)).map_err(failed)?;
    if decoder.colortype().map_err(failed)? != ColorType::Gray(8) {
        return Ok(None);
    }
    let (width, height) = checked_size(&mut decoder, 3)?;
    let colours = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(failed)?;
    if colours.len() != 3 * 256 {
        return Ok(None);
    }
    let DecodingResult::U8(indices) = decoder.with_limits(limits()).read_image().map_err(failed)? else {
        return Ok(None);
    };
    let colour = |index: usize| Rgb([0, 256, 512].map(|plane| (colours[plane + index] >> 8) as u8));
    let pixels = indices.into_iter().flat_map(|index| colour(usize::from(index)).0).collect();
    Ok(RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8))
}

/// Width and height, if an image of `bytes_per_pixel` is within the limits.
fn checked_size<R: std::io::Read + std::io::Seek>(
    decoder: &mut Decoder<R>,
    bytes_per_pixel: u64,
) -> ImageResult<(u32, u32)> {
    let (width, height) = decoder.dimensions().map_err(failed)?;
    if width.max(height) > MAX_SIDE {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError)));
    }
    if u64::from(width) * u64::from(height) * bytes_per_pixel > MAX_DECODED_BYTES {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)));
    }
    Ok((width, height))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MAX_DECODED_BYTES as usize;
    limits
}

fn failed(error: TiffError) -> ImageError {
    match error {
        TiffError::IoError(error) => ImageError::IoError(error),
        TiffError::LimitsExceeded => ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)),
        error => ImageError::Decoding(DecodingError::new(ImageFormat::Tiff.into(), error)),
    }
}

/// The field PhotometricInterpretation of the first image.
struct Photometric {
    /// The position of its value in the file.
    at: usize,
    value: u16,
    little_endian: bool,
}

impl Photometric {
    const TAG: u16 = 262;

    /// Finds the field in a classic TIFF file; of BigTIFF files, no other kinds are read.
    fn find(bytes: &[u8]) -> Option<Self> {
        let little_endian = bytes.starts_with(b"II*\0");
        if !little_endian && !bytes.starts_with(b"MM\0*") {
            return None;
        }
        let short = |at: usize| {
            let pair: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
            Some(if little_endian { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
        };
        let offset: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        let offset = if little_endian { u32::from_le_bytes(offset) } else { u32::from_be_bytes(offset) } as usize;
        let entries = usize::from(short(offset)?);
        let entry = (0..entries).map(|entry| offset + 2 + 12 * entry).find(|at| short(*at) == Some(Self::TAG))?;
        Some(Self { at: entry + 8, value: short(entry + 8)?, little_endian })
    }

    fn bytes(&self, value: u16) -> [u8; 2] {
        if self.little_endian { value.to_le_bytes() } else { value.to_be_bytes() }
    }
}
