//! `cargo xtask train`: config → data → run directory → model → fit → export → evaluate.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use candle_core::Device;
use tallow_export::LoadOptions;
use tallow_metrics::{Curve, curves_svg};
use tallow_train::{
    LossContext, RunConfig, RunDir, Setting, Split, Training, augmented_grid, eval_loader, fit, load, resolve,
    train_loader,
};

use crate::pretrained::Pretrained;
use crate::run::{self, Finished};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask train
  cargo xtask train --data fashion-mnist --model resnet9 --recipe fast --out runs/r9
  cargo xtask train --data photos/ --model resnet18 --set train.epochs=30 --set data.validation_fraction=0.1
  cargo xtask train --data photos/ --model resnet18 --pretrained hf:timm/resnet18.a1_in1k --freeze backbone
  cargo xtask train --resume --out runs/r9

Every key of the configuration is listed in docs/train.md.")]
pub struct Args {
    /// A dataset's name (fashion-mnist-6k, fashion-mnist, mnist, cifar10, …), a folder with a sub-folder for each
    /// class, or a CSV manifest
    #[arg(long, value_name = "SPEC")]
    data: Option<String>,
    /// Where a named dataset's files are
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Keep decoded images in files in this folder, for later epochs and runs
    #[arg(long, value_name = "DIR")]
    cache: Option<String>,
    /// The architecture; `cargo xtask models` lists them
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The configuration to start from: default, fast, strong, finetune, … (docs/train.md), or a TOML file
    #[arg(long, value_name = "NAME|FILE", default_value = "default", conflicts_with = "resume")]
    recipe: String,
    /// The run directory; made if absent [default: runs/MODEL-DATA, numbered]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a key of the configuration, such as train.epochs=8; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Trained weights to start from: a file (.safetensors, .pth, .bin), a folder, hf:OWNER/REPO@REVISION of the
    /// Hub, or timm's MODEL.TAG
    #[arg(long, value_name = "hf:REPO|MODEL.TAG|FILE|DIR", conflicts_with = "resume")]
    pretrained: Option<String>,
    /// Match their tensors with the model's by order instead of name
    #[arg(long, requires = "pretrained")]
    weights_by_order: bool,
    /// Report tensors that are missing, unexpected or of another shape instead of stopping
    #[arg(long, requires = "pretrained")]
    allow_mismatch: bool,
    /// Leave parameters as they are: a module (layer1), a pattern (*.bn1), or backbone; may be repeated
    #[arg(long, value_name = "PATTERN")]
    freeze: Vec<String>,
    /// What to do about images that cannot be read: stop, or skip and list them
    #[arg(long, value_name = "stop|skip", value_parser = ["stop", "skip"], hide_possible_values = true)]
    on_corrupt: Option<String>,
    /// Go on with the run in --out from its last checkpoint
    #[arg(long, requires = "out")]
    resume: bool,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

impl Args {
    /// The flags as settings of the configuration; `--set` comes last and wins.
    fn settings(&self) -> Result<Vec<Setting>> {
        let flags = [
            ("--data", "data.spec", &self.data),
            ("--data-dir", "data.data_dir", &self.data_dir),
            ("--cache", "data.cache", &self.cache),
            ("--model", "model.name", &self.model),
            ("--pretrained", "transfer.pretrained", &self.pretrained),
            ("--on-corrupt", "data.on_corrupt", &self.on_corrupt),
        ];
        let flags =
            flags.into_iter().filter_map(|(flag, key, value)| Some(Setting::string(flag, key, value.as_ref()?)));
        let mut settings: Vec<Setting> = flags.collect();
        if !self.freeze.is_empty() {
            settings.push(Setting::parse(&format!("transfer.freeze={:?}", self.freeze))?);
        }
        for (set, key) in [(self.weights_by_order, "weights_by_order"), (self.allow_mismatch, "allow_mismatch")] {
            if set {
                settings.push(Setting::parse(&format!("transfer.{key}=true"))?);
            }
        }
        for text in &self.set {
            settings.push(Setting::parse(text)?);
        }
        Ok(settings)
    }
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
    let settings = args.settings()?;
    let resumed = args.out.as_ref().filter(|_| args.resume).map(RunDir::open).transpose()?;
    let mut config = match &resumed {
        Some(run) => run.config(&settings)?,
        None => load(&args.recipe, &settings)?,
    };
    let classes = resumed.as_ref().map(RunDir::classes).transpose()?;
    let splits = tallow_data::open(&config.data.spec, &config.open_options(classes))?;
    // A run that was stopped before its first checkpoint starts from them again.
    let started = resumed.as_ref().is_some_and(|run| run.last().is_file());
    let spec = config.transfer.pretrained.as_ref().filter(|_| !started);
    let pretrained = spec.map(|spec| Pretrained::find(spec)).transpose()?;
    if let Some(pretrained) = &pretrained {
        pretrained.complete(&mut config, &splits)?;
    }
    let resolved = resolve(config, &splits)?;
    let config = &resolved.config;
    let built = tallow_models::build(&config.model.name, &config.model.config, config.train.seed, &Device::Cpu)?;
    if let Some(pretrained) = &pretrained {
        let transfer = &config.transfer;
        let (by_order, allow_mismatch) = (transfer.weights_by_order, transfer.allow_mismatch);
        let report = pretrained.load(&built, LoadOptions { by_order, allow_mismatch })?;
        if !args.quiet {
            println!("{report}");
        }
    }
    let run = match resumed {
        Some(run) => run,
        None => RunDir::create(args.out.unwrap_or_else(|| free_name(config)), config, splits.train.class_names())?,
    };
    run.write_config(config)?;
    run.keep_split(&splits)?;

