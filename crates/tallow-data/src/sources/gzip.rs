//! Reads files that may be gzipped and may be truncated.

use std::io::{BufRead, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};

/// A gzipped file of images expands at most by this factor, beyond the bytes of [`SMALL`]. MNIST's expand by 5; a
/// thousand is possible for a file that was made to fill the memory.
const EXPANSION: u64 = 100;
/// What any file may expand to, in bytes.
const SMALL: u64 = 64 << 20;

/// The content of a file, decompressed if its first bytes are those of gzip.
pub(super) struct Unpacked<'a> {
    reader: Box<dyn Read + 'a>,
    /// The most bytes that the file can hold.
    pub most: u64,
    left: u64,
    /// Whether the file is compressed.
    pub packed: bool,
}

/// Opens the content of a file of `length` bytes.
pub(super) fn unpacked<'a>(mut file: impl BufRead + 'a, length: u64, path: &Path) -> Result<Unpacked<'a>> {
    let start = file.fill_buf().map_err(Error::io(path))?;
    let packed = start.starts_with(&[0x1f, 0x8b]);
    let most = if packed { length.saturating_mul(EXPANSION).saturating_add(SMALL) } else { length };
    let reader: Box<dyn Read + 'a> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(Unpacked { reader, most, left: most, packed })
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let message = || {
            let most = self.most >> 20;
            format!("the file expands to more than {most} MB, {EXPANSION} times its size: it is damaged or hostile")
        };
        let too_much = || std::io::Error::new(ErrorKind::InvalidData, message());
        self.left = self.left.checked_sub(read as u64).ok_or_else(too_much)?;
        Ok(read)
    }
}

/// Reads up to `limit` bytes; a truncated gzip file ends early without an error. Memory grows with the bytes that
/// exist, not with a length in a header.
pub(super) fn read_up_to(reader: &mut impl Read, limit: u64, path: &Path) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    read_onto(&mut data, reader, limit, path)?;
    Ok(data)
}

/// Reads exactly as many bytes as there are, up to `limit`, into a buffer of `limit` bytes, which the caller has bounded
/// by the length of the file.
pub(super) fn read_bounded(reader: &mut impl Read, limit: u64, path: &Path) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let out_of_memory = |_| Error::io(path)(ErrorKind::OutOfMemory.into());
    data.try_reserve_exact(usize::try_from(limit).unwrap_or(usize::MAX)).map_err(out_of_memory)?;
    read_onto(&mut data, reader, limit, path)?;
    Ok(data)
}

fn read_onto(data: &mut Vec<u8>, reader: &mut impl Read, limit: u64, path: &Path) -> Result<()> {
    match reader.take(limit).read_to_end(data) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(Error::io(path)(error)),
    }
}
