//! The loader alone: decode, augment, batch.

use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::json;
use tallow_train::{Setting, load, resolve, train_loader};

#[derive(clap::Args)]
pub struct Args {
    /// The dataset to load: a name, a folder, a manifest
    data: String,
    /// The configuration whose preprocessing and augmentation are applied
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    recipe: String,
    /// Change a key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Stop after this many images
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    images: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let mut settings = vec![Setting::string("DATA", "data.spec", &args.data)];
    for text in &args.set {
        settings.push(Setting::parse(text)?);
    }
    let config = load(&args.recipe, &settings)?;
    let splits = tallow_data::open(&config.data.spec, &config.open_options(None))?;
    let resolved = resolve(config, &splits)?;
    let loader = train_loader(&resolved, &splits)?;
    let start = Instant::now();
    let (mut images, mut first) = (0, None);
    'read: for epoch in 0.. {
        for batch in loader.epoch(epoch, 0) {
            images += batch?.labels.len();
            first.get_or_insert_with(|| start.elapsed().as_secs_f64());
            if images >= args.images {
                break 'read;
            }
        }
        if images == 0 {
            bail!("{} has fewer training images than one batch", args.data);
        }
    }
    let threads = rayon::current_num_threads();
    let rate = images as f64 / start.elapsed().as_secs_f64();
    let first = first.unwrap_or(f64::NAN);
    if args.json {
        let object = json!({ "images_per_s": rate, "images_per_s_per_core": rate / threads as f64, "threads": threads,
            "first_batch_s": first });
        println!("{object}");
    } else {
        println!(
            "{rate:.0} images/s on {threads} threads, {:.0} a core; the first batch after {first:.3} s",
            rate / threads as f64
        );
    }
    Ok(())
}
