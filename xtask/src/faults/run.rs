//! A process that is disturbed.

use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The program to disturb.
pub struct Program {
    /// Its file.
    pub file: PathBuf,
    /// The folder in which it runs.
    pub folder: PathBuf,
}

/// A command of Tallow that runs.
pub struct Process {
    child: Child,
}

/// How a process ended.
pub struct Ended {
    code: Option<i32>,
    told: String,
}

impl Program {
    /// Starts it with some arguments, behind the words of `prefix`.
    pub fn start(&self, arguments: &[String], prefix: &[String]) -> Result<Process> {
        let words: Vec<String> = prefix.iter().cloned().chain([self.file.display().to_string()]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(arguments).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(Process { child: command.spawn().with_context(|| words.join(" "))? })
    }
}

impl Process {
    /// Waits for its end.
    pub fn wait(self) -> Result<Ended> {
        let output = self.child.wait_with_output()?;
        let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(Ended { code: output.status.code(), told })
    }

    /// Kills it with SIGKILL after some time, if it has not ended before.
    pub fn kill_after(mut self, time: Duration) -> Result<Ended> {
        std::thread::sleep(time);
        let _ = self.child.kill(); // it may have ended
        self.wait()
    }
}

impl Ended {
    /// Whether it ended well.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Whether it was killed.
    pub fn killed(&self) -> bool {
        self.code.is_none()
    }

    /// Whether it ended otherwise than well, by an error in words, or by being killed.
    pub fn is_odd(&self) -> bool {
        !self.success() && !self.killed() && (self.code != Some(1) || !self.told.contains("error: "))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "exit code {code}: {}", self.told),
            None => write!(f, "a signal: {}", self.told),
        }
    }
}
