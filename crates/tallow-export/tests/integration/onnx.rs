//! ONNX files, as an independent runtime reads and computes them.

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use tallow_augment::Size;
use tallow_export::{CheckpointInfo, Error, Int8, prune, save_graph, save_onnx};
use tallow_models::{BuiltModel, ModelConfig, build, find};
use tallow_nn::graph::trace;
use tallow_nn::op::softmax;
use tallow_nn::{Mode, op};
use tract_onnx::prelude::{
    Datum, Framework, InferenceFact, InferenceModelExt, IntoRunnable, Tensor as TractTensor, tvec,
};

/// Architectures that between them have every operation, at sizes where windows, patches and pools have edges.
const MODELS: &[(&str, usize)] = &[
    ("resnet9", 28),
    ("small_cnn", 28),
    ("preact_resnet18", 32),
    ("mobilenetv3_small_100", 48),
    ("tf_efficientnet_lite0", 46),
    ("googlenet", 64),
    ("squeezenet1_1", 50),
    ("convnextv2_atto", 64),
    ("repvgg_a0", 32),
    ("vit_tiny_patch4_32", 32),
    ("cct_2_3x2_32", 32),
    ("swin_tiny_patch4_window7_224", 64),
    ("cait_xxs24_224", 32),
    ("levit_128s", 64),
    ("poolformer_s12", 64),
    ("mobilevit_xxs", 96),
    ("mobilevitv2_050", 96),
];

/// A model in which nothing is zero or one: what starts as nothing would hide a mistake.
fn model(name: &str, size: usize) -> Result<BuiltModel> {
    let in_chans = if find(name)?.mean.len() == 1 { 1 } else { 3 };
    let config = ModelConfig { num_classes: 7, in_chans, input_size: (size, size), ..ModelConfig::default() };
    let built = build(name, &config, 3, &Device::Cpu)?;
    for (at, (name, tensor)) in built.store.state_dict().into_iter().enumerate() {
        let mut values = tensor.flatten_all()?.to_vec1::<f32>()?;
        for (i, value) in values.iter_mut().enumerate() {
            *value += 0.05 * ((i * 7 + at) as f32).sin();
        }
        built.store.set(&name, &Tensor::from_vec(values, tensor.dims(), &Device::Cpu)?)?;
    }
    Ok(built)
}

fn images(n: usize, built: &BuiltModel) -> Result<Tensor> {
    let ModelConfig { in_chans, input_size: (h, w), .. } = built.info.config;
    let values: Vec<f32> = (0..n * in_chans * h * w).map(|i| (i as f32 * 0.61).cos()).collect();
    Ok(Tensor::from_vec(values, (n, in_chans, h, w), &Device::Cpu)?)
}

#[test]
fn another_runtime_computes_the_same_logits() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for &(name, size) in MODELS {
        let built = model(name, size)?;
        let file = folder.path().join(format!("{name}.onnx"));
        save_onnx(&file, &built, &CheckpointInfo::new(&built.info, Vec::new()), None)?;
        // Neither of the numbers of images that it was traced with.
        let images = images(3, &built)?;
        let ours = built.model.forward(&images, &Mode::eval())?.flatten_all()?.to_vec1::<f32>()?;
        let theirs = in_tract(&file, &images).with_context(|| name.to_owned())?;
        let largest = ours.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let distance = ours.iter().zip(&theirs).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest;
        ensure!(ours.len() == theirs.len() && distance < 1e-4, "{name}: {distance} apart, the largest logit {largest}");
    }
    Ok(())
}

