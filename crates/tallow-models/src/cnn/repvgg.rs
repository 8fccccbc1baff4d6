//! RepVGG: a VGG whose 3×3 convolutions are trained as three parallel branches.
//!
//! Ding et al. 2021, <https://arxiv.org/abs/2101.03697>. A block is the sum of a 3×3 convolution, a 1×1 convolution
//! and, where the shape stays the same, the input, each followed by its own BatchNorm. The sum is linear, so an
//! evaluation that records no gradients folds it into one 3×3 convolution. [`reparameterize`] returns the weights of
//! that convolution.
//!
//! Reference: timm's `repvgg_a0/a1` in the form for training. Weight names are timm's: `stem.conv_kxk.conv`,
//! `stem.conv_kxk.bn`, `stem.conv_1x1.conv`, `stages.0.1.identity`, `stages.0.1.conv_kxk.conv`, …, `head.fc`. Drop
//! path follows timm, not the paper: it applies to the two convolutions of blocks that keep the shape, and grows
//! linearly from block to block.
//!
//! Deviation from timm: norms start at 1, not around 0.1.

use candle_core::{Device, Tensor};
use tallow_nn::layers::{BatchNorm2d, BatchNormOptions, DropPath, Linear, batch_norm_affine};
use tallow_nn::op::Activation::{Identity, Relu};
use tallow_nn::op::add_activate;
use tallow_nn::tape::records;
use tallow_nn::{Builder, Error, Init, Mode, Result};

use crate::config::{Key, ModelConfig};
use crate::family::{FamilyTable, boxed};
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::head::ClassifierHead;
use crate::layers::padded_conv::ConvSpec;
use crate::layers::{average_map, drop_path_rate};
use crate::model::Model;
use crate::preset::Preset;

/// A variant of RepVGG.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RepVggVariant {
    /// Channels of the four stages; the stem has those of the first.
    widths: [usize; 4],
}

impl RepVggVariant {
    /// The number of channels of the features.
    fn num_features(self) -> usize {
        self.widths[3]
    }
}

/// Blocks of the four stages.
const DEPTHS: [usize; 4] = [2, 4, 14, 1];

const KEYS: &[Key] = &[Key::DropRate, Key::DropPathRate];

const VARIANTS: &[(Preset, RepVggVariant)] = &[
    (preset("repvgg_a0"), RepVggVariant { widths: [48, 96, 192, 1280] }),
    (preset("repvgg_a1"), RepVggVariant { widths: [64, 128, 256, 1280] }),
];

const fn preset(name: &'static str) -> Preset {
    Preset {
        keys: KEYS,
        first_conv: "stem.conv_kxk.conv",
        classifier: "head.fc",
        ..Preset::imagenet(name, "cnn/repvgg")
    }
}

pub(crate) static FAMILY: FamilyTable<RepVggVariant> = FamilyTable {
    variants: VARIANTS,
    build: |variant, _, config, b| boxed(RepVgg::new(variant, config, b)),
    num_features: |variant, _| variant.num_features(),
};

struct RepVgg {
    stem: Block,
    /// `stages.0`, `stages.1`, …, one after the other.
    blocks: Vec<Block>,
    classifier: ClassifierHead,
}

impl RepVgg {
    fn new(variant: RepVggVariant, config: &ModelConfig, b: &Builder) -> Result<Self> {
        let mut inputs = variant.widths[0];
        let stem = Block::new(config.in_chans, inputs, 2, 0.0, &b.pp("stem"))?;
        let mut blocks = Vec::new();
        for (stage, (width, depth)) in variant.widths.into_iter().zip(DEPTHS).enumerate() {
            let b = b.pp("stages").pp(stage);
            for i in 0..depth {
                let stride = if i == 0 { 2 } else { 1 };
                let drop_path = drop_path_rate(config.drop_path_rate, blocks.len(), DEPTHS.iter().sum());
                blocks.push(Block::new(inputs, width, stride, drop_path, &b.pp(i))?);
                inputs = width;
            }
        }
        let head = b.pp("head");
        Ok(RepVgg {
            stem,
            blocks,
            classifier: ClassifierHead::new(
                Linear::new(inputs, config.num_classes, true, Init::Normal(0.01), &head.pp("fc"))?,
                config.drop_rate,
            )?,
        })
    }
}

impl Model for RepVgg {
    fn forward_features(&self, images: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut x = self.stem.forward(images, mode)?;
        for block in &self.blocks {
            x = block.forward(&x, mode)?;
        }
        Ok(x)
    }

