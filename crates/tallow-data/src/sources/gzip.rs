//! Reads files that may be gzipped and may be truncated.

use std::io::{BufRead, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};

/// The file's content, decompressed if its first bytes are those of gzip.
pub(super) fn unpacked<'a>(mut file: impl BufRead + 'a, path: &Path) -> Result<Box<dyn Read + 'a>> {
    let start = file.fill_buf().map_err(Error::io(path))?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// Reads up to `limit` bytes; a truncated gzip file ends early without an error. Memory grows with the bytes that
/// exist, not with a length in a header.
pub(super) fn read_up_to(reader: &mut impl Read, limit: u64, path: &Path) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    match reader.take(limit).read_to_end(&mut data) {
        Ok(_) => Ok(data),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(data),
        Err(error) => Err(Error::io(path)(error)),
    }
}
