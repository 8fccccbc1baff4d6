//! `tallow train`: config → data → run directory → model → fit → export → evaluate.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use candle_core::Device;
use tallow_data::Splits;
use tallow_export::LoadOptions;
use tallow_metrics::{Series, line_chart_svg};
use tallow_models::Built;
use tallow_train::{
    Finished, FitReport, LossContext, Resolved, RunConfig, RunDir, Setting, Split, Training, augmented_grid,
    eval_loader, fit, load, resolve, train_loader,
};

use crate::batch_size::{self, BatchSize};
use crate::options::{Method, Source};
use crate::pretrained::Pretrained;
use crate::program;
use crate::run;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow train
  tallow train --data fashion-mnist --model resnet9 --recipe fast --out runs/r9
  tallow train --data photos/ --model resnet18 --set train.epochs=30 --set data.validation_fraction=0.1
  tallow train --data 'x-{0000..0099}.tar' --model resnet18 --set data.stream=true
  tallow train --data photos/ --model resnet18 --pretrained hf:timm/resnet18.a1_in1k --freeze backbone
  tallow train --resume --out runs/r9

Every key of the configuration is listed in docs/train.md.")]
pub struct Args {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    method: Method,
    /// The run directory; made if absent [default: runs/MODEL-DATA, numbered]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Samples a batch, or auto: a few steps of each power of two are measured, the smallest of the fastest is taken, and
    /// config.toml keeps it
    #[arg(long, value_name = "N|auto")]
    batch_size: Option<BatchSize>,
    /// Go on with the run in --out from its last checkpoint
    #[arg(long, requires = "out", conflicts_with_all = ["recipe", "pretrained", "batch_size"])]
    resume: bool,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

/// Set by Ctrl-C: the step under way is finished and saved.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C set [`STOP`].
pub fn catch_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130); // asked twice
        }
        eprintln!("\nstopping after this step; press Ctrl-C again to stop at once, without saving");
    })
    .context("cannot catch Ctrl-C")
}

