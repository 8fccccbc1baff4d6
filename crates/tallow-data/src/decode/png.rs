//! Removes compressed metadata from PNG files: a chunk of some kB can expand to gigabytes before the first pixel.

use std::borrow::Cow;

const SIGNATURE: usize = 8;
/// Length, type and checksum of a chunk.
const FRAME: usize = 12;
/// The chunks that hold compressed data which is not pixels: the colour profile and texts.
const PACKED: [&[u8; 4]; 3] = [b"iCCP", b"zTXt", b"iTXt"];

/// The file without these chunks, which the decoder expands although nothing reads them. What follows the first pixels,
/// or cannot be understood, is left to the decoder.
pub(super) fn without_packed_metadata(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let mut removed: Vec<std::ops::Range<usize>> = Vec::new();
    let mut at = SIGNATURE;
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = at + FRAME + length;
        if end > bytes.len() {
            break;
        }
        if PACKED.iter().any(|kind| head[4..] == **kind) {
            removed.push(at..end);
        }
        at = end;
    }
    if removed.is_empty() {
        return bytes;
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for chunk in removed {
        kept.extend_from_slice(&bytes[from..chunk.start]);
        from = chunk.end;
    }
    kept.extend_from_slice(&bytes[from..]);
    Cow::Owned(kept)
}
