//! WRN.
use crate::config::Key;
use crate::registry::{Arch, Preset};

/// Depth and width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    depth: usize,
    width: usize,
}
pub(crate) const PRESETS: &[Preset] = &[Preset {
    keys: &[Key::Width],
    input_size: (32, 32),
    num_classes: 10,
    ..Preset::imagenet(
        "wide_resnet16_4",
        "cnn/wide_resnet",
        Arch::WideResNet(Layout {
            depth: 16,
            width: 4,
        }),
    )
}];
