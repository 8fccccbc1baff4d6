//! `--batch-size auto` of `tallow train`: measures the real step and chooses.

use std::str::FromStr;

use anyhow::{Context as _, Result};
use candle_core::Device;
use tallow_data::Splits;
use tallow_train::batch_size::{choose_batch_size, half_of_memory, measure_batch_sizes};
use tallow_train::{LossContext, Resolved, train_loader};

use crate::program;

/// Samples a batch, as an argument.
#[derive(Debug, Clone, Copy)]
pub enum BatchSize {
    /// To be measured.
    Auto,
    /// So many.
    Of(usize),
}

impl FromStr for BatchSize {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(samples)) if samples > 0 => Ok(Self::Of(samples)),
            _ => Err("expected a number of samples from 1 up, or auto".to_owned()),
        }
    }
}

/// The batch size that trains this configuration fastest, on a model that is thrown away afterwards. Prints a table.
pub fn choose(resolved: &Resolved, splits: &Splits, quiet: bool) -> Result<usize> {
    let config = &resolved.config;
    let built = tallow_models::build(&config.model.name, &config.model.config, config.train.seed, &Device::Cpu)?;
    let loss = config.loss.build(&LossContext::of(splits.train.as_ref()))?;
    let mut optimizer = config.optim.build_for(&built);
    let loader = train_loader(resolved, splits)?;
    let most = half_of_memory();
    let costs = measure_batch_sizes(&config.train, &built, loss.as_ref(), optimizer.as_mut(), &loader, most)?;
    let chosen = choose_batch_size(&costs, most).context("no batch size was measured")?;
    if !quiet {
        println!("batch size  step, ms  images/s  memory, MB");
        for cost in &costs {
            let (size, step_ms, speed) = (cost.batch_size, 1e3 * cost.step_s, cost.images_per_s());
            let memory = cost.peak_bytes.map_or("–".to_owned(), |bytes| (bytes >> 20).to_string());
            let mark = if size == chosen { "  chosen" } else { "" };
            println!("{size:10}  {step_ms:8.1}  {speed:8.0}  {memory:>10}{mark}");
        }
        println!(
            "optim.lr stays {}: {} lr-find searches for one at this batch size",
            config.optim.lr(),
            program::name()
        );
    }
    Ok(chosen)
}
