//! LoRA weights merged into the weights of their layers.

use candle_core::Tensor;

use crate::error::Result;

const A: &str = ".lora_A.weight";
const B: &str = ".lora_B.weight";

/// Whether a parameter is a LoRA weight.
pub(crate) fn is_lora(name: &str) -> bool {
    name.ends_with(A) || name.ends_with(B)
}

/// The state dict of the model without LoRA that computes the same: each `B·A` is added to the weight of its layer.
///
/// # Errors
/// Candle's, for shapes that do not fit.
pub(crate) fn merged(state: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
    let find = |name: String| state.iter().find(|(own, _)| *own == name).map(|(_, tensor)| tensor.detach());
    let mut merged = Vec::with_capacity(state.len());
    for (name, tensor) in &state {
        if is_lora(name) {
            continue;
        }
        let layer = name.strip_suffix(".weight").unwrap_or(name);
        let tensor = match (find(format!("{layer}{A}")), find(format!("{layer}{B}"))) {
            (Some(a), Some(b)) if name.ends_with(".weight") => {
                let sum = b.matmul(&a).and_then(|change| tensor.detach() + change);
                sum.map_err(tallow_nn::Error::from)?
            }
            _ => tensor.clone(),
        };
        merged.push((name.clone(), tensor));
    }
    Ok(merged)
}
