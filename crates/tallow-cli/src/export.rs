//! `tallow export`: writes weights in timm's layout, or as an ONNX file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tallow_augment::{Normalization, Preprocessing, Size};
use tallow_data::Subset;
use tallow_export::{CheckpointInfo, InferenceOptions, Int8, PretrainedModel};
use tallow_infer::{Ensemble, Predictor, TrainedRun, View, find_pretrained};

use crate::classifier::{class_names, note_of};
use crate::output::{Target, make_parent};
use crate::program;
use crate::run::{choose, first_line, warn_of};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  tallow export runs/r9 --out shoes
  tallow export runs/r9 --out shoes.onnx                           # for ONNX Runtime, TensorRT, a browser
  tallow export runs/r9 --out shoes.int8.onnx --int8               # int8: a quarter of the size, faster
  tallow export runs/ab --out ab.onnx --tta hflip                  # an ensemble as one file, averaged over mirrored views
  tallow export resnet18.pth --model resnet18 --out resnet18       # weights with timm's or torchvision's names
  tallow export runs/repvgg --reparameterize --out repvgg-deploy   # for timm.utils.reparameterize_model")]
pub struct Args {
    /// A run or an ensemble, a weights file, a folder with one, hf:OWNER/REPO, or timm's MODEL.TAG
    #[arg(value_name = "RUN|FILE|DIR|hf:REPO")]
    weights: String,
    /// The folder for model.safetensors and config.json, or an ONNX file if the name ends in .onnx
    #[arg(long, value_name = "DIR|FILE.onnx")]
    out: PathBuf,
    /// The architecture [default: from the config.json beside the weights]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The number of classes that the weights must have [default: what they have]
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// A text file with one class name per line [default: from config.json]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Match the weights with the model's by order instead of by name
    #[arg(long)]
    weights_by_order: bool,
    /// Fuse each block of a RepVGG into one convolution
    #[arg(long)]
    reparameterize: bool,
    /// Quantise a run to int8 (ONNX only), calibrated on its training images; prints the accuracy before and after
    #[arg(long)]
    int8: bool,
    /// The number of training images for the calibration of --int8
    #[arg(long, value_name = "N", default_value_t = 512, requires = "int8")]
    calibration: usize,
    /// Views that the ONNX file averages: hflip, vflip, shift [default: none]
    #[arg(long, value_name = "KINDS", conflicts_with = "int8")]
    tta: Option<String>,
}

pub fn run(args: Args) -> Result<()> {
    let onnx = Target::of(&args.out)? == Target::Onnx;
    make_parent(&args.out)?;
    if args.int8 && !onnx {
        bail!("--int8 writes an ONNX file: --out must end in .onnx");
    }
    if Ensemble::is_at(Path::new(&args.weights)) || args.tta.is_some() {
        return whole(&args, onnx);
    }
    let pretrained = find_pretrained(&args.weights)?;
    let known = pretrained.info.as_ref();
    let Some(model) = args.model.as_deref().or(known.map(|info| info.architecture.as_str())) else {
        bail!("{}: no config.json beside the weights names the architecture: add --model NAME", args.weights);
    };
    let options =
        InferenceOptions { num_classes: args.classes, by_order: args.weights_by_order, ..InferenceOptions::default() };
    let PretrainedModel { built, report, preprocessing } = pretrained.open(model, options)?;
    note_of(&report);
    let names = match (&args.labels, known) {
        (Some(path), _) => class_names(path, built.info.config.num_classes)?,
        (None, Some(info)) => info.label_names.clone(),
        (None, None) => Vec::new(),
    };
    let mut info = CheckpointInfo::new(&built.info, names);
    info.preprocessing = preprocessing;
    warn_of(&info.preprocessing);
    info.num_batches_tracked = known.map_or(0, |info| info.num_batches_tracked);
    if onnx && args.reparameterize {
        bail!("an ONNX file always has fused RepVGG blocks: omit --reparameterize");
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
    let Preprocessing { size: Size { height, width }, normalization: Normalization { mean, std }, .. } =
        &info.preprocessing;
    println!("{}: {what} for ONNX opset {}", args.out.display(), tallow_export::OPSET);
    println!("images [batch, {}, {height}, {width}] → logits [batch, {}]", info.model.in_chans, info.model.num_classes);
    println!("mean {mean:?}, std {std:?}; labels and the rest: metadata `config`");
}

/// Writes an ensemble, or a run that averages several views of each image, as one ONNX file.
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
        bail!("{}: --int8 quantises a single model: export the members separately", path.display());
    }
    if args.model.is_some() || args.classes.is_some() || args.weights_by_order || args.reparameterize {
        bail!(
            "{}: a run or an ensemble needs no --model, --classes, --weights-by-order or --reparameterize: omit them",
            path.display()
        );
    }
    let mut predictor = Predictor::open(path)?;
    predictor.set_tta(&View::parse_list(args.tta.as_deref().unwrap_or("none"))?)?;
    let mut info = predictor.first()?.checkpoint_info();
    warn_of(&info.preprocessing);
    info.label_names = match &args.labels {
        Some(path) => class_names(path, predictor.classes().len())?,
        None => predictor.classes().to_vec(),
    };
    let what = match &predictor {
        Predictor::Run(_) | Predictor::Model { .. } => info.architecture.clone(),
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

/// Quantises a run, calibrated on its training images, and prints the accuracy before and after.
fn in_8_bits(args: &Args, info: &CheckpointInfo) -> Result<()> {
    let run = Path::new(&args.weights);
    let mut finished = TrainedRun::open(run).context("--int8 is calibrated on the training images of a run")?;
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
    let int8 = Int8::calibrate::<anyhow::Error>(&finished.classifier.built, images.map(|images| Ok(images?)))?;
    tallow_export::save_onnx(&args.out, &finished.classifier.built, info, Some(&int8))?;
    if let Ok((name, dataset)) = choose(&splits, None) {
        println!("in f32:    {}", first_line(&finished, name, dataset.clone())?);
        finished.classifier.built = int8.simulate(finished.classifier.built)?;
        println!("in int8:   {}", first_line(&finished, name, dataset)?);
    }
    Ok(())
}
