//! `tallow data`: describes a dataset; `tallow data convert`: writes it in another format.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tallow_data::{ClassOrder, FolderLayout, Format, OnCorrupt, OpenOptions, Splits, WriteOptions};

use crate::columns::{self, Columns};

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
    /// What to do with images that cannot be read: list them, or stop at the first
    #[arg(long, value_name = "list|stop", value_parser = ["list", "skip", "stop"], default_value = "list", hide_default_value = true, hide_possible_values = true)]
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
    #[arg(long, value_name = "WHAT=COLUMN,…", help = columns::HELP)]
    columns: Option<Columns>,
    /// Go on although numbered files (00000-of-00005) are missing
    #[arg(long)]
    allow_missing_files: bool,
    /// Folders are classes or splits whatever their names, instead of what the names say
    #[arg(long, value_name = "classes|splits", value_parser = ["classes", "splits"], hide_possible_values = true)]
    folder_layout: Option<String>,
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
    let stop = args.on_corrupt == "stop";
    let splits = open(&args.spec, args.source, !stop)?;
    let train = Some(splits.train.clone());
    for (name, split) in [("train", &train), ("validation", &splits.validation), ("test", &splits.test)] {
        if let Some(dataset) = split {
            let summary = match stop {
                true => tallow_data::summary(dataset.as_ref(), OnCorrupt::Stop)?,
                false => tallow_data::describe(dataset.as_ref())?,
            };
            println!("{name}\n{summary}\n");
        }
    }
    splits.warnings().iter().for_each(|warning| println!("note: {warning}"));
    Ok(())
}

fn convert(args: Convert) -> Result<()> {
    let format = Format::ALL.into_iter().find(|(name, _)| *name == args.format).map(|(_, format)| format);
    let format = format.context("the parser knows the formats")?;
    let splits = open(&args.spec, args.source, false)?;
    splits.notes.iter().for_each(|note| eprintln!("note: {note}"));
    let start = Instant::now();
    let options = WriteOptions { samples_per_file: args.samples_per_file };
    let written = tallow_data::write(&splits, &args.to, format, &options)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{written} samples written to {} as {} in {seconds:.1} s", args.to.display(), args.format);
    Ok(())
}

fn open(spec: &str, source: Source, describe: bool) -> Result<Splits> {
    let class_order = if source.lexical { ClassOrder::Lexical } else { ClassOrder::Natural };
    let folder_layout = match source.folder_layout.as_deref() {
        Some("classes") => FolderLayout::Classes,
        Some(_) => FolderLayout::Splits,
        None => FolderLayout::Auto,
    };
    let mut options = OpenOptions {
        data_dir: source.data_dir,
        class_order,
        folder_layout,
        allow_missing_files: source.allow_missing_files,
        describe,
        ..OpenOptions::default()
    };
    if let Some(columns) = &source.columns {
        columns.set(&mut options);
    }
    Ok(tallow_data::open(spec, &options)?)
}
