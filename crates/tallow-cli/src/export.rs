//! `tallow export`: weights of any source as a folder in timm's layout, or as an ONNX file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tallow_data::Subset;
use tallow_export::{CheckpointInfo, Int8, LoadOptions, Preprocessing};
use tallow_train::{Ensemble, Finished, Predictor, View};

use crate::pretrained::{Pretrained, labels};
use crate::program;
use crate::run::{choose, first_line, info};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow export runs/r9 --out shoes
  tallow export runs/r9 --out shoes.onnx                           # for ONNX Runtime, TensorRT, a browser
  tallow export runs/r9 --out shoes.int8.onnx --int8               # the same in 8 bits: a quarter of the size, faster
  tallow export runs/ab --out ab.onnx --tta hflip                  # an ensemble as one file; the mean over mirror images
  tallow export resnet18.pth --model resnet18 --out resnet18       # timm's or torchvision's names, as train --pretrained
  tallow export runs/repvgg --reparameterize --out repvgg-deploy   # for timm.utils.reparameterize_model")]
pub struct Args {
    /// The directory of a run, a weights file, a folder with one, hf:OWNER/REPO, or timm's MODEL.TAG
    #[arg(value_name = "RUN|FILE|DIR|hf:REPO")]
    weights: String,
    /// The folder to write, model.safetensors and config.json; or the file, if its name ends in .onnx
    #[arg(long, value_name = "DIR|FILE.onnx")]
    out: PathBuf,
    /// The architecture [default: what config.json beside the weights says]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// How many classes the weights have [default: as config.json says, else the architecture's]
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// The names of the classes, one a line [default: as config.json says]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Match the weights with the model's by order instead of name
    #[arg(long)]
    weights_by_order: bool,
    /// A RepVGG's blocks as the one convolution each that they amount to
    #[arg(long)]
    reparameterize: bool,
    /// An ONNX file of a run in 8 bits: ranges from its training images, the accuracy before and after
    #[arg(long)]
    int8: bool,
    /// Training images that the ranges are taken from
    #[arg(long, value_name = "N", default_value_t = 512, requires = "int8")]
    calibration: usize,
    /// Views of each image that an ONNX file of a run or an ensemble averages: hflip, vflip, shift [default: none, the image
    /// as it is]
    #[arg(long, value_name = "KINDS", conflicts_with = "int8")]
    tta: Option<String>,
}

pub fn run(args: Args) -> Result<()> {
    let onnx = args.out.extension().is_some_and(|extension| extension == "onnx");
    if args.int8 && !onnx {
        bail!("--int8 is for an ONNX file: let --out end in .onnx");
    }
    if Ensemble::is_at(Path::new(&args.weights)) || args.tta.is_some() {
        return whole(&args, onnx);
    }
    let pretrained = Pretrained::find(&args.weights)?;
    let known = pretrained.info.as_ref();
    let Some(model) = args.model.as_deref().or(known.map(|info| info.architecture.as_str())) else {
        bail!("{}: there is no config.json beside it that says what model this is: add --model NAME", args.weights);
    };
    let built = pretrained.build(model, args.classes)?;
    let report = pretrained.load(&built, LoadOptions { by_order: args.weights_by_order, allow_mismatch: false })?;
    if !report.is_complete() {
        bail!("{report}\nthe classifier has no weights: give --classes as the weights have it");
    }
    let names = match (&args.labels, known) {
        (Some(path), _) => labels(path, built.info.config.num_classes)?,
        (None, Some(info)) => info.label_names.clone(),
        (None, None) => Vec::new(),
    };
    let mut info = CheckpointInfo::new(&built.info, names);
    info.preprocessing = pretrained.preprocessing(model, built.info.config.in_chans)?.0;
    info.num_batches_tracked = known.map_or(0, |info| info.num_batches_tracked);
    if onnx && args.reparameterize {
        bail!("an ONNX file has a RepVGG's blocks as one convolution each in any case: leave --reparameterize out");
    }
    if onnx {
        if args.int8 {
            in_8_bits(&args, &info)?;
        } else {
            tallow_export::save_onnx(&args.out, &built, &info, None)?;
        }
        describe(&args, model, &info);
        return Ok(());
    }
    if args.reparameterize {
        let state = built.store.state_dict();
        let folded = tallow_models::reparameterize(&state)?;
        if folded.len() == state.len() {
            bail!(
                "{model} has nothing to re-parameterise: only a RepVGG's blocks are several convolutions that amount to one"
            );
        }
        tallow_export::save_state(&args.out, folded, &info)?;
    } else {
        tallow_export::save(&args.out, &built.store, &info)?;
    }
    let (out, classes) = (args.out.display(), built.info.config.num_classes);
    println!("{out}: model.safetensors and config.json of {model}, {classes} classes");
    if args.reparameterize {
        println!("in Python: timm.utils.reparameterize_model(timm.create_model(\"{model}\", num_classes={classes}))");
    } else {
        println!("in Python: timm.create_model(\"local-dir:{out}\", pretrained=True)");
    }
    Ok(())
}

