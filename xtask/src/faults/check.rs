//! Reads what a disturbed command left, and compares what it ends with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use tallow_run::Checkpoint;

use super::run::Ended;

/// The head of the table.
pub const HEADER: &str = "\
| command | disturbance | processes | killed | refused | ended well | restarted | same result | problems |
|---|---|---|---|---|---|---|---|---|";

/// Files that tell of times, machines and interruptions: two runs never write the same.
const VOLATILE: [&str; 10] = [
    "environment.json",
    "log.txt",
    "summary.csv",
    "report.json",
    "crossval.json",
    "clock.json",
    "study.sqlite",
    "previous.safetensors",
    "damaged.safetensors",
    "events",
];

/// What became of a command under one kind of disturbance.
pub struct Report {
    command: &'static str,
    pub kind: &'static str,
    processes: u32,
    killed: u32,
    refused: u32,
    well: u32,
    /// Commands that were started again and ended well.
    pub restarted: u32,
    same: u32,
    /// What went wrong.
    pub problems: Vec<String>,
}

impl Report {
    pub fn new(command: &'static str, kind: &'static str) -> Self {
        let (processes, killed, refused, well, restarted, same) = (0, 0, 0, 0, 0, 0);
        Self { command, kind, processes, killed, refused, well, restarted, same, problems: Vec::new() }
    }

    /// Counts how a disturbed process ended.
    pub fn disturbed(&mut self, ended: &Ended) {
        self.processes += 1;
        match () {
            () if ended.success() => self.well += 1,
            () if ended.killed() => self.killed += 1,
            () => self.refused += 1,
        }
        if ended.is_odd() {
            self.problem(format!("expected exit code 1 and an error in words, found {ended}"));
        }
    }

    pub fn problem(&mut self, what: String) {
        self.problems.push(format!("{}, {}: {what}", self.command, self.kind));
    }

    /// A row of the table.
    pub fn row(&self) -> String {
        let Self { command, kind, processes, killed, refused, well, restarted, same, problems } = self;
        let problems = problems.len();
        format!(
            "| {command} | {kind} | {processes} | {killed} | {refused} | {well} | {restarted} | {same} | {problems} |"
        )
    }
}

/// Files by their path below a folder; none if there is no folder.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(found) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path)?.into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).with_context(|| path.display().to_string())?);
        }
    }
    Ok(found)
}

/// The bytes of a folder on a disk with pages of 4 KiB.
pub fn bytes(folder: &Path) -> Result<u64> {
    Ok(files(folder)?.values().map(|bytes| (bytes.len() as u64).div_ceil(4096).max(1) * 4096).sum())
}

/// The largest file of a folder, in bytes.
pub fn largest(folder: &Path) -> Result<u64> {
    Ok(files(folder)?.values().map(|bytes| bytes.len() as u64).max().unwrap_or_default())
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a file is still being written, and says so by its name.
fn is_temporary(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.') || part.ends_with(".partial"))
}

/// Every file under its final name must be whole.
pub fn left_behind(report: &mut Report, folder: &Path) -> Result<()> {
    for (path, bytes) in files(folder)?.iter().filter(|(path, _)| !is_temporary(path)) {
        if let Err(error) = whole(&folder.join(path), bytes) {
            report.problem(format!("{path} is not whole: {error}"));
        }
    }
    Ok(())
}

fn whole(path: &Path, bytes: &[u8]) -> std::result::Result<(), String> {
    let text = || std::str::from_utf8(bytes).map_err(|error| error.to_string());
    let ends = |end: &[u8]| if bytes.ends_with(end) { Ok(()) } else { Err("its end is missing".to_owned()) };
    let in_checkpoints = path.parent().is_some_and(|parent| parent.ends_with("checkpoints"));
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "json" => serde_json::from_str::<serde_json::Value>(text()?).map(|_| ()).map_err(|error| error.to_string()),
        "toml" => toml::from_str::<toml::Table>(text()?).map(|_| ()).map_err(|error| error.to_string()),
        "safetensors" if in_checkpoints => Checkpoint::load(path).map(|_| ()).map_err(|error| error.to_string()),
        "safetensors" => candle_core::safetensors::load_buffer(bytes, &candle_core::Device::Cpu)
            .map(|_| ())
            .map_err(|e| e.to_string()),
        "svg" | "html" => ends(b">").or_else(|_| ends(b">\n")),
        "csv" => ends(b"\n"),
        "parquet" => ends(b"PAR1"),
        "tar" => ends(&[0; 1024]),
        "png" => ends(b"IEND\xae\x42\x60\x82"),
        _ => Ok(()),
    }
}

/// The result must equal the undisturbed one, and nothing temporary may be left.
pub fn same(report: &mut Report, reference: &Path, folder: &Path) -> Result<()> {
    let compared = |path: &String| {
        !is_temporary(path)
            && !VOLATILE.iter().any(|name| name_of(path) == *name || path.split('/').any(|p| p == *name))
    };
    let (expected, found) = (files(reference)?, files(folder)?);
    let mut differing: Vec<&str> = Vec::new();
    let here = reference.display().to_string();
    let there = folder.display().to_string();
    for path in expected.keys().chain(found.keys().filter(|path| !expected.contains_key(*path))) {
        if !compared(path) {
            continue;
        }
        // A file may name the folder that it is in.
        let plain = |bytes: &Vec<u8>, folder: &str| match std::str::from_utf8(bytes) {
            Ok(text) => text.replace(folder, "OUT").into_bytes(),
            Err(_) => bytes.clone(),
        };
        let pair = (expected.get(path).map(|b| plain(b, &here)), found.get(path).map(|b| plain(b, &there)));
        if pair.0 != pair.1 {
            differing.push(path);
        }
    }
    for path in found.keys().filter(|path| name_of(path).ends_with(".partial") || name_of(path) == ".incomplete") {
        report.problem(format!("{path} is left"));
    }
    if differing.is_empty() {
        report.same += 1;
    } else {
        report.problem(format!("it ends with other files: {}", differing.join(", ")));
    }
    Ok(())
}
