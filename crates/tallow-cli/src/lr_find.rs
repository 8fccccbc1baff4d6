//! `tallow lr-find`: a sweep over learning rates that draws the loss and suggests a rate.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tallow_base::write_atomically;
use tallow_metrics::{LineChart, Series};
use tallow_train::lr_find::{LrPoint, LrRange, LrSuggestion, LrSweep};
use tallow_train::{Setting, load, setup};

use crate::options::set;
use crate::output::make_parent;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow lr-find
  tallow lr-find --data fashion-mnist --model resnet9 --set optim.name=adamw --out lr.svg
  tallow train --set optim.lr=0.05        # with the suggested rate

The suggestion is for the highest learning rate of the recipe's schedule.
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
    #[arg(long, default_value_t = 1e-6, value_name = "LR")]
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

    let suggestion = sweep.suggestion();
    make_parent(&args.out)?;
    write_atomically(&args.out, chart(&sweep, suggestion.as_ref())?)
        .with_context(|| format!("cannot write {}", args.out.display()))?;

    let last = sweep.points.last().map_or(args.start, |point| point.lr);
    let end = if sweep.exploded { "where the loss exploded" } else { "the end of the range" };
    println!(
        "{} steps from {:.1e} to {last:.1e}, {end}; curve: {}",
        sweep.points.len(),
        args.start,
        args.out.display()
    );
    let Some(LrSuggestion { lr, lowest, still_falling }) = suggestion else {
        println!("the loss did not fall: the range may be too low or too short, or the model does not train");
        return Ok(());
    };
    println!("the smoothed loss is lowest at {lowest:.1e}; try half of that: optim.lr={lr:.1e}");
    if still_falling {
        println!("the loss still falls at the end of the range: try a higher --end");
    }
    Ok(())
}

/// The losses over the learning rate, with the suggestion. The axis ends above the initial loss, as exploded losses
/// would flatten the part that counts.
fn chart(sweep: &LrSweep, suggestion: Option<&LrSuggestion>) -> Result<String> {
    let curve = |name: &str, of: fn(&LrPoint) -> f64| Series {
        name: name.to_owned(),
        points: sweep.points.iter().map(|point| (point.lr, of(point))).collect(),
    };
    let series = &[curve("loss of a batch", |point| point.loss), curve("smoothed", |point| point.smoothed)];
    let lowest = sweep.points.iter().map(|point| point.smoothed).fold(f64::INFINITY, f64::min);
    let y_max = sweep.initial().map(|initial| initial + (0.5 * (initial - lowest)).max(0.1 * initial));
    let mark = |found: &LrSuggestion| (found.lr, format!("suggestion {:.1e}", found.lr));
    let marks: Vec<(f64, String)> = suggestion.into_iter().map(mark).collect();
    let title = "loss by learning rate";
    let chart =
        LineChart { title, x_label: "learning rate", y_label: "loss", series, log_x: true, y_max, marks: &marks };
    Ok(chart.svg()?)
}
