//! `tallow serve`: serves predictions of a run or an ensemble over HTTP.

use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tallow_serve::{Options, serve, terminated};

use crate::allocator;
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
    /// Requests at a time whose bodies have arrived; further ones get status 503
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    max_requests: u16,
    /// The largest request body, in MB
    #[arg(long, value_name = "MB", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    max_body: u16,
    /// The memory for the bodies of all requests, in MB; bodies beyond it get status 503
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    max_bodies: u32,
    /// A name under which the server is reached, such as cats.example.org; * accepts every name
    ///
    /// IP addresses, localhost and names without a dot need no mention. A request for another name gets status 421: a web
    /// page may have pointed its own name at this server. Can be repeated.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// An origin whose web pages may use the server, such as https://example.org; * accepts every page
    ///
    /// Posts by pages of other sites get status 403. Can be repeated.
    #[arg(long, value_name = "ORIGIN")]
    cors: Vec<String>,
    #[command(flatten)]
    classifier: ClassifierArgs,
}

pub fn run(args: Args) -> Result<()> {
    let classifier = args.classifier.open(args.run.as_deref())?;
    let listener = TcpListener::bind(&args.addr)
        .with_context(|| format!("cannot listen on --addr {}: choose another port or host", args.addr))?;
    // The name that the server listens on is its own.
    let listened = args.addr.rsplit_once(':').map(|(host, _)| host.to_owned());
    let options = Options {
        max_batch: args.max_batch.into(),
        max_body_bytes: usize::from(args.max_body) << 20,
        max_bodies_bytes: (args.max_bodies as usize) << 20,
        max_requests: args.max_requests.into(),
        hosts: args.host.into_iter().chain(listened).collect(),
        cors: args.cors,
        ..Options::default()
    };
    let (addr, count) = (listener.local_addr()?, classifier.classes().len());
    println!("{}: {count} classes at http://{addr}, until Ctrl-C", classifier.name());
    allocator::purge_regularly()?;
    serve(&classifier, listener, &options, terminated())?;
    println!("stopped");
    Ok(())
}
