//! `tallow serve`: serves predictions of a run or an ensemble over HTTP.

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tallow_serve::{Options, serve, terminated};

use crate::classifier::ClassifierArgs;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow serve runs/r9
  curl --data-binary @shoe.png 'http://127.0.0.1:8000/predict?topk=3'
  curl -F a=@shoe.png -F b=@bag.png http://127.0.0.1:8000/predict
  tallow serve --model resnet18 --weights hf:timm/resnet18.a1_in1k --labels imagenet.txt")]
pub struct Args {
    /// The directory of a run or an ensemble
    #[arg(value_name = "RUN", required_unless_present = "model", conflicts_with = "model")]
    run: Option<PathBuf>,
    /// The address to listen on; 0.0.0.0:8000 accepts other machines, port 0 takes a free port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8000")]
    addr: String,
    /// The largest batch of images
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    max_batch: u16,
    /// Requests at a time; further ones get status 503
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    max_requests: u16,
    /// The largest request body, in MB
    #[arg(long, value_name = "MB", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    max_body: u16,
    #[command(flatten)]
    classifier: ClassifierArgs,
}

pub fn run(args: Args) -> Result<()> {
    let classifier = args.classifier.open(args.run.as_deref())?;
    let listener = TcpListener::bind(&args.addr)
        .with_context(|| format!("cannot listen on --addr {}: choose another port or host", args.addr))?;
    let options = Options {
        max_batch: args.max_batch.into(),
        max_body_bytes: usize::from(args.max_body) << 20,
        max_requests: args.max_requests.into(),
        ..Options::default()
    };
    let (addr, count) = (listener.local_addr()?, classifier.classes().len());
    println!("{}: {count} classes at http://{addr}, until Ctrl-C", classifier.name());
    serve(&classifier, listener, &options, terminated())?;
    println!("stopped");
    Ok(())
}
