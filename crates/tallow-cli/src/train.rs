//! `tallow train`: config → setup → run directory → training → evaluation.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use anyhow::Result;
use tallow_infer::{Measurement, Predictor};
use tallow_run::RunDir;
use tallow_train::{FitOptions, RunConfig, TrainedOutcome, setup, train_run};

use crate::batch_size::{self, BatchSize};
use crate::interrupt::{Interrupted, STOP, in_order};
use crate::options::{Method, Source};
use crate::program;
use crate::run;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow train
  tallow train --data fashion-mnist --model resnet9 --recipe fast --out runs/r9
  tallow train --data photos/                                      # recipe and size by the images
  tallow train --data photos/ --model resnet18 --epochs 30 --image-size 224 --set data.validation_fraction=0.1
  tallow train --data 'x-{0000..0099}.tar' --model resnet18 --set data.stream=true
  tallow train --data photos/ --model resnet18 --pretrained hf:timm/resnet18.a1_in1k --freeze backbone
  tallow train --resume runs/r9

Every key of the configuration is listed in docs/train.md.")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    method: Method,
    /// The run directory [default: runs/MODEL-DATA, numbered]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Resume a run from its last checkpoint: this one, or that in --out; docs/train.md lists the settings that may change
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with_all = ["recipe", "pretrained"])]
    resume: Option<Option<PathBuf>>,
    /// Print only errors
    #[arg(long, short)]
    quiet: bool,
}

pub fn run(args: Args) -> Result<()> {
    let settings = [args.source.settings(), args.method.settings()?].concat();
    let resumed = run::resumed(args.resume.as_ref(), args.out.as_ref())?.map(RunDir::open_to_write).transpose()?;
    let config = match &resumed {
        Some(dir) => {
            args.method.refuse_auto()?;
            RunConfig::of_run(dir, &settings)?
        }
        None => args.method.load(&settings, |why| {
            if !args.quiet {
                println!("{why}");
            }
        })?,
    };
    let mut setup = setup(config, resumed.as_ref())?;
    if let Some(report) = setup.pretrained.as_ref().filter(|_| !args.quiet) {
        println!("{report}");
    }
    if let Some(BatchSize::Auto) = args.method.batch_size {
        setup.resolved.config.train.batch_size = batch_size::choose(&setup, args.quiet)?;
    }
    let dir = match resumed {
        Some(dir) => dir,
        None => setup.create_dir(args.out.unwrap_or_else(|| free_name("", setup.config())))?,
    };
    let signals = in_order()?;
    if !args.quiet {
        println!("{}", run::headline(&setup, &dir));
    }
    let options = FitOptions { stop: &STOP, quiet: args.quiet, ..FitOptions::default() };
    let TrainedOutcome { report, run: trained, splits } = train_run(setup, dir, options)?;
    let path = trained.dir.path().display().to_string();
    if report.interrupted {
        let (step, tallow) = (report.steps, program::name());
        let told = format!("stopped at step {step}; continue with: {tallow} train --resume {path}");
        return Err(Interrupted(told).into());
    }
    drop(signals);
    if STOP.load(Ordering::SeqCst) {
        let told = format!("stopped after the last epoch; evaluate with: {} evaluate {path}", program::name());
        return Err(Interrupted(told).into());
    }
    let split = match (splits.test, splits.validation, splits.stream) {
        (Some(test), ..) => Some(("test", test)),
        (None, Some(validation), _) => Some(("validation", validation)),
        (None, None, None) => Some(("train", splits.train)),
        // Evaluating a streamed training set is slow and says little.
        (None, None, Some(_)) => None,
    };
    run::warn_of(&trained.preprocessing);
    let predictor = Predictor::from(trained);
    let measure =
        |(split, dataset)| -> Result<_> { Ok((split, run::evaluate(&predictor, &Measurement::main(split), dataset)?)) };
    let measured = split.map(measure).transpose()?;
    if !args.quiet {
        match &measured {
            Some((split, measured)) => println!("\n{split}: {}", measured.evaluation),
            None => {
                println!(
                    "\nno validation or test shards; evaluate on others with: {} evaluate {path} --data SPEC",
                    program::name()
                )
            }
        }
        println!("trained in {:.0} s at {:.0} images/s (evaluation left out)", report.train_s, report.images_per_s);
        println!(
            "{path}: config.toml, model.safetensors + config.json (timm's layout), {}curves.svg, events/",
            if measured.is_some() { "metrics.json, " } else { "" }
        );
        println!("next: {} predict {path} IMAGE…    tensorboard --logdir {path}/events", program::name());
    }
    Ok(())
}

/// `runs/PREFIXMODEL-DATA`, or the first of its numbered variants that is free.
pub fn free_name(prefix: &str, config: &RunConfig) -> PathBuf {
    let stem = |spec: &str| {
        let name = std::path::Path::new(spec).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name.is_empty() { "data".to_owned() } else { name }
    };
    let name = format!("runs/{prefix}{}-{}", config.model.name, stem(&config.data.spec));
    let numbered = (2..).map(|n| PathBuf::from(format!("{name}-{n}")));
    let mut names = std::iter::once(PathBuf::from(&name)).chain(numbered);
    names.find(|path| !path.exists()).unwrap_or_else(|| PathBuf::from(name))
}
