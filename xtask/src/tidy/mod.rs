//! `cargo xtask tidy`: the rules of this repository that the compiler does not check.

mod crates;
mod modules;
mod source;
mod tokens;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The largest file that may be committed, in bytes.
const MAX_FILE_BYTES: u64 = 5 << 20;

pub fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let mut problems = crates::check(root)?;
    for file in files(root)? {
        let path = root.join(&file);
        let metadata = path.metadata().with_context(|| format!("cannot read {}", file.display()))?;
        problems.extend(size(&file, metadata.len()));
        if file.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", file.display()))?;
            problems.extend(source::check(&file, &text)?);
        }
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("tidy found {} problems", problems.len());
    }
    println!("tidy: no problems");
    Ok(())
}

fn size(file: &Path, bytes: u64) -> Option<String> {
    (bytes > MAX_FILE_BYTES).then(|| format!("{}: {bytes} bytes, at most {MAX_FILE_BYTES}", file.display()))
}

/// Every file below the root, relative to it, without build outputs and runs. Needs no git.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            let skipped = ["target", "runs", ".git"].iter().any(|skipped| name == *skipped);
            if entry.file_type()?.is_dir() {
                if !skipped {
                    folders.push(entry.path());
                }
            } else {
                files.push(entry.path().strip_prefix(root)?.to_path_buf());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_are_problems() {
        assert_eq!(size(Path::new("a.bin"), MAX_FILE_BYTES), None);
        assert!(size(Path::new("a.bin"), MAX_FILE_BYTES + 1).unwrap().contains("a.bin"));
    }
}
