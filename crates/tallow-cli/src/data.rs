//! `tallow data`: describes a dataset; `tallow data convert`: writes it in another format.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tallow_data::{ClassOrder, Format, OnCorrupt, OpenOptions, Splits, WriteOptions};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// A dataset's name, a folder with one sub-folder per class, a CSV manifest, Parquet files, or WebDataset shards
    #[arg(value_name = "SPEC", default_value = "fashion-mnist-6k")]
    spec: String,
    #[command(flatten)]
    source: Source,
    /// What to do with images that cannot be read: stop, or skip and list them
    #[arg(long, value_name = "stop|skip", value_parser = ["stop", "skip"], default_value = "stop", hide_default_value = true, hide_possible_values = true)]
    on_corrupt: String,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Write a dataset in another format
    Convert(Convert),
}

#[derive(clap::Args)]
struct Source {
    /// The folder with the files of a named dataset
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Sort classes by code point (10 before 2), as torchvision does
    #[arg(long)]
    lexical: bool,
}

#[derive(clap::Args)]
struct Convert {
    /// The dataset to convert: a name, a folder with one sub-folder per class, a CSV manifest, Parquet files, or shards
    #[arg(value_name = "SRC")]
    spec: String,
    /// The folder to write; it must be empty or absent
    #[arg(value_name = "DST")]
    to: PathBuf,
    #[command(flatten)]
    source: Source,
    /// The format to write
    #[arg(long = "to", value_name = "FORMAT", value_parser = Format::ALL.map(|(name, _)| name))]
    format: String,
    /// Samples per Parquet file or shard
    #[arg(long, value_name = "N", default_value_t = WriteOptions::default().samples_per_file)]
    samples_per_file: usize,
}

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Some(Command::Convert(args)) => convert(args),
        None => show(args),
    }
}

fn show(args: Args) -> Result<()> {
    let on_corrupt = if args.on_corrupt == "skip" { OnCorrupt::Skip } else { OnCorrupt::Stop };
    let splits = open(&args.spec, args.source)?;
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

fn convert(args: Convert) -> Result<()> {
    let format = Format::ALL.into_iter().find(|(name, _)| *name == args.format).map(|(_, format)| format);
    let format = format.context("the parser knows the formats")?;
    let splits = open(&args.spec, args.source)?;
    let start = Instant::now();
    let options = WriteOptions { samples_per_file: args.samples_per_file };
    let written = tallow_data::write(&splits, &args.to, format, &options)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{written} samples written to {} as {} in {seconds:.1} s", args.to.display(), args.format);
    Ok(())
}

fn open(spec: &str, source: Source) -> Result<Splits> {
    let class_order = if source.lexical { ClassOrder::Lexical } else { ClassOrder::Natural };
    let options = OpenOptions { data_dir: source.data_dir, class_order, ..OpenOptions::default() };
    Ok(tallow_data::open(spec, &options)?)
}
