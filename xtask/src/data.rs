//! `cargo xtask data`: what a dataset holds.

use std::path::PathBuf;

use anyhow::Result;
use tallow_data::{ClassOrder, OnCorrupt, OpenOptions};

#[derive(clap::Args)]
pub struct Args {
    /// A dataset's name, a folder with a sub-folder for each class, or a CSV manifest
    #[arg(value_name = "SPEC", default_value = "fashion-mnist-6k")]
    spec: String,
    /// Where a named dataset's files are
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Order classes by code points, as torchvision does, instead of as people do
    #[arg(long)]
    lexical: bool,
    /// What to do about images that cannot be read: stop, or skip and list them
    #[arg(long, value_name = "stop|skip", value_parser = ["stop", "skip"], default_value = "stop", hide_default_value = true, hide_possible_values = true)]
    on_corrupt: String,
}

pub fn run(args: Args) -> Result<()> {
    let class_order = if args.lexical { ClassOrder::Lexical } else { ClassOrder::Natural };
    let options = OpenOptions { data_dir: args.data_dir, class_order, ..OpenOptions::default() };
    let on_corrupt = if args.on_corrupt == "skip" { OnCorrupt::Skip } else { OnCorrupt::Stop };
    let splits = tallow_data::open(&args.spec, &options)?;
    let train = Some(splits.train.clone());
    for (name, split) in [("train", &train), ("validation", &splits.validation), ("test", &splits.test)] {
        if let Some(dataset) = split {
            println!("{name}\n{}\n", tallow_data::summary(dataset.as_ref(), on_corrupt)?);
        }
    }
    if splits.ignored_files > 0 {
        println!("{} files are not images and were ignored", splits.ignored_files);
    }
    Ok(())
}
