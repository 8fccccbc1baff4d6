//! `cargo xtask bench`: how fast this machine runs Tallow. `fixtures/scripts/peers.py` sets the numbers beside PyTorch's.

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Subcommand;
use tallow_nn::{Autocast, Precision, autocast, bf16_unit};

mod kernels;
mod loader;
mod network;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench kernels conv
  cargo xtask bench step --model resnet9 --batch 128 --json
  cargo xtask bench infer --model resnet18 --batch 1
  cargo xtask bench loader photos/

Times are medians. RAYON_NUM_THREADS sets the threads, TALLOW_SIMD=avx2|portable a lesser instruction set.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Each kernel alone, forward and backward
    Kernels(kernels::Args),
    /// Whole training steps on random images: forward, loss, backward, SGD
    Step(network::Args),
    /// Forward passes in evaluation mode
    Infer(network::Args),
    /// Decoding and augmenting a dataset's training images, without a model
    Loader(loader::Args),
}

pub fn run(args: Args) -> Result<()> {
    match args.what {
        What::Kernels(args) => kernels::run(&args),
        What::Step(args) => network::run(&args, network::Work::Step),
        What::Infer(args) => network::run(&args, network::Work::Infer),
        What::Loader(args) => loader::run(&args),
    }
}

/// The number format of products.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    F32,
    Bf16,
}

impl Format {
    /// Puts the format in force.
    fn autocast(self) -> Result<Autocast> {
        let precision = match self {
            Format::F32 => Precision::F32,
            Format::Bf16 => Precision::Bf16,
        };
        ensure!(
            precision == Precision::F32 || bf16_unit().is_some(),
            "--precision bf16: this processor has neither AMX-BF16 nor AVX512-BF16, or TALLOW_SIMD leaves them out"
        );
        Ok(autocast(precision))
    }
}

/// Seconds that `work` takes.
fn seconds<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The most memory that this process has held, in bytes; `None` where the system does not say.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
