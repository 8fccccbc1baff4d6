//! The errors of this crate.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An array whose length does not fit the others.
    #[error("{op}: {what} has {found} values, expected {expected}")]
    Length {
        /// The operation.
        op: &'static str,
        /// The array.
        what: &'static str,
        /// The length that fits.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// Sizes that the kernel does not take.
    #[error("{op}: expected {expected}, found {found}")]
    Sizes {
        /// The operation.
        op: &'static str,
        /// What it takes.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A kernel that could not be started, or failed.
    #[error("the kernel {kernel} of {program}.cu: {reason}")]
    Launch {
        /// The kernel.
        kernel: String,
        /// Its program.
        program: &'static str,
        /// What the driver says.
        reason: String,
    },
    /// A program that NVRTC does not compile.
    #[error("NVRTC does not compile {program}.cu for {architecture}: {log}")]
    Compile {
        /// The program.
        program: &'static str,
        /// The GPU architecture, such as `sm_90a`.
        architecture: String,
        /// NVRTC's messages.
        log: String,
    },
    /// A shared library that was not found, or cannot be loaded.
    #[error(
        "the library {library} was not found. It belongs to {package}. Searched: {}. {advice}",
        searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Library {
        /// The file, such as `libnvrtc.so.13`.
        library: &'static str,
        /// The package that has it.
        package: &'static str,
        /// The folders and names that were tried.
        searched: Vec<PathBuf>,
        /// What helps.
        advice: String,
    },
    /// A file of the kernel cache.
    #[error("the kernel cache {path}: {reason}")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why it is not used.
        reason: String,
    },
    /// A failure of the driver outside a launch: memory, streams, devices.
    #[error("CUDA: {0}")]
    Driver(String),
}

/// Fails unless an array has the length that the others ask for.
pub(crate) fn check(op: &'static str, what: &'static str, expected: usize, found: usize) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Length { op, what, expected, found }),
    }
}

/// Fails unless `fits`.
pub(crate) fn require(op: &'static str, fits: bool, expected: &str, found: impl std::fmt::Display) -> Result<()> {
    match fits {
        true => Ok(()),
        false => Err(Error::Sizes { op, expected: expected.to_owned(), found: found.to_string() }),
    }
}

/// A size as the kernels take it: half of what 32 bits hold, so that sums of sizes do not overflow.
pub(crate) fn int(op: &'static str, what: &'static str, size: usize) -> Result<i32> {
    require(op, size < 1 << 30, &format!("{what} below 2^30"), size)?;
    Ok(size as i32)
}