    fn pool(&self, features: &Tensor) -> Result<Tensor> {
        average_map(features)
    }

    fn forward_head(&self, features: &Tensor, mode: &Mode) -> Result<Tensor> {
        self.classifier.forward(features, mode)
    }
}

/// The sum of the branches, then ReLU.
struct Block {
    /// The norm of the input, in blocks that keep the shape.
    identity: Option<BatchNorm2d>,
    conv_kxk: ConvNormAct,
    conv_1x1: ConvNormAct,
    drop_path: DropPath,
}

impl Block {
    fn new(inputs: usize, outputs: usize, stride: usize, drop_path: f32, b: &Builder) -> Result<Self> {
        let conv = |kernel, name: &str| {
            let spec = ConvSpec { stride, ..ConvSpec::new(inputs, outputs, kernel) };
            ConvNormAct::new(spec, Default::default(), Identity, &b.pp(name))
        };
        let same = stride == 1 && inputs == outputs;
        let identity = same.then(|| BatchNorm2d::new(outputs, Default::default(), &b.pp("identity")));
        Ok(Block {
            identity: identity.transpose()?,
            conv_kxk: conv(3, "conv_kxk")?,
            conv_1x1: conv(1, "conv_1x1")?,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let conv = &self.conv_kxk.conv.conv;
        if !mode.is_train() && !records(&[x, &conv.weight]) {
            let (weight, bias) = self.folded()?;
            return conv.with_weight(weight).forward_folded(x, &vec![1.0; bias.len()], &bias, Relu);
        }
        let (wide, narrow) = (self.conv_kxk.forward(x, mode)?, self.conv_1x1.forward(x, mode)?);
        match &self.identity {
            Some(norm) => {
                let y = self.drop_path.forward(&add_activate(&wide, &narrow, Identity)?, mode)?;
                add_activate(&y, &norm.forward(x, mode)?, Relu)
            }
            None => add_activate(&wide, &narrow, Relu),
        }
    }

    /// The branches as one 3×3 convolution: weight and bias.
    fn folded(&self) -> Result<(Tensor, Vec<f32>)> {
        let norms = [Some(&self.conv_kxk.bn), Some(&self.conv_1x1.bn), self.identity.as_ref()];
        let norms: Vec<_> = norms.into_iter().flatten().map(BatchNorm2d::affine).collect::<Result<_>>()?;
        fold(&self.conv_kxk.conv.conv.weight, &self.conv_1x1.conv.conv.weight, &norms)
    }
}

/// Weight and bias of the 3×3 convolution that is the sum of a 3×3 convolution, a 1×1 convolution and the input, each
/// scaled and shifted by its norm. Without a third norm the input is not part of the sum.
fn fold(wide: &Tensor, narrow: &Tensor, norms: &[(Vec<f32>, Vec<f32>)]) -> Result<(Tensor, Vec<f32>)> {
    let (outputs, inputs, kernel, _) = wide.dims4()?;
    let (area, centre) = (kernel * kernel, kernel * kernel / 2);
    let mut weight = wide.flatten_all()?.to_vec1::<f32>()?;
    let narrow = narrow.flatten_all()?.to_vec1::<f32>()?;
    let mut bias = vec![0f32; outputs];
    for (_, shift) in norms {
        bias.iter_mut().zip(shift).for_each(|(bias, shift)| *bias += shift);
    }
    let scale = |norm: usize, channel: usize| norms.get(norm).map_or(0.0, |(scale, _)| scale[channel]);
    for (o, filter) in weight.chunks_mut(inputs * area).enumerate() {
        filter.iter_mut().for_each(|value| *value *= scale(0, o));
        for (i, taps) in filter.chunks_mut(area).enumerate() {
            taps[centre] += narrow[o * inputs + i] * scale(1, o) + if i == o { scale(2, o) } else { 0.0 };
        }
    }
    Ok((Tensor::from_vec(weight, (outputs, inputs, kernel, kernel), &Device::Cpu)?, bias))
}

/// The state dict of a RepVGG with one convolution a block, `stem.reparam_conv.weight` and `.bias`. It loads into
/// `timm.utils.reparameterize_model(timm.create_model(…))`. `state` is the state dict of [`crate::BuiltModel::store`];
/// parameters outside of blocks are copied.
///
/// # Errors
/// A block with a missing parameter or with a parameter of another shape.
pub fn reparameterize(state: &[(String, Tensor)]) -> Result<Vec<(String, Tensor)>> {
    const WIDE: &str = "conv_kxk.conv.weight";
    let find = |name: String| {
        let found = state.iter().find(|(other, _)| *other == name);
        found.map(|(_, tensor)| tensor).ok_or(Error::UnknownName { name })
    };
    let affine = |norm: String| -> Result<(Vec<f32>, Vec<f32>)> {
        let part = |part: &str| find(format!("{norm}.{part}"));
        let eps = BatchNormOptions::default().eps;
        batch_norm_affine(part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?, eps)
    };
    const PARTS: [&str; 3] = ["conv_kxk.", "conv_1x1.", "identity."];
    let mut made = Vec::new();
    for (name, tensor) in state {
        if let Some(block) = name.strip_suffix(WIDE) {
            let mut norms = vec![affine(format!("{block}conv_kxk.bn"))?, affine(format!("{block}conv_1x1.bn"))?];
            if state.iter().any(|(name, _)| *name == format!("{block}identity.weight")) {
                norms.push(affine(format!("{block}identity"))?);
            }
            let (weight, bias) = fold(tensor, find(format!("{block}conv_1x1.conv.weight"))?, &norms)?;
            made.push((format!("{block}reparam_conv.weight"), weight));
            let outputs = bias.len();
            made.push((format!("{block}reparam_conv.bias"), Tensor::from_vec(bias, outputs, &Device::Cpu)?));
        } else if !PARTS.iter().any(|part| name.contains(part)) {
            made.push((name.clone(), tensor.clone()));
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use tallow_nn::Tape;

    use super::*;

    fn built() -> crate::BuiltModel {
        let config = ModelConfig { num_classes: 4, in_chans: 2, input_size: (33, 40), ..ModelConfig::default() };
        let built = crate::build("repvgg_a0", &config, 3, &Device::Cpu).unwrap();
        for (seed, (name, tensor)) in built.store.state_dict().iter().enumerate() {
            if tensor.rank() == 1 {
                let values = (0..tensor.elem_count()).map(|i| 0.8 + 0.4 * ((seed * 31 + i * 17) % 97) as f32 / 97.0);
                built.store.set(name, &Tensor::from_iter(values, &Device::Cpu).unwrap()).unwrap();
            }
        }
        built
    }

    fn logits(built: &crate::BuiltModel) -> Vec<f32> {
        let images = Tensor::arange(0f32, 2.0 * 2.0 * 33.0 * 40.0, &Device::Cpu).unwrap();
        let images = images.reshape((2, 2, 33, 40)).unwrap().sin().unwrap();
        built.model.forward(&images, &Mode::eval()).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// While a tape records, the branches are computed one by one.
    #[test]
    fn one_convolution_gives_what_the_branches_give() {
        let built = built();
        let folded = logits(&built);
        let tape = Tape::start();
        let branches = logits(&built);
        drop(tape);
        let most = branches.iter().fold(0f32, |most, v| most.max(v.abs()));
        assert!(most > 0.1 && folded != branches, "two ways to the same: {most}");
        for (a, b) in folded.iter().zip(&branches) {
            assert!((a - b).abs() < 1e-4 * most, "{a} for {b}");
        }
    }

    #[test]
    fn the_weights_written_are_those_of_the_one_convolution() {
        let built = built();
        let state = reparameterize(&built.store.state_dict()).unwrap();
        let names: Vec<&str> = state.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names[..3],
            ["stem.reparam_conv.weight", "stem.reparam_conv.bias", "stages.0.0.reparam_conv.weight"]
        );
        assert_eq!(names[names.len() - 2..], ["head.fc.weight", "head.fc.bias"]);
        assert_eq!(names.len(), 2 * (1 + DEPTHS.iter().sum::<usize>()) + 2);
        let variant = RepVggVariant { widths: [48, 96, 192, 1280] };
        let model = tallow_nn::ParamStore::build(0, &Device::Cpu, |b| RepVgg::new(variant, &built.info.config, b));
        let (model, store) = model.unwrap();
        for (name, tensor) in built.store.state_dict() {
            store.set(&name, &tensor).unwrap();
        }
        let (weight, bias) = model.blocks[1].folded().unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&weight), flat(&state[4].1), "{}", state[4].0);
        assert_eq!(bias, flat(&state[5].1), "{}", state[5].0);
        let mut state = built.store.state_dict();
        state.retain(|(name, _)| name != "stem.conv_kxk.bn.weight");
        let message = reparameterize(&state).unwrap_err().to_string();
        assert!(message.contains("stem.conv_kxk.bn.weight"), "{message}");
    }
}
