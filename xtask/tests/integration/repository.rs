//! The repository keeps its own rules.

use std::process::Command;

#[test]
fn the_repository_is_tidy() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("tidy").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

/// A server is small: it compiles no losses, optimisers or training loop.
#[test]
fn the_server_is_built_without_training() {
    let tree = ["tree", "--package", "tallow-serve", "--edges", "normal", "--prefix", "none", "--offline"];
    let output = Command::new(env!("CARGO")).args(tree).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let ours: Vec<&str> = text.lines().filter(|line| line.starts_with("tallow-")).collect();
    assert!(ours.iter().any(|line| line.starts_with("tallow-infer ")), "{ours:?}");
    for training in ["tallow-train ", "tallow-optim ", "tallow-tune "] {
        assert!(!ours.iter().any(|line| line.starts_with(training)), "{training}in {ours:?}");
    }
}