    let train = train_loader(&resolved, splits.train.clone())?;
    let (name, chooses) = if splits.validation.is_some() { ("validation", true) } else { ("test", false) };
    let eval = splits.validation.clone().or(splits.test.clone());
    let eval = eval.map(|dataset| eval_loader(&resolved, dataset)).transpose()?;
    if !args.quiet {
        println!("{}", run::headline(&resolved, &splits, &built, &run));
    }
    catch_ctrl_c()?;

    let picture = augmented_grid(&train, &resolved.train)?;
    run.write("augmented.png", &png(&picture)?)?;
    let report = fit(Training {
        config,
        run: &run,
        built: &built,
        loss: config.loss.build(&LossContext::of(splits.train.as_ref()))?.as_ref(),
        optimizer: config.optim.build_for(&built).as_mut(),
        train: Split { name: "train", loader: &train },
        eval: eval.as_ref().map(|loader| Split { name, loader }),
        eval_chooses: chooses,
        picture: Some(picture),
        stop: &STOP,
        quiet: args.quiet,
        after_epoch: None,
    })?;
    let path = run.path().display();
    if report.interrupted {
        bail!("stopped by Ctrl-C at step {}; go on with: cargo xtask train --resume --out {path}", report.steps);
    }
    run.write_json("report.json", &report)?;
    run.write("curves.svg", curves(&run)?.as_bytes())?;

    let finished = Finished::open(run.path())?;
    finished.export(&splits, report.steps)?;
    let (split, dataset) = match (&splits.test, &splits.validation) {
        (Some(test), _) => ("test", test.clone()),
        (None, Some(validation)) => ("validation", validation.clone()),
        (None, None) => ("train", splits.train.clone()),
    };
    let evaluation = finished.evaluate(split, dataset)?;
    if !args.quiet {
        println!("\n{split}: {evaluation}");
        println!("trained in {:.0} s at {:.0} images/s (evaluation left out)", report.train_s, report.images_per_s);
        println!(
            "{path}: config.toml, model.safetensors + config.json (timm's layout), metrics.json, curves.svg, events/"
        );
        println!("next: cargo xtask predict {path} IMAGE…    tensorboard --logdir {path}/events");
    }
    Ok(())
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
        Curve { name: name.to_owned(), points: epochs.iter().copied().zip(percent).collect() }
    };
    let curves = [curve("train", column("train_top1")), curve("evaluated", column("eval_top1"))];
    Ok(curves_svg("top-1 accuracy, %", "epoch", "%", &curves)?)
}

/// `runs/MODEL-DATA`, or the first of its numbered variants that is free.
fn free_name(config: &RunConfig) -> PathBuf {
    let stem = |spec: &str| {
        let name = std::path::Path::new(spec).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name.is_empty() { "data".to_owned() } else { name }
    };
    let name = format!("runs/{}-{}", config.model.name, stem(&config.data.spec));
    let numbered = (2..).map(|n| PathBuf::from(format!("{name}-{n}")));
    let mut names = std::iter::once(PathBuf::from(&name)).chain(numbered);
    names.find(|path| !path.exists()).unwrap_or_else(|| PathBuf::from(name))
}