/// Two models, one of which sees the images mirrored, as the logarithms of their mean.
#[test]
fn another_runtime_computes_what_several_models_do_together() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (a, b) = (model("small_cnn", 28)?, model("resnet9", 28)?);
    let mirror: Vec<usize> = (0..28).rev().collect();
    let together = |images: &Tensor| -> tallow_nn::Result<Tensor> {
        let first = softmax(&a.model.forward(images, &Mode::eval())?)?;
        let second = softmax(&b.model.forward(&op::select(images, 3, &mirror)?, &Mode::eval())?)?;
        op::log(&op::affine(&op::add(&first, &second)?, 0.5, 0.0)?)
    };
    let names: Vec<_> = [("a", &a), ("b", &b)]
        .iter()
        .flat_map(|(member, built)| {
            let named =
                move |(name, var): (&str, &candle_core::Var)| (var.as_tensor().id(), format!("{member}/{name}"));
            built.store.parameters().map(named)
        })
        .collect();
    let file = folder.path().join("together.onnx");
    let info = CheckpointInfo::new(&a.info, Vec::new());
    save_graph(
        &file,
        trace((1, 28, 28), together)?,
        names.iter().map(|(id, name)| (*id, name.as_str())).collect(),
        &info,
    )?;
    let images = images(3, &a)?;
    let ours = together(&images)?.flatten_all()?.to_vec1::<f32>()?;
    let theirs = in_tract(&file, &images)?;
    let distance = ours.iter().zip(&theirs).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    ensure!(ours.len() == theirs.len() && distance < 1e-3, "{distance}: {ours:?}, {theirs:?}");
    let graph = tract_onnx::onnx().proto_model_for_path(&file)?.graph.context("no graph")?;
    ensure!(graph.initializer.iter().any(|tensor| tensor.name == "a/fc.weight"));
    Ok(())
}

/// The logits lie about as near to the other runtime's as to those in f32, as two roundings do. Biases of 32 bits, which a simulation leaves as they are, decide
/// for values that lie half-way.
#[test]
fn another_runtime_computes_the_same_in_8_bits() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (name, size) in [("small_cnn", 28), ("resnet9", 28), ("mobilenetv3_small_100", 48)] {
        let built = model(name, size)?;
        let images = images(6, &built)?;
        // A filter that is next to nothing, its norm's bias as large as ever.
        let (filter, weight) = built.store.parameters().next().context("no parameters")?;
        let mut values = weight.flatten_all()?.to_vec1::<f32>()?;
        let each = values.len() / weight.dims()[0];
        values[..each].fill(1e-10);
        built.store.set(filter, &Tensor::from_vec(values, weight.dims(), &Device::Cpu)?)?;
        let exact = built.model.forward(&images, &Mode::eval())?.flatten_all()?.to_vec1::<f32>()?;
        let int8 = Int8::calibrate::<Error>(&built, [Ok(images.clone())])?;
        let file = folder.path().join(format!("{name}.onnx"));
        save_onnx(&file, &built, &CheckpointInfo::new(&built.info, Vec::new()), Some(&int8))?;
        let built = int8.simulate(built)?;
        let ours = built.model.forward(&images, &Mode::eval())?.flatten_all()?.to_vec1::<f32>()?;
        let theirs = in_tract(&file, &images).with_context(|| name.to_owned())?;
        let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let (between, cost) = (distance(&ours, &theirs), distance(&ours, &exact));
        ensure!(cost > 0.0 && between < 2.0 * cost, "{name}: {between} apart, {cost} from f32");
    }
    Ok(())
}

#[test]
fn ranges_need_images() -> Result<()> {
    let built = model("small_cnn", 28)?;
    let none = Int8::calibrate::<Error>(&built, []).map(|_| ());
    assert!(none.is_err_and(|error| error.to_string().contains("no images")));
    let nan = (images(1, &built)? * f64::NAN)?;
    let broken = Int8::calibrate::<Error>(&built, [Ok(nan)]).map(|_| ());
    assert!(broken.is_err_and(|error| error.to_string().contains("not finite")));
    Ok(())
}

fn in_tract(file: &std::path::Path, images: &Tensor) -> Result<Vec<f32>> {
    let dims = images.dims4()?;
    let shape = [dims.0, dims.1, dims.2, dims.3];
    let model = tract_onnx::onnx()
        .model_for_path(file)?
        .with_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), shape))?
        .into_optimized()?
        .into_runnable()?;
    let input = TractTensor::from_shape(&shape, &images.flatten_all()?.to_vec1::<f32>()?)?;
    let outputs = model.run(tvec!(input.into()))?;
    Ok(outputs[0].view().as_slice::<f32>()?.to_vec())
}

