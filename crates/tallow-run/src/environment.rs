//! `environment.json`: the versions, the machine and the command line of a run.

use std::fs;

use serde::Serialize;

/// The circumstances of a run, to reproduce it.
#[derive(Debug, Serialize)]
pub(crate) struct Environment {
    tallow: &'static str,
    os: &'static str,
    arch: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<String>,
    threads: usize,
    command: Vec<String>,
    started_unix_s: u64,
}

impl Environment {
    /// The environment of this process.
    pub fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            tallow: env!("CARGO_PKG_VERSION"),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            cpu: model.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned()),
            threads: rayon::current_num_threads(),
            command: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            started_unix_s: now.map(|time| time.as_secs()).unwrap_or_default(),
        }
    }
}
