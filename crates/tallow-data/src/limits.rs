//! Limits on the images that are read: a damaged header or a hostile file must not take all memory.

/// The largest width or height that is decoded, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The most memory that decoding one image may take, in bytes.
pub const MAX_DECODED_BYTES: u64 = 512 << 20;
/// The largest image file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 256 << 20;
