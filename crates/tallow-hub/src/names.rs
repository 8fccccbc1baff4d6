//! Checks of names and paths that a server or a user gives.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Whether a repository, revision or hash consists of letters, digits and `-_.`, in parts divided by `/` that do not
/// begin with a dot.
pub(crate) fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        plain && !part.is_empty() && !part.starts_with('.')
    };
    name.split('/').all(part)
}

/// Whether a path stays below the folder that it is joined to.
pub(crate) fn is_relative(name: &str) -> bool {
    !name.contains('\\') && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// A file's name as part of an address.
pub(crate) fn encoded(name: &str) -> String {
    /// What an address takes as it is, beside letters and digits.
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(name, PLAIN).to_string()
}

/// The paths of all files below a folder, relative to it, sorted.
pub(crate) fn files_below(folder: &Path) -> std::io::Result<Vec<String>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.extend(path.strip_prefix(folder).map(|path| path.to_string_lossy().into_owned())),
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn any_file_name_is_part_of_an_address() {
        assert_eq!(encoded("data/train-0.parquet"), "data/train-0.parquet");
        assert_eq!(encoded("my data/ä?#%.tar"), "my%20data/%C3%A4%3F%23%25.tar");
    }
}