pub fn run(args: Args) -> Result<()> {
    let mut settings = [args.source.settings(), args.method.settings()?].concat();
    if let Some(BatchSize::Of(samples)) = args.batch_size {
        settings.push(Setting::parse(&format!("train.batch_size={samples}"))?);
    }
    let resumed = args.out.as_ref().filter(|_| args.resume).map(RunDir::open).transpose()?;
    let config = match &resumed {
        Some(run) => run.config(&settings)?,
        None => load(&args.method.recipe, &settings)?,
    };
    let classes = resumed.as_ref().map(RunDir::classes).transpose()?;
    let splits = tallow_data::open(&config.data.spec, &config.open_options(classes))?;
    // A run that was stopped before its first checkpoint starts from the weights again.
    let started = resumed.as_ref().is_some_and(|run| run.last().is_file());
    let mut prepared = prepare(config, &splits, started, args.quiet)?;
    if let Some(BatchSize::Auto) = args.batch_size {
        prepared.resolved.config.train.batch_size = batch_size::choose(&prepared.resolved, &splits, args.quiet)?;
    }
    let config = &prepared.resolved.config;
    let run = match resumed {
        Some(run) => run,
        None => {
            let out = args.out.unwrap_or_else(|| free_name("", config));
            RunDir::create(out, config, splits.train.class_names())?
        }
    };
    catch_ctrl_c()?;
    let report = train(&prepared, &run, &splits, args.quiet)?;
    let path = run.path().display();
    if report.interrupted {
        bail!(
            "stopped by Ctrl-C at step {}; continue with: {tallow} train --resume --out {path}",
            report.steps,
            tallow = program::name()
        );
    }
    let measured = match (&splits.test, &splits.validation, &splits.stream) {
        (Some(test), ..) => Some(("test", test.clone())),
        (None, Some(validation), _) => Some(("validation", validation.clone())),
        (None, None, None) => Some(("train", splits.train.clone())),
        // As large as it may be, what was trained on is not read once more to say little.
        (None, None, Some(_)) => None,
    };
    let measured = measured.map(|(split, dataset)| -> Result<_> {
        Ok((split, run::evaluate(&Finished::open(run.path())?.into(), split, dataset)?))
    });
    let measured = measured.transpose()?;
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

/// A complete config, and the model that it starts from.
pub struct Prepared {
    pub resolved: Resolved,
    pub built: Built,
}

/// Completes a config by its data and its pretrained weights, which a run that has `started` no longer needs.
pub fn prepare(mut config: RunConfig, splits: &Splits, started: bool, quiet: bool) -> Result<Prepared> {
    let spec = config.transfer.pretrained.as_ref().filter(|_| !started);
    let pretrained = spec.map(|spec| Pretrained::find(spec)).transpose()?;
    if let Some(pretrained) = &pretrained {
        pretrained.complete(&mut config, splits)?;
    }
    let resolved = resolve(config, splits)?;
    let config = &resolved.config;
    let built = tallow_models::build(&config.model.name, &config.model.config, config.train.seed, &Device::Cpu)?;
    if let Some(pretrained) = &pretrained {
        let transfer = &config.transfer;
        let (by_order, allow_mismatch) = (transfer.weights_by_order, transfer.allow_mismatch);
        let report = pretrained.load(&built, LoadOptions { by_order, allow_mismatch })?;
        if !quiet {
            println!("{report}");
        }
    }
    Ok(Prepared { resolved, built })
}

/// Trains a run, or goes on with it, to its report and exported weights, which an interrupted one does not get.
pub fn train(prepared: &Prepared, run: &RunDir, splits: &Splits, quiet: bool) -> Result<FitReport> {
    let Prepared { resolved, built } = prepared;
    let config = &resolved.config;
    run.write_config(config)?;
    run.keep_split(splits)?;
    let train = train_loader(resolved, splits)?;
    let (name, chooses) = if splits.validation.is_some() { ("validation", true) } else { ("test", false) };
    let eval = splits.validation.clone().or(splits.test.clone());
    let eval = eval.map(|dataset| eval_loader(resolved, dataset)).transpose()?;
    if !quiet {
        println!("{}", run::headline(resolved, splits, built, run));
    }
    let picture = augmented_grid(&train, &resolved.train)?;
    run.write("augmented.png", &png(&picture)?)?;
    let report = fit(Training {
        config,
        run,
        built,
        loss: config.loss.build(&LossContext::of(splits.train.as_ref()))?.as_ref(),
        optimizer: config.optim.build_for(built).as_mut(),
        train: Split { name: "train", loader: &train },
        eval: eval.as_ref().map(|loader| Split { name, loader }),
        eval_chooses: chooses,
        picture: Some(picture),
        stop: &STOP,
        quiet,
        after_epoch: None,
    })?;
    if !report.interrupted {
        run.write("curves.svg", curves(run)?.as_bytes())?;
        run::export(&Finished::open(run.path())?, report.steps)?;
        // Last: who finds it has a whole run.
        run.write_json("report.json", &report)?;
    }
    Ok(report)
}

fn png(picture: &image::DynamicImage) -> Result<Vec<u8>> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Accuracy over epochs, from summary.csv, where resumed runs keep their whole history.
fn curves(run: &RunDir) -> Result<String> {
    let path = run.path().join("summary.csv");
    let mut reader = csv::Reader::from_path(&path).with_context(|| path.display().to_string())?;
    let header = reader.headers()?.clone();
    let rows = reader.records().collect::<std::result::Result<Vec<_>, _>>()?;
    let column = |name: &str| -> Vec<f64> {
        let index = header.iter().position(|column| column == name);
        rows.iter().map(|row| index.and_then(|i| row[i].parse().ok()).unwrap_or(f64::NAN)).collect()
    };
    let epochs = column("epoch");
    let curve = |name: &str, column: Vec<f64>| {
        let percent = column.into_iter().map(|top1| 100.0 * top1);
        Series { name: name.to_owned(), points: epochs.iter().copied().zip(percent).collect() }
    };
    let curves = [curve("train", column("train_top1")), curve("evaluated", column("eval_top1"))];
    Ok(line_chart_svg("top-1 accuracy, %", "epoch", "%", &curves)?)
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
