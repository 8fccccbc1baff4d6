//! A whole network: training steps and forward passes on random images.

use anyhow::{Result, ensure};
use candle_core::{Device, Tensor};
use serde_json::json;
use tallow_models::{BuiltModel, ModelConfig};
use tallow_nn::{Mode, Tape, keep_packed_weights};
use tallow_optim::Rates;
use tallow_optim::loss::{LossContext, Targets};
use tallow_train::RunConfig;

use super::{median, peak_bytes, seconds};

#[derive(clap::Args)]
pub struct Args {
    /// The architecture
    #[arg(long, default_value = "resnet9", value_name = "NAME")]
    model: String,
    /// Images of a batch
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Height and width of the images [default: the architecture's own]
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// The first layers: "cifar" for small images, where the architecture has the choice
    #[arg(long, value_name = "imagenet|cifar")]
    stem: Option<String>,
    /// The number format of products
    #[arg(long, default_value = "f32")]
    precision: super::Format,
    /// Measured repetitions, after two that are not
    #[arg(long, default_value_t = 10, value_name = "N")]
    steps: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Work {
    Step,
    Infer,
}

pub fn run(args: &Args, work: Work) -> Result<()> {
    ensure!(args.batch > 0 && args.steps > 0, "--batch and --steps must be at least 1");
    let exact = matches!(args.precision, super::Format::F32);
    ensure!(exact || work == Work::Step, "--precision bf16 is for training steps: inference is computed in f32");
    let built = build(args)?;
    let ModelConfig { in_chans, input_size: (h, w), num_classes, .. } = built.info.config;
    let images = Tensor::randn(0f32, 1.0, (args.batch, h, w, in_chans), &Device::Cpu)?.permute((0, 3, 1, 2))?;
    let labels: Vec<u32> = (0..args.batch).map(|i| (i % num_classes) as u32).collect();
    let RunConfig { loss, optim, .. } = RunConfig::default();
    let loss = loss.build(&LossContext::default())?;
    let mut optimizer = optim.build(&built.store, None);

    let _format = args.precision.autocast()?;
    let _kept = keep_packed_weights(); // a training step keeps none
    let mut once = |step: usize| -> Result<()> {
        if work == Work::Infer {
            built.model.forward(&images, &Mode::eval())?;
            return Ok(());
        }
        let tape = Tape::start();
        let logits = built.model.forward(&images, &Mode::train(0, step as u64))?;
        let loss = loss.loss(&logits, Targets::of_labels(&labels))?;
        drop(logits);
        let grads = tape.backward(&loss)?;
        Ok(optimizer.step(&grads, Rates::new(0.01))?)
    };
    let times = (0..args.steps + 2).map(|step| seconds(|| once(step))).collect::<Result<Vec<_>>>()?;
    let time = median(times[2..].to_vec());
    let (rate, peak) = (args.batch as f64 / time, peak_bytes());
    let name = &args.model;
    if args.json {
        let of = if work == Work::Step { "step_ms" } else { "infer_ms" };
        let mut object = json!({
            "model": name, "batch": args.batch, "size": [h, w], "threads": rayon::current_num_threads(),
            "images_per_s": rate, "peak_bytes": peak,
        });
        object[of] = json!(1e3 * time);
        println!("{object}");
    } else {
        let memory = peak.map_or_else(|| "?".to_owned(), |bytes| format!("{:.2} GB", bytes as f64 / 1e9));
        let what = if work == Work::Step { "step" } else { "forward" };
        let batch = args.batch;
        println!(
            "{name} {in_chans}×{h}×{w}, batch {batch}: {what} {:.1} ms, {rate:.0} images/s, peak {memory}",
            1e3 * time
        );
    }
    Ok(())
}

fn build(args: &Args) -> Result<BuiltModel> {
    let mut config = tallow_models::find(&args.model)?.config();
    if let Some(size) = args.size {
        config.input_size = (size, size);
    }
    if let Some(stem) = &args.stem {
        config.stem = Some(serde_json::from_value(json!(stem))?);
    }
    Ok(tallow_models::build(&args.model, &config, 0, &Device::Cpu)?)
}