fn describe(args: &Args, what: &str, info: &CheckpointInfo) {
    let (h, w) = info.model.input_size;
    println!("{}: {what} for ONNX opset {}", args.out.display(), tallow_export::OPSET);
    println!("images [batch, {}, {h}, {w}] → logits [batch, {}]", info.model.in_chans, info.model.num_classes);
    let Preprocessing { mean, std, .. } = &info.preprocessing;
    println!("mean {mean:?}, std {std:?}; labels and the rest: metadata `config`");
}

/// Writes an ensemble, or a run with several views of each image, as one ONNX file.
fn whole(args: &Args, onnx: bool) -> Result<()> {
    let path = Path::new(&args.weights);
    if !onnx {
        bail!(
            "{}: several models, or views, are one file only in ONNX: let --out end in .onnx; or teach one model what an \
             ensemble knows: train --set distill.teacher={0}",
            path.display()
        );
    }
    if args.int8 {
        bail!("{}: --int8 takes one model: export the ensemble's members by themselves", path.display());
    }
    if args.model.is_some() || args.classes.is_some() || args.weights_by_order || args.reparameterize {
        bail!("{}: a run or an ensemble says itself what it is: leave the other options out", path.display());
    }
    let mut predictor = Predictor::open(path)?;
    predictor.set_tta(&View::parse_list(args.tta.as_deref().unwrap_or("none"))?)?;
    let mut info = info(predictor.first());
    info.label_names = match &args.labels {
        Some(path) => labels(path, predictor.classes().len())?,
        None => predictor.classes().to_vec(),
    };
    let what = match &predictor {
        Predictor::Run(_) => info.architecture.clone(),
        Predictor::Ensemble(ensemble) => {
            info.architecture = "ensemble".to_owned();
            format!("an ensemble of {}", ensemble.names().join(", "))
        }
    };
    let names = predictor.names();
    let names = names.iter().map(|(id, name)| (*id, name.as_str())).collect();
    tallow_export::save_graph(&args.out, predictor.graph()?, names, &info)?;
    describe(args, &what, &info);
    Ok(())
}

/// Calibrates a run on its own training images, writes the file, and says what it costs.
fn in_8_bits(args: &Args, info: &CheckpointInfo) -> Result<()> {
    let run = Path::new(&args.weights);
    let mut finished = Finished::open(run).context("--int8 takes its ranges from the images of a run")?;
    let splits = finished.splits(None)?;
    if splits.stream.is_some() {
        bail!(
            "{}: this run streams its images, of which none can be chosen; write them by {} data",
            run.display(),
            program::name()
        );
    }
    let all = splits.train.len();
    let count = args.calibration.min(all);
    // Evenly from all of them: a folder's images lie class by class.
    let chosen = (0..count).map(|i| i * all / count).collect();
    let images = finished.batches(Arc::new(Subset::new(splits.train.clone(), chosen)?))?;
    let int8 = Int8::calibrate::<anyhow::Error>(&finished.built, images.map(|images| Ok(images?)))?;
    tallow_export::save_onnx(&args.out, &finished.built, info, Some(&int8))?;
    if let Ok((name, dataset)) = choose(&splits, None) {
        println!("in f32:    {}", first_line(&finished, name, dataset.clone())?);
        finished.built = int8.simulate(finished.built)?;
        println!("in 8 bits: {}", first_line(&finished, name, dataset)?);
    }
    Ok(())
}
