//! `tallow lr-find`: a sweep over learning rates, its curve as a picture, and what it suggests.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use candle_core::Device;
use tallow_metrics::{Series, line_chart_svg};
use tallow_train::lr_find::{LrRange, lr_find};
use tallow_train::{LossContext, Setting, load, resolve, train_loader};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow lr-find
  tallow lr-find --data fashion-mnist --model resnet9 --set optim.name=adamw --out lr.svg
  tallow train --set optim.lr=0.05        # with what it suggested

Model, loss, optimiser and augmentation are those of the recipe and --set; the schedule is the sweep.")]
pub struct Args {
    /// A dataset's name, a folder with a sub-folder for each class, or a CSV manifest
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    /// Where a named dataset's files are
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The architecture; `tallow models` lists them
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The configuration to start from: default, fast, or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    recipe: String,
    /// Change a key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The first learning rate
    #[arg(long, default_value_t = 1e-7, value_name = "LR")]
    start: f64,
    /// The last learning rate
    #[arg(long, default_value_t = 10.0, value_name = "LR")]
    end: f64,
    /// Steps between them
    #[arg(long, default_value_t = 100, value_name = "N")]
    steps: usize,
    /// Where the curve is drawn
    #[arg(long, default_value = "lr-find.svg", value_name = "FILE")]
    out: PathBuf,
}

pub fn run(args: Args) -> Result<()> {
    let flags = [
        ("--data", "data.spec", &args.data),
        ("--data-dir", "data.data_dir", &args.data_dir),
        ("--model", "model.name", &args.model),
    ];
    let flags = flags.into_iter().filter_map(|(flag, key, value)| Some(Setting::string(flag, key, value.as_ref()?)));
    let mut settings: Vec<Setting> = flags.collect();
    for text in &args.set {
        settings.push(Setting::parse(text)?);
    }
    let config = load(&args.recipe, &settings)?;
    let splits = tallow_data::open(&config.data.spec, &config.open_options(None))?;
    let resolved = resolve(config, &splits)?;
    let config = &resolved.config;
    let built = tallow_models::build(&config.model.name, &config.model.config, config.train.seed, &Device::Cpu)?;
    let loader = train_loader(&resolved, &splits)?;
    let loss = config.loss.build(&LossContext::of(splits.train.as_ref()))?;
    let mut optimizer = config.optim.build_for(&built);
    let range = LrRange { start: args.start, end: args.end, steps: args.steps };
    let sweep = lr_find(&range, &built, loss.as_ref(), optimizer.as_mut(), &loader, &config.train)?;

    let curve = |name: &str, of: fn(&tallow_train::lr_find::LrPoint) -> f64| Series {
        name: name.to_owned(),
        points: sweep.points.iter().map(|point| (point.lr.log10(), of(point))).collect(),
    };
    let curves = [curve("smoothed", |point| point.smoothed), curve("loss", |point| point.loss)];
    let svg = line_chart_svg("loss by learning rate", "learning rate, log10", "loss", &curves)?;
    std::fs::write(&args.out, svg).with_context(|| format!("cannot write {}", args.out.display()))?;

    let last = sweep.points.last().map_or(args.start, |point| point.lr);
    let end = if sweep.exploded { "where the loss exploded" } else { "the end of the range" };
    println!(
        "{} steps from {:.1e} to {last:.1e}, {end}; curve: {}",
        sweep.points.len(),
        args.start,
        args.out.display()
    );
    match (sweep.valley(), sweep.steepest()) {
        (Some(valley), Some(steepest)) => {
            println!("valley    {valley:.2e}   the middle of the longest fall: try optim.lr={valley:.1e}");
            println!("steepest  {steepest:.2e}   where the loss falls fastest");
        }
        _ => println!("the loss never fell: is the range too low, or does the model not train at all?"),
    }
    Ok(())
}
