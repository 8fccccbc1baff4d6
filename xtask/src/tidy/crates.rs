//! Rules for crates: which depends on which, and no cycles among the modules of one.

use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};

use super::modules::cycles;

/// The crate graph of docs/architecture.md: each crate, and the crates of ours that it may depend on.
const MAY_DEPEND: &[(&str, &[&str])] = &[
    ("tallow-base", &[]),
    ("tallow-kernels", &[]),
    ("tallow-metrics", &[]),
    ("tallow-augment", &["base"]),
    ("tallow-cuda", &["base"]),
    ("tallow-hub", &["base"]),
    ("tallow-tune", &["base"]),
    ("tallow-data", &["base", "augment", "hub"]),
    ("tallow-nn", &["base", "kernels"]),
    ("tallow-models", &["base", "nn"]),
    ("tallow-optim", &["base", "nn"]),
    ("tallow-export", &["base", "augment", "hub", "nn", "models"]),
    ("tallow-run", &["base", "augment", "data", "nn", "models", "export"]),
    ("tallow-audit", &["base", "augment", "data"]),
    ("tallow-infer", &["base", "run", "nn", "models", "data", "augment", "metrics", "export"]),
    (
        "tallow-train",
        &["base", "infer", "run", "optim", "nn", "models", "data", "augment", "metrics", "export", "hub", "tune"],
    ),
    ("tallow-serve", &["base", "infer", "data", "nn"]),
];

/// The crates that take arguments and print; they may depend on every crate.
pub const PROGRAMS: &[&str] = &["tallow-cli", "xtask"];

/// Crates whose modules still depend on each other. A crate leaves this list when its cycles are gone.
const CYCLIC: &[&str] = &["tallow-metrics"];

/// The problems of the workspace's crates.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec().context("cargo metadata")?;
    let mut problems = Vec::new();
    for package in &metadata.packages {
        problems.extend(edges(&package.name, &dependencies(package)));
        let mut found = Vec::new();
        for root in package.targets.iter().filter(|target| target.is_lib() || target.is_bin()) {
            let read = |path: &Path| std::fs::read_to_string(path).ok();
            found.extend(cycles(root.src_path.as_std_path(), &read)?);
        }
        problems.extend(module_cycles(&package.name, &found, CYCLIC));
    }
    Ok(problems)
}

/// The crates of ours that a package needs outside its tests.
fn dependencies(package: &Package) -> Vec<String> {
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).filter(|name| name.starts_with("tallow-")).collect()
}

/// Dependencies that the architecture does not have.
fn edges(name: &str, dependencies: &[String]) -> Vec<String> {
    if PROGRAMS.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = MAY_DEPEND.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![format!("{name}: a crate that xtask/src/tidy/crates.rs and docs/architecture.md do not know")];
    };
    let new = dependencies
        .iter()
        .filter(|dependency| !allowed.iter().any(|allowed| dependency.strip_prefix("tallow-") == Some(allowed)));
    new.map(|dependency| format!("{name} depends on {dependency}: a new edge in the crate graph")).collect()
}

fn module_cycles(name: &str, cycles: &[Vec<String>], exempt: &[&str]) -> Vec<String> {
    if exempt.contains(&name) {
        return match cycles {
            [] => vec![format!("{name} has no module cycles: remove it from CYCLIC in xtask/src/tidy/crates.rs")],
            _ => Vec::new(),
        };
    }
    let text = |cycle: &Vec<String>| format!("{name}: a cycle of modules: {} → {}", cycle.join(" → "), cycle[0]);
    cycles.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_edge_is_a_problem() {
        let check = |name: &str, dependency: &str| edges(name, &[dependency.to_string()]);
        assert_eq!(check("tallow-models", "tallow-nn"), [""; 0]);
        assert_eq!(check("tallow-cli", "tallow-train"), [""; 0]);
        assert!(check("tallow-serve", "tallow-train")[0].contains("tallow-serve depends on tallow-train"));
        assert!(check("tallow-new", "tallow-nn")[0].contains("do not know"));
    }

    #[test]
    fn the_crate_graph_has_no_cycle() {
        // Each crate depends on crates that stand before it, once they are sorted by what they reach.
        let mut left: Vec<_> = MAY_DEPEND.to_vec();
        while !left.is_empty() {
            let names: Vec<&str> = left.iter().filter_map(|(name, _)| name.strip_prefix("tallow-")).collect();
            let before = left.len();
            left.retain(|(_, needs)| needs.iter().any(|need| names.contains(need)));
            assert!(left.len() < before, "a cycle among {names:?}");
        }
    }

    #[test]
    fn a_module_cycle_is_a_problem_unless_the_crate_is_exempt() {
        let cycle = vec![vec!["crate::a".to_string(), "crate::b".to_string()]];
        assert_eq!(module_cycles("x", &[], &[]), [""; 0]);
        assert_eq!(module_cycles("x", &cycle, &[]), ["x: a cycle of modules: crate::a → crate::b → crate::a"]);
        assert_eq!(module_cycles("x", &cycle, &["x"]), [""; 0]);
        assert!(module_cycles("x", &[], &["x"])[0].contains("remove it"));
    }
}
