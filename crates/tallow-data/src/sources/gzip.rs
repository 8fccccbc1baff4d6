//! Reading files that may be gzipped and may be truncated.

use std::io::{BufRead, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::{Error, Result};

/// The file's content, unpacked if its first bytes say that it is gzipped.
pub(super) fn unpacked<'a>(mut file: impl BufRead + 'a, path: &Path) -> Result<Box<dyn Read + 'a>> {
    let start = file.fill_buf().map_err(Error::io(path))?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// Reads until `limit` bytes or the end, which a truncated gzip file reports as an error. Memory grows with what is
/// there, not with what a header promises.
pub(super) fn read_up_to(reader: &mut impl Read, limit: u64, path: &Path) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    match reader.take(limit).read_to_end(&mut data) {
        Ok(_) => Ok(data),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(data),
        Err(error) => Err(Error::io(path)(error)),
    }
}
