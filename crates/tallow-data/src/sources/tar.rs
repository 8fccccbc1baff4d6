//! Reads selected files from a .tar or .tar.gz archive.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use super::gzip::read_up_to;
use crate::error::{Error, Result};

const BLOCK: u64 = 512;

/// The content of the entries whose file names, without folders, are in `wanted`.
pub(super) fn read_entries(
    mut archive: impl Read,
    path: &Path,
    wanted: &[&'static str],
) -> Result<HashMap<&'static str, Vec<u8>>> {
    let mut entries = HashMap::new();
    while entries.len() < wanted.len() {
        let header = read_up_to(&mut archive, BLOCK, path)?;
        if header.iter().all(|byte| *byte == 0) {
            break; // the end: two empty blocks, or the end of the file
        }
        let truncated = |entry: &str, expected: u64, found: usize| Error::Size {
            path: path.join(entry),
            expected: expected.to_string(),
            found: found as u64,
        };
        if header.len() < BLOCK as usize {
            return Err(truncated("header of an entry", BLOCK, header.len()));
        }
        let name = String::from_utf8_lossy(until_zero(&header[..100])).into_owned();
        let size = octal(&header[124..136]).ok_or_else(|| Error::Format {
            path: path.into(),
            expected: "a tar archive".into(),
            found: format!("an entry `{name}` without a size"),
        })?;
        let padded = size.div_ceil(BLOCK) * BLOCK;
        let is_file = matches!(header[156], b'0' | 0);
        let file_name = name.rsplit('/').next().unwrap_or(&name);
        match wanted.iter().find(|wanted| is_file && **wanted == file_name) {
            Some(wanted) => {
                let mut data = read_up_to(&mut archive, padded, path)?;
                if (data.len() as u64) < size {
                    return Err(truncated(wanted, size, data.len()));
                }
                data.truncate(size as usize);
                entries.insert(*wanted, data);
            }
            None => {
                // Skipped in pieces: an entry that is not wanted may have any size.
                let mut left = padded;
                while left > 0 {
                    let piece = read_up_to(&mut archive, left.min(1 << 20), path)?;
                    if piece.is_empty() {
                        return Err(truncated(&name, size, (padded - left) as usize));
                    }
                    left -= piece.len() as u64;
                }
            }
        }
    }
    match wanted.iter().find(|name| !entries.contains_key(*name)) {
        Some(missing) => Err(Error::Format {
            path: path.into(),
            expected: format!("an archive with the file {missing}"),
            found: "none: it is another archive, or truncated".into(),
        }),
        None => Ok(entries),
    }
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// Parses an octal size, at most 8 GB (eleven digits).
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(until_zero(field)).ok()?;
    u64::from_str_radix(text.trim(), 8).ok()
}
