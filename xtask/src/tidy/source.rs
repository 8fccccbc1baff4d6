//! Rules for one source file.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::crates::PROGRAMS;
use super::tokens::{literals, parse, unsafe_lines};

/// The largest number of lines of a source file.
const MAX_LINES: usize = 500;
/// The folders and files that may contain unsafe code.
const UNSAFE: [&str; 3] = ["crates/tallow-kernels/src", "crates/tallow-cuda", "crates/tallow-cli/src/allocator.rs"];

/// The problems of a source file; `file` is relative to the repository's root.
pub fn check(file: &Path, text: &str) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let at = file.display();
    if !["//!", "#![doc = include_str!("].iter().any(|start| text.starts_with(start)) {
        problems.push(format!("{at}: must begin with a //! line that says what it is for"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{at}: {lines} lines, at most {MAX_LINES}: divide it"));
    }
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        // Put together, so that this file does not find itself.
        if ["todo", "unimplemented", "dbg"].iter().any(|name| code.contains(&format!("{name}!("))) {
            problems.push(format!("{at}:{}: a leftover", index + 1));
        }
    }
    let tokens = parse(text).with_context(|| at.to_string())?;
    if !UNSAFE.iter().any(|path| file.starts_with(path)) {
        let found = unsafe_lines(tokens.clone());
        if let Some(first) = found.first() {
            let places = UNSAFE.join(" and ");
            problems.push(format!("{at}:{first}: unsafe code ({} times) outside {places}", found.len()));
        }
    }
    if is_library(file) {
        let command = concat!("cargo ", "xtask");
        let found = literals(tokens).into_iter().filter(|(_, literal)| literal.contains(command));
        problems.extend(
            found.map(|(line, _)| format!("{at}:{line}: a library names `{command}`: the command line gives advice")),
        );
    }
    Ok(problems)
}

/// Whether a file is library code: in the `src` of a crate that is no program.
fn is_library(file: &Path) -> bool {
    let parts: Vec<_> = file.iter().filter_map(|part| part.to_str()).collect();
    matches!(parts[..], ["crates", name, "src", ..] if !PROGRAMS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        check(Path::new(file), text).unwrap()
    }

    #[test]
    fn files_begin_with_their_purpose_and_stay_short() {
        let file = "crates/a/src/lib.rs";
        assert_eq!(found(file, "//! For this.\nfn main() {}\n"), [""; 0]);
        assert_eq!(found(file, concat!("#![doc = include", "_str!(\"../README.md\")]\n")), [""; 0]);
        assert!(found(file, "fn main() {}\n")[0].contains("must begin"));
        assert!(found(file, &format!("//! A.\n{}", "\n".repeat(MAX_LINES)))[0].contains("501 lines"));
        assert!(found(file, &format!("//! A.\nfn f() {{ {}!() }}\n", "todo"))[0].contains(":2: a leftover"));
    }

    #[test]
    fn unsafe_code_has_its_places() {
        let text = concat!("//! A.\nfn f() { unsafe", " { g() } }\n");
        assert!(found("crates/a/src/lib.rs", text)[0].contains(":2: unsafe code (1 times) outside"));
        assert_eq!(found("crates/tallow-kernels/src/cpu/a.rs", text), [""; 0]);
        assert_eq!(found("crates/tallow-cli/src/allocator.rs", text), [""; 0]);
    }

    #[test]
    fn libraries_do_not_name_the_command_line() {
        let text = concat!("//! `cargo ", "xtask a`.\n#[error(\"run `cargo ", "xtask a`\")]\nstruct E;\n");
        assert!(found("crates/tallow-nn/src/a.rs", text)[0].contains(":2: a library names"));
        for file in ["crates/tallow-cli/src/a.rs", "xtask/src/a.rs", "crates/tallow-nn/tests/a.rs"] {
            assert_eq!(found(file, text), [""; 0], "{file}");
        }
    }
}
