//! `tallow lr-find`: a sweep over learning rates that draws the loss and suggests a rate.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tallow_metrics::{Series, line_chart_svg};
use tallow_train::lr_find::LrRange;
use tallow_train::{Setting, load, setup};

use crate::options::set;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow lr-find
  tallow lr-find --data fashion-mnist --model resnet9 --set optim.name=adamw --out lr.svg
  tallow train --set optim.lr=0.05        # with the suggested rate

The recipe and --set choose the model, the loss, the optimiser and the augmentation. The sweep replaces the schedule.")]
pub struct Args {
    /// A dataset's name, a folder with one sub-folder per class, or a CSV manifest
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    /// The folder with the files of a named dataset
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The architecture; `tallow models` lists them
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The recipe: default, fast, … (docs/train.md), or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    recipe: String,
    /// Set a key of the config; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The first learning rate
    #[arg(long, default_value_t = 1e-7, value_name = "LR")]
    start: f64,
    /// The last learning rate
    #[arg(long, default_value_t = 10.0, value_name = "LR")]
    end: f64,
    /// The number of training steps
    #[arg(long, default_value_t = 100, value_name = "N")]
    steps: usize,
    /// The SVG file for the curve
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
        settings.push(set(text)?);
    }
    let config = load(&args.recipe, &settings)?;
    let setup = setup(config, None)?;
    if let Some(report) = &setup.pretrained {
        println!("{report}");
    }
    let range = LrRange { start: args.start, end: args.end, steps: args.steps };
    let sweep = setup.find_lr(&range)?;

    let curve = |name: &str, of: fn(&tallow_train::lr_find::LrPoint) -> f64| Series {
        name: name.to_owned(),
        points: sweep.points.iter().map(|point| (point.lr.log10(), of(point))).collect(),
    };
    let curves = [curve("smoothed", |point| point.smoothed), curve("loss", |point| point.loss)];
    let svg = line_chart_svg("loss by learning rate", "learning rate, log10", "loss", &curves)?;
    tallow_base::write_atomically(&args.out, svg).with_context(|| format!("cannot write {}", args.out.display()))?;

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
            println!("valley    {valley:.2e}   middle of the longest fall: try optim.lr={valley:.1e}");
            println!("steepest  {steepest:.2e}   where the loss falls fastest");
        }
        _ => println!("the loss never fell: the range may be too low, or the model does not train"),
    }
    Ok(())
}
