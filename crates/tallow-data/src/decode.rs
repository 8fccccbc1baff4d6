//! From an image file to pixels, within limits: a damaged or huge file is an error that names it.

/// The largest width or height that is decoded, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The most memory that decoding one image may take.
pub const MAX_DECODED_BYTES: u64 = 512 << 20;
/// The largest image file that is read.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
