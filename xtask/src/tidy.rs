//! `cargo xtask tidy`: the rules of this repository that the compiler does not know.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand};

/// The crate graph of docs/architecture.md: each crate, and the crates of ours that it may depend on.
const MAY_DEPEND: &[(&str, &[&str])] = &[
    ("tallow-base", &[]),
    ("tallow-augment", &["tallow-base"]),
    ("tallow-hub", &["tallow-base"]),
    ("tallow-metrics", &[]),
    ("tallow-tune", &["tallow-base"]),
    ("tallow-nn", &[]),
    ("tallow-data", &["tallow-base", "tallow-augment", "tallow-hub"]),
    ("tallow-audit", &["tallow-base", "tallow-augment", "tallow-data"]),
    ("tallow-models", &["tallow-nn"]),
    ("tallow-export", &["tallow-base", "tallow-augment", "tallow-hub", "tallow-nn", "tallow-models"]),
    ("tallow-optim", &["tallow-nn"]),
    ("tallow-run", &["tallow-base", "tallow-augment", "tallow-data", "tallow-models", "tallow-nn"]),
    (
        "tallow-infer",
        &[
            "tallow-run",
            "tallow-nn",
            "tallow-models",
            "tallow-data",
            "tallow-augment",
            "tallow-metrics",
            "tallow-export",
        ],
    ),
    (
        "tallow-train",
        &[
            "tallow-base",
            "tallow-infer",
            "tallow-run",
            "tallow-optim",
            "tallow-nn",
            "tallow-models",
            "tallow-data",
            "tallow-augment",
            "tallow-metrics",
            "tallow-export",
        ],
    ),
    ("tallow-serve", &["tallow-data", "tallow-nn", "tallow-infer"]),
    (
        "tallow-cli",
        &[
            "tallow-audit",
            "tallow-augment",
            "tallow-base",
            "tallow-data",
            "tallow-export",
            "tallow-infer",
            "tallow-metrics",
            "tallow-models",
            "tallow-nn",
            "tallow-run",
            "tallow-serve",
            "tallow-train",
            "tallow-tune",
        ],
    ),
];

/// Lines above which a source file needs to be divided.
const MAX_LINES: usize = 600;
/// Where unsafe code may stand.
const UNSAFE: [&str; 2] = ["crates/tallow-kernels/src", "crates/tallow-cli/src/allocator.rs"];
/// The largest file that may be committed, in bytes.
const MAX_FILE_BYTES: u64 = 5 << 20;

pub fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let mut problems = crate_graph(root)?;
    for file in files(root)? {
        let path = root.join(&file);
        let metadata = path.metadata().with_context(|| format!("cannot read {}", file.display()))?;
        if metadata.len() > MAX_FILE_BYTES {
            problems.push(format!("{}: {} bytes, at most {MAX_FILE_BYTES}", file.display(), metadata.len()));
        }
        if file.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", file.display()))?;
            problems.extend(source_file(&file, &text));
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

/// Edges between our crates that the architecture does not have.
fn crate_graph(root: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec().context("cargo metadata")?;
    let mut problems = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.name.as_str() != "xtask") {
        let Some((_, allowed)) = MAY_DEPEND.iter().find(|(name, _)| *name == package.name.as_str()) else {
            problems
                .push(format!("{}: a crate that xtask/src/tidy.rs and docs/architecture.md do not know", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let name = dependency.name.as_str();
            let ours = name.starts_with("tallow-") && dependency.kind == DependencyKind::Normal;
            if ours && !allowed.contains(&name) {
                problems.push(format!("{} depends on {name}: a new edge in the crate graph", package.name));
            }
        }
    }
    Ok(problems)
}

/// What is wrong with one source file.
fn source_file(file: &Path, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let at = file.display();
    if !text.starts_with("//!") {
        problems.push(format!("{at}: must begin with a //! line that says what it is for"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{at}: {lines} lines, at most {MAX_LINES}: divide it"));
    }
    let allowed = UNSAFE.iter().any(|path| file.starts_with(path));
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        // Put together, so that this file does not find itself.
        if ["todo", "unimplemented", "dbg"].iter().any(|name| code.contains(&format!("{name}!("))) {
            problems.push(format!("{at}:{}: a leftover", index + 1));
        }
        if code.contains(concat!("unsafe", " {")) && !allowed {
            problems.push(format!("{at}:{}: unsafe code outside {}", index + 1, UNSAFE.join(" and ")));
        }
    }
    problems
}

/// Every file below the root, relative to it, build outputs and runs left out: needs no git.
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
    fn a_source_file_is_held_to_the_rules() {
        let check = |text: &str| source_file(Path::new("crates/a/src/lib.rs"), text);
        assert!(check("//! For this.\nfn main() {}\n").is_empty());
        assert!(check("fn main() {}\n")[0].contains("must begin"));
        assert!(check(&format!("//! A.\nfn f() {{ {}!() }}\n", "todo"))[0].contains(":2: a leftover"));
        assert!(check(concat!("//! A.\nfn f() { unsafe", " { g() } }\n"))[0].contains("unsafe code"));
        assert!(check(&format!("//! A.\n{}", "\n".repeat(MAX_LINES)))[0].contains("divide it"));
    }
}
