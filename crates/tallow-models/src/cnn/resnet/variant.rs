//! The variants of ResNet and their presets.

use crate::config::Key;
use crate::preset::Preset;

/// A variant of ResNet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ResNetVariant {
    pub(super) block: BlockKind,
    /// Blocks in each of the four stages.
    pub(super) blocks: [usize; 4],
    /// Variant D: three convolutions in the stem, and shortcuts that average.
    pub(super) deep: bool,
    /// Groups of a bottleneck's 3×3 convolution.
    pub(super) groups: usize,
    /// Channels of each group in the first stage.
    pub(super) base_width: usize,
    pub(super) squeeze_excite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1 down, 3×3, 1×1 up to four times the channels.
    Bottleneck,
}

impl BlockKind {
    pub(super) fn expansion(self) -> usize {
        match self {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck => 4,
        }
    }
}

impl ResNetVariant {
    const fn basic(blocks: [usize; 4]) -> ResNetVariant {
        ResNetVariant { block: BlockKind::Basic, ..ResNetVariant::bottleneck(blocks) }
    }

    const fn bottleneck(blocks: [usize; 4]) -> ResNetVariant {
        let block = BlockKind::Bottleneck;
        ResNetVariant { block, blocks, deep: false, groups: 1, base_width: 64, squeeze_excite: false }
    }

    const fn deep(self) -> ResNetVariant {
        ResNetVariant { deep: true, ..self }
    }

    /// The number of channels of the features.
    pub(super) fn num_features(self) -> usize {
        512 * self.block.expansion()
    }
}

const R18: ResNetVariant = ResNetVariant::basic([2, 2, 2, 2]);
const R34: ResNetVariant = ResNetVariant::basic([3, 4, 6, 3]);
const R50: ResNetVariant = ResNetVariant::bottleneck([3, 4, 6, 3]);
const R101: ResNetVariant = ResNetVariant::bottleneck([3, 4, 23, 3]);
const R152: ResNetVariant = ResNetVariant::bottleneck([3, 8, 36, 3]);

const KEYS: &[Key] =
    &[Key::DropRate, Key::DropPathRate, Key::Stem, Key::ZeroInitLast, Key::DropBlockRate, Key::CheckpointActivations];

pub(super) const VARIANTS: &[(Preset, ResNetVariant)] = &[
    (preset("resnet18"), R18),
    (preset("resnet34"), R34),
    (preset("resnet50"), R50),
    (preset("resnet101"), R101),
    (preset("resnet152"), R152),
    (deep("resnet18d"), R18.deep()),
    (deep("resnet34d"), R34.deep()),
    (deep("resnet50d"), R50.deep()),
    (larger(deep("resnet101d")), R101.deep()),
    (larger(deep("resnet152d")), R152.deep()),
    (preset("resnext50_32x4d"), ResNetVariant { groups: 32, base_width: 4, ..R50 }),
    (Preset { crop_pct: 0.875, ..preset("wide_resnet50_2") }, ResNetVariant { base_width: 128, ..R50 }),
    (preset("seresnet50"), ResNetVariant { squeeze_excite: true, ..R50 }),
];

/// The preprocessing of timm's default weights: `a1_in1k` and similar.
const fn preset(name: &'static str) -> Preset {
    Preset { keys: KEYS, crop_pct: 0.95, interpolation: "bicubic", ..Preset::imagenet(name, "cnn/resnet") }
}

const fn deep(name: &'static str) -> Preset {
    Preset { crop_pct: 0.875, first_conv: "conv1.0", ..preset(name) }
}

const fn larger(preset: Preset) -> Preset {
    Preset { input_size: (256, 256), crop_pct: 0.95, ..preset }
}
