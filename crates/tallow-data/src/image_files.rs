//! The image files that a name stands for: a file, a folder with all that is below it, a pattern.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::decode::{EXTENSIONS, has_image_extension};
use crate::error::Error;
use crate::sources::files::natural;

/// One of the files that a name stands for.
#[derive(Debug)]
pub enum Found {
    /// An image file, by its name; or the name itself, where it is neither a folder nor a pattern.
    Image(PathBuf),
    /// A file in a folder, or that a pattern matches, whose name has no extension of an image.
    Other(PathBuf),
    /// A folder, or a part of it, that cannot be listed or holds no image; a pattern that matches none.
    Failed(PathBuf, Error),
}

/// The files that `name` stands for, one after another. A folder stands for every file below it, in natural order: links
/// are followed, hidden files and folders left out. A name with `*`, `?` or `[` that does not exist is a pattern, in
/// which `**` matches any folders. Any other name stands for itself; whoever reads it finds out whether it exists.
pub fn find_images(name: &Path) -> Box<dyn Iterator<Item = Found> + Send> {
    if name.is_dir() {
        return Box::new(or_none(below(name), name.to_owned(), "an image file"));
    }
    let text = name.to_string_lossy().into_owned();
    if !text.contains(['*', '?', '[']) || name.symlink_metadata().is_ok() {
        return Box::new(std::iter::once(Found::Image(name.to_owned())));
    }
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    match glob::glob_with(&text, options) {
        Ok(paths) => {
            let mut paths: Vec<PathBuf> = paths.filter_map(|path| path.ok()).collect();
            paths.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
            let files = paths.into_iter().flat_map(|path| -> Box<dyn Iterator<Item = Found> + Send> {
                if path.is_dir() { Box::new(below(&path)) } else { Box::new(std::iter::once(by_extension(path))) }
            });
            Box::new(or_none(files, name.to_owned(), "a pattern that an image file matches"))
        }
        Err(error) => {
            let failed = Error::format(name, "a pattern of file names", error.to_string());
            Box::new(std::iter::once(Found::Failed(name.to_owned(), failed)))
        }
    }
}

/// The files below a folder.
fn below(folder: &Path) -> impl Iterator<Item = Found> + Send + use<> {
    let order =
        |a: &DirEntry, b: &DirEntry| natural(&a.file_name().to_string_lossy(), &b.file_name().to_string_lossy());
    let hidden = |entry: &DirEntry| entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.');
    let walk = WalkDir::new(folder).follow_links(true).sort_by(order).into_iter().filter_entry(move |e| !hidden(e));
    let folder = folder.to_owned();
    walk.filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_dir() => None,
        Ok(entry) => Some(by_extension(entry.into_path())),
        Err(error) => {
            let path = error.path().unwrap_or(&folder).to_owned();
            let failed = Error::Io { path: path.clone(), source: error.into() };
            Some(Found::Failed(path, failed))
        }
    })
}

fn by_extension(path: PathBuf) -> Found {
    if has_image_extension(&path) { Found::Image(path) } else { Found::Other(path) }
}

/// `found`, and at its end a failure if no image and no failure was among it.
fn or_none(
    found: impl Iterator<Item = Found> + Send,
    name: PathBuf,
    expected: &'static str,
) -> impl Iterator<Item = Found> + Send {
    let mut found = found;
    let mut state = (false, false); // something said, ended
    std::iter::from_fn(move || {
        if state.1 {
            return None;
        }
        if let Some(next) = found.next() {
            state.0 |= !matches!(next, Found::Other(_));
            return Some(next);
        }
        state.1 = true;
        let none = || format!("none ({})", EXTENSIONS.join(", "));
        (!state.0).then(|| Found::Failed(name.clone(), Error::format(&name, expected, none())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: impl Iterator<Item = Found>, root: &Path) -> Vec<String> {
        let short = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
        found
            .map(|found| match found {
                Found::Image(path) => short(&path),
                Found::Other(path) => format!("other {}", short(&path)),
                Found::Failed(path, _) => format!("failed {}", short(&path)),
            })
            .collect()
    }

    #[test]
    fn folders_are_recursive_and_in_natural_order_and_patterns_match() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for file in ["b/10.png", "b/2.JPEG", "b/deep/x.webp", "a.jpg", "notes.txt", ".hidden.png", "odd[1].png"] {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), "").unwrap();
        }
        std::fs::create_dir(root.join("empty")).unwrap();
        let all = ["a.jpg", "b/2.JPEG", "b/10.png", "b/deep/x.webp", "other notes.txt", "odd[1].png"];
        assert_eq!(names(find_images(root), root), all);
        for (pattern, expected) in [
            ("*.jpg", vec!["a.jpg"]),
            ("b/*", vec!["b/2.JPEG", "b/10.png", "b/deep/x.webp"]),
            ("**/*.png", vec!["b/10.png", "odd[1].png"]),
            ("*.gif", vec!["failed *.gif"]),
            ("odd[1].png", vec!["odd[1].png"]),
            ("missing.png", vec!["missing.png"]),
            ("empty", vec!["failed empty"]),
        ] {
            assert_eq!(names(find_images(&root.join(pattern)), root), expected, "{pattern}");
        }
    }
}
