//! Tensors adapted to a model of the same architecture with other channels or another input size.

use candle_core::Tensor;
use tallow_models::{BuiltModel, resample_pos_embed};

use crate::error::Result;
use crate::names::Matching;

/// `tensor` in the shape of the parameter `own`, and a description of the change; `None` where it cannot be adapted.
pub(crate) fn adapt(
    built: &BuiltModel,
    name: &str,
    tensor: &Tensor,
    own: &Tensor,
    matching: Matching,
) -> Result<Option<(Tensor, String)>> {
    let (found, expected) = (tensor.dims(), own.dims());
    if is_first_conv(built, name) && other_channels(found, expected) {
        let adapted = input_channels(tensor, expected[1]).map_err(tallow_nn::Error::from)?;
        let how = if expected[1] == 1 { "summed" } else { "repeated and scaled" };
        return Ok(Some((adapted, format!("{} channels to {}, {how}", found[1], expected[1]))));
    }
    if is_pos_embed(name)
        && let Some((old, new, prefix)) = grids(built, name, found, expected)
    {
        let adapted = resample_pos_embed(tensor, old, new, prefix)?;
        return Ok(Some((adapted, format!("{}×{} patches to {}×{}, bicubic", old.0, old.1, new.0, new.1))));
    }
    // A linear layer of another library may be a convolution in timm, over its whole input or 1×1.
    let ones = |dims: &[usize]| dims.iter().copied().filter(|&n| n != 1).collect::<Vec<_>>();
    let same = found.first() == expected.first() || ones(found) == ones(expected);
    if matching != Matching::Names && tensor.elem_count() == own.elem_count() && same {
        let adapted = tensor.reshape(expected).map_err(tallow_nn::Error::from)?;
        return Ok(Some((adapted, format!("{found:?} to {expected:?}"))));
    }
    Ok(None)
}

pub(crate) fn is_first_conv(built: &BuiltModel, name: &str) -> bool {
    let Some(module) = name.strip_suffix(".weight") else {
        return false;
    };
    let first = built.info.preset.first_conv;
    // Both branches of a RepVGG's stem take the image.
    module == first || first.ends_with("conv_kxk.conv") && module == first.replace("conv_kxk.conv", "conv_1x1.conv")
}

/// Whether two convolutions' weights differ only in their input channels.
pub(crate) fn other_channels(found: &[usize], expected: &[usize]) -> bool {
    found.len() == 4 && expected.len() == 4 && found[0] == expected[0] && found[2..] == expected[2..]
}

/// A convolution's weights for images of `channels` channels: the sum over the channels for one, else the channels
/// repeated, and scaled such that their sum stays.
///
/// # Shapes
/// `[o, i, kh, kw]` → `[o, channels, kh, kw]`.
///
/// # Source
/// timm's `adapt_input_conv`.
fn input_channels(weight: &Tensor, channels: usize) -> candle_core::Result<Tensor> {
    let inputs = weight.dim(1)?;
    if channels == 1 {
        return weight.sum_keepdim(1);
    }
    let repeated = Tensor::cat(&vec![weight; channels.div_ceil(inputs)], 1)?;
    repeated.narrow(1, 0, channels)?.contiguous()? * (inputs as f64 / channels as f64)
}

pub(crate) fn is_pos_embed(name: &str) -> bool {
    name == "pos_embed" || name.ends_with(".pos_embed")
}

/// The patch grids of two position embeddings `[1, prefix + h · w, c]`, and `prefix`, the number of rows before the grid.
#[allow(clippy::type_complexity)]
fn grids(
    built: &BuiltModel,
    name: &str,
    found: &[usize],
    expected: &[usize],
) -> Option<((usize, usize), (usize, usize), usize)> {
    let (&[1, old, c], &[1, new, c2]) = (found, expected) else {
        return None;
    };
    if c != c2 {
        return None;
    }
    // Tokens before those of the image; in some models they have no position.
    let module = name.strip_suffix("pos_embed").unwrap_or_default();
    let state = built.store.state_dict();
    let rows = |token: &str| state.iter().find(|(name, _)| *name == format!("{module}{token}"))?.1.dim(1).ok();
    let tokens: usize = ["cls_token", "dist_token", "reg_token"].into_iter().filter_map(rows).sum();
    let (h, w) = built.info.config.input_size;
    [tokens, 0].into_iter().find_map(|prefix| {
        let side = |rows: usize, share: f64| (rows as f64 * share).sqrt().round() as usize;
        let (old, new) = (old.checked_sub(prefix)?, new.checked_sub(prefix)?);
        let (old_side, new_h) = (side(old, 1.0), side(new, h as f64 / w as f64));
        let new_w = new.checked_div(new_h)?;
        let fits = old_side > 0 && old_side * old_side == old && new_h * new_w == new && new_h * w == new_w * h;
        fits.then_some(((old_side, old_side), (new_h, new_w), prefix))
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    // timm.models._manipulate.adapt_input_conv(n, torch.arange(6.).reshape(1, 3, 1, 2))
    #[test]
    fn channels_are_adapted_as_timm_does() -> candle_core::Result<()> {
        let weight = Tensor::arange(0f32, 6.0, &Device::Cpu)?.reshape((1, 3, 1, 2))?;
        let adapted = |channels| input_channels(&weight, channels)?.flatten_all()?.to_vec1::<f32>();
        assert_eq!(adapted(1)?, [6.0, 9.0]);
        assert_eq!(adapted(2)?, [0.0, 1.5, 3.0, 4.5]);
        let expected: Vec<f32> = [0, 1, 2, 3, 4, 5, 0, 1].map(|v| 0.75 * v as f32).to_vec();
        assert_eq!(adapted(4)?, expected);
        Ok(())
    }
}