#[test]
fn labels_and_preprocessing_are_in_the_metadata() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let built = model("small_cnn", 28)?;
    let labels: Vec<String> = (0..7).map(|i| format!("label {i}")).collect();
    let file = folder.path().join("model.onnx");
    // A convolutional network evaluated on larger images than it was built for.
    let mut info = CheckpointInfo::new(&built.info, labels);
    info.preprocessing.size = Size { height: 32, width: 32 };
    save_onnx(&file, &built, &info, None)?;
    let images = (Tensor::arange(0f32, 1024.0, &Device::Cpu)?.reshape((1, 1, 32, 32))? / 512.0)?;
    let ours = built.model.forward(&images, &Mode::eval())?.flatten_all()?.to_vec1::<f32>()?;
    let theirs = in_tract(&file, &images)?;
    ensure!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4), "{ours:?}, {theirs:?}");
    let smaller = Int8::calibrate::<Error>(&built, [Ok(self::images(1, &built)?)])?;
    let refused = save_onnx(&file, &built, &info, Some(&smaller)).err().context("saved")?;
    ensure!(refused.to_string().contains("28×28"), "{refused}");
    let message = tract_onnx::onnx().proto_model_for_path(&file)?;
    let config: serde_json::Value = serde_json::from_str(&message.metadata_props[0].value)?;
    assert_eq!(
        (config["architecture"].as_str(), config["label_names"][6].as_str()),
        (Some("small_cnn"), Some("label 6"))
    );
    assert_eq!(config["pretrained_cfg"]["input_size"], serde_json::json!([1, 32, 32]));
    let graph = message.graph.context("no graph")?;
    let names: Vec<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    assert!(names.contains(&"fc.weight"), "parameters keep their names: {names:?}");
    Ok(())
}

/// Filters that are zero are left out, and nothing else changes: of a plain network, of one with depthwise convolutions, of residual
/// blocks, whose sums keep theirs.
#[test]
fn pruned_filters_are_left_out() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let size_of = |file: &std::path::Path| -> Result<u64> { Ok(std::fs::metadata(file)?.len()) };
    for (name, size) in [("small_cnn", 28), ("resnet9", 28), ("resnet18", 33), ("mobilenetv2_100", 32)] {
        let built = model(name, size)?;
        let [whole, half, int8] = ["whole", "half", "int8"].map(|which| folder.path().join(format!("{name}.{which}")));
        let info = CheckpointInfo::new(&built.info, Vec::new());
        save_onnx(&whole, &built, &info, None)?;
        let images = images(3, &built)?;
        let before = built.model.forward(&images, &Mode::eval())?.flatten_all()?.to_vec1::<f32>()?;
        let pruned = prune(&built, 0.5)?;
        ensure!(pruned.layers > 0 && 2 * pruned.zero <= pruned.filters && pruned.zero > 0, "{name}: {pruned:?}");
        let ours = built.model.forward(&images, &Mode::eval())?.flatten_all()?.to_vec1::<f32>()?;
        ensure!(ours != before, "{name}: no filter is missed");
        save_onnx(&half, &built, &info, None)?;
        let theirs = in_tract(&half, &images).with_context(|| name.to_owned())?;
        let largest = ours.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let distance = ours.iter().zip(&theirs).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest;
        ensure!(distance < 1e-4, "{name}: {distance} apart, the largest logit {largest}");
        let calibrated = Int8::calibrate::<Error>(&built, [Ok(images)])?;
        save_onnx(&int8, &built, &info, Some(&calibrated))?;
        let (whole, half, int8) = (size_of(&whole)?, size_of(&half)?, size_of(&int8)?);
        ensure!(half < whole * 9 / 10 && int8 < half / 2, "{name}: {whole}, {half}, {int8} bytes");
    }
    Ok(())
}

#[test]
fn what_cannot_be_pruned_is_said() -> Result<()> {
    let of = |name: &str, ratio: f64| -> Result<String> {
        Ok(prune(&model(name, 32)?, ratio).err().context("pruned")?.to_string())
    };
    assert!(of("vit_tiny_patch4_32", 0.5)?.contains("no convolution"));
    assert!(of("resnet18", 1.0)?.contains("less than 1"));
    Ok(())
}
