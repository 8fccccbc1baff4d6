//! A small disk: a tmpfs for root, elsewhere a limit on the size of files (`ulimit -f`) and permissions.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// A folder with little room.
pub struct Disk {
    folder: PathBuf,
    largest_file: u64,
    mounted: bool,
}

impl Disk {
    /// A disk of `bytes` at `folder`; where there can be none, files of at most `largest_file` bytes.
    pub fn of(folder: &Path, bytes: u64, largest_file: u64) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let bytes = bytes.max(4096);
        let options = format!("size={bytes},mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tallow-faults"]).arg(folder).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        if !mounted {
            std::fs::remove_dir_all(folder)?;
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self { folder: folder.to_owned(), largest_file, mounted })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of this kind of disturbance.
    pub fn kind(&self) -> &'static str {
        if self.mounted { "disk full" } else { "file size limit" }
    }

    /// Words before a command that limit the size of its files, where there is no disk of its own.
    pub fn prefix(&self) -> Vec<String> {
        if self.mounted {
            return Vec::new();
        }
        // With SIGXFSZ ignored, a write beyond the limit is an error. Blocks are of 512 bytes in POSIX, of 1024 in bash: the limit
        // is half or all of it.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", self.largest_file.div_ceil(1024).max(1));
        ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
    }

    /// Makes room.
    pub fn enlarge(&self) -> Result<()> {
        self.remount("size=1g")
    }

    /// Forbids writing; returns false if this user cannot be kept from it.
    pub fn forbid(&self) -> Result<bool> {
        match self.mounted {
            true => self.remount("ro")?,
            false => self.mode("a-w")?,
        }
        let probe = self.folder.join("probe");
        let written = std::fs::write(&probe, "").is_ok();
        if written {
            std::fs::remove_file(probe)?;
        }
        Ok(!written)
    }

    /// Permits writing again.
    pub fn permit(&self) -> Result<()> {
        if self.mounted { self.remount("rw") } else { self.mode("u+w") }
    }

    fn mode(&self, mode: &str) -> Result<()> {
        let changed = Command::new("chmod").args(["-R", mode]).arg(&self.folder).status().context("chmod")?;
        ensure!(changed.success(), "chmod {mode} {}", self.folder.display());
        Ok(())
    }

    fn remount(&self, options: &str) -> Result<()> {
        if !self.mounted {
            return Ok(());
        }
        let options = format!("remount,{options}");
        let done = Command::new("mount").args(["-o", &options]).arg(&self.folder).status().context("mount")?;
        ensure!(done.success(), "mount -o {options} {}", self.folder.display());
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg(&self.folder).status();
        }
    }
}
