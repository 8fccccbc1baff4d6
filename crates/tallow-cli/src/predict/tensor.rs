//! `predict --tensor`: the logits of a tensor.

use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::{DType, Device};
use tallow_nn::Mode;

use crate::classifier::ClassifierArgs;
use crate::output::make_parent;

/// Applies the model of --model to the tensor `input` of a file and writes its logits to another.
pub fn tensor_logits(classifier: &ClassifierArgs, tensor: &Path, logits: &Path) -> Result<()> {
    let mut tensors = candle_core::safetensors::load(tensor, &Device::Cpu)
        .with_context(|| format!("{}: cannot be read as safetensors", tensor.display()))?;
    let input = tensors.remove("input").with_context(|| {
        let names: Vec<&str> = tensors.keys().map(String::as_str).take(5).collect();
        let (count, names) = (tensors.len(), names.join(", "));
        format!("{}: expected a tensor named `input`, found {count} others ({names}, …)", tensor.display())
    })?;
    let (_, in_chans, h, w) = input.dims4().with_context(|| {
        format!("{}: `input` has shape {:?}, expected [n, c, h, w]", tensor.display(), input.dims())
    })?;
    let built = classifier.build_for(in_chans, (h, w))?;
    let output = built.model.forward(&input.to_dtype(DType::F32)?, &Mode::eval())?.contiguous()?;
    let bytes = safetensors::serialize([("logits", &output)], None)?;
    make_parent(logits)?;
    tallow_base::write_atomically(logits, &bytes).with_context(|| format!("cannot write {}", logits.display()))?;
    println!("{}: logits {:?}", logits.display(), output.dims());
    Ok(())
}
