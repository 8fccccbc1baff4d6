//! `predict --sort-into`: copies of the images, in a folder per predicted class.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// A folder with one sub-folder per class, into which images are copied.
pub struct Sorted {
    folder: PathBuf,
    taken: HashSet<PathBuf>,
}

impl Sorted {
    /// Makes the folder, which must be absent or empty: nothing is overwritten.
    pub fn create(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        fs::create_dir_all(folder).with_context(|| format!("--sort-into {shown}: cannot be made"))?;
        let mut entries = fs::read_dir(folder).with_context(|| format!("--sort-into {shown}: cannot be read"))?;
        ensure!(entries.next().is_none(), "--sort-into {shown}: expected an empty or absent folder, found files in it");
        Ok(Self { folder: folder.to_owned(), taken: HashSet::new() })
    }

    /// Copies an image into the folder of its class. A name that is taken there gets a number.
    pub fn copy(&mut self, image: &Path, class: &str) -> Result<()> {
        let folder = self.folder.join(folder_name(class));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let target = self.free(&folder, image);
        fs::copy(image, &target).with_context(|| format!("cannot copy {} to {}", image.display(), target.display()))?;
        self.taken.insert(target);
        Ok(())
    }

    fn free(&self, folder: &Path, image: &Path) -> PathBuf {
        let stem = image.file_stem().unwrap_or_default();
        let named = |number: usize| {
            let mut name = OsString::from(stem);
            if number > 1 {
                name.push(format!("-{number}"));
            }
            if let Some(extension) = image.extension() {
                name.push(".");
                name.push(extension);
            }
            folder.join(name)
        };
        let free = (1..).map(named).find(|path| !self.taken.contains(path) && !path.exists());
        free.unwrap_or_else(|| folder.join(stem))
    }
}

/// A class name as the name of a folder: what a file system refuses or takes for a path is replaced by `_`.
fn folder_name(class: &str) -> String {
    let refused = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    let name: String = class.chars().map(|c| if refused(c) { '_' } else { c }).collect();
    match name.trim_end_matches(['.', ' ']) {
        "" => "_".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_and_no_class_name_leaves_the_folder() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("out");
        let mut sorted = Sorted::create(&out)?;
        for (sub, content) in [("a", "1"), ("b", "2"), ("c", "3")] {
            fs::create_dir(folder.path().join(sub))?;
            let image = folder.path().join(sub).join("x.png");
            fs::write(&image, content)?;
            sorted.copy(&image, "T-shirt/top")?;
        }
        for (name, content) in [("x.png", "1"), ("x-2.png", "2"), ("x-3.png", "3")] {
            assert_eq!(fs::read_to_string(out.join("T-shirt_top").join(name))?, content);
        }
        for (class, name) in [("..", "_"), ("", "_"), ("a/../../b", "a_.._.._b"), ("tiger cat", "tiger cat")] {
            assert_eq!(folder_name(class), name);
        }
        assert!(Sorted::create(&out).is_err());
        Ok(())
    }
}
