//! small_cnn.
use crate::config::Key;
use crate::registry::{Arch, Preset};

pub(crate) const PRESETS: &[Preset] = &[Preset {
    keys: &[Key::Width],
    input_size: (28, 28),
    in_chans: 1,
    num_classes: 10,
    ..Preset::imagenet("small_cnn", "cnn/small_cnn", Arch::SmallCnn)
}];
