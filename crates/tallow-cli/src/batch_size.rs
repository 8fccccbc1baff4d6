//! `--batch-size auto` of `tallow train`: measures training steps and chooses a batch size.

use std::convert::Infallible;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use tallow_train::Setup;
use tallow_train::batch_size::{choose_batch_size, half_of_memory};

use crate::program;

/// The argument of `--batch-size`.
#[derive(Debug, Clone)]
pub enum BatchSize {
    /// To be measured.
    Auto,
    /// So many; the config checks the number.
    Of(String),
}

impl FromStr for BatchSize {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(if text == "auto" { Self::Auto } else { Self::Of(text.to_owned()) })
    }
}

/// The batch size that trains this configuration fastest, measured on a model of its own. Prints a table.
pub fn choose(setup: &Setup, quiet: bool) -> Result<usize> {
    let most = half_of_memory();
    let costs = setup.measure_batch_sizes(most)?;
    let chosen = choose_batch_size(&costs, most).context("no batch size was measured")?;
    if !quiet {
        println!("batch size  step, ms  images/s  memory, MB");
        for cost in &costs {
            let (size, step_ms, speed) = (cost.batch_size, 1e3 * cost.step_s, cost.images_per_s());
            let memory = cost.peak_bytes.map_or("–".to_owned(), |bytes| (bytes >> 20).to_string());
            let mark = if size == chosen { "  chosen" } else { "" };
            println!("{size:10}  {step_ms:8.1}  {speed:8.0}  {memory:>10}{mark}");
        }
        let lr = setup.config().optim.lr();
        println!("optim.lr stays {lr}: {} lr-find searches for one at this batch size", program::name());
    }
    Ok(chosen)
}
