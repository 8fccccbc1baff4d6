//! ResNet.
use crate::config::Key;
use crate::registry::{Arch, Preset};

/// Which block, and how many a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    block: Block,
    blocks: [usize; 4],
}
#[derive(Debug, Clone, Copy, PartialEq)]
enum Block {
    Basic,
    Bottleneck,
}
const KEYS: &[Key] = &[
    Key::DropRate,
    Key::DropPathRate,
    Key::Stem,
    Key::ZeroInitLast,
];
const fn preset(name: &'static str, block: Block, blocks: [usize; 4]) -> Preset {
    Preset {
        keys: KEYS,
        ..Preset::imagenet(name, "cnn/resnet", Arch::ResNet(Layout { block, blocks }))
    }
}
pub(crate) const PRESETS: &[Preset] = &[
    preset("resnet18", Block::Basic, [2, 2, 2, 2]),
    preset("resnet34", Block::Basic, [3, 4, 6, 3]),
    preset("resnet50", Block::Bottleneck, [3, 4, 6, 3]),
];
