//! Reads text files in UTF-8; a file in another encoding is an error that names the encoding.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// The content of a text file, without a byte-order mark.
///
/// # Errors
/// The file cannot be read, or is in another encoding: the message names the line and the likely encoding.
pub(crate) fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let fail = |line: u64, problem: String| Error::Manifest { path: path.into(), line, problem };
    let convert = |from: &str| format!("convert it: iconv -f {from} -t UTF-8 FILE > NEW");
    let zeros = bytes.iter().take(1000).filter(|byte| **byte == 0).count();
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || zeros > bytes.len().min(1000) / 4 {
        return Err(fail(1, format!("expected text in UTF-8, found UTF-16; {}", convert("UTF-16"))));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let before = &error.as_bytes()[..at];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
            let found = format!("expected text in UTF-8, found the byte {:#04x}", error.as_bytes()[at]);
            Err(fail(line, format!("{found}, perhaps Latin-1 or Windows-1252; {}", convert("WINDOWS-1252"))))
        }
    }
}
