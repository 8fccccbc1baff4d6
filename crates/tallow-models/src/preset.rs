//! [`Preset`]: a named architecture, what its weights expect of images, and which configuration it accepts.

use crate::config::{Key, ModelConfig};
use crate::error::{Error, Result};

/// The longest side of an input image, in pixels.
const MAX_SIDE: usize = 1 << 16;

/// A named architecture and the images that its weights expect: timm's `pretrained_cfg`.
///
/// A model that is not in the registry has a preset of its own:
///
/// ```
/// use tallow_models::{Key, Preset};
///
/// static PRESET: Preset =
///     Preset { keys: &[Key::DropRate], input_size: (64, 64), ..Preset::imagenet("my_net", "my_crate/my_net") };
/// assert_eq!(PRESET.config().input_size, (64, 64));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// The architecture's name; timm's where timm has the model.
    pub name: &'static str,
    /// The family's name: its folder and file below `src/`, such as `cnn/resnet`.
    pub family: &'static str,
    /// The optional config keys that the architecture uses. Any other key is an error.
    pub keys: &'static [Key],
    /// Default height and width, in pixels.
    pub input_size: (usize, usize),
    /// The smallest height and width, in pixels, that leave at least one pixel after the last pooling.
    pub min_input_size: usize,
    /// Height and width must be multiples of this, the size of a patch or of a window. The config's
    /// `patch_size` replaces it.
    pub size_multiple: usize,
    /// Whether the shapes of the parameters depend on the input size (position embeddings, bias tables), so that
    /// weights fit one size only: timm's `fixed_input_size`.
    pub fixed_input_size: bool,
    /// Default number of input channels.
    pub in_chans: usize,
    /// Default number of classes.
    pub num_classes: usize,
    /// Mean per channel, in units of pixel/255.
    pub mean: &'static [f32],
    /// Standard deviation per channel, in units of pixel/255.
    pub std: &'static [f32],
    /// Fraction of the resized image that the centre crop keeps.
    pub crop_pct: f32,
    /// Interpolation of the resize: `bilinear` or `bicubic`.
    pub interpolation: &'static str,
    /// Pooling of the features before the classifier: `avg`, `max`, or `token` for the class token.
    pub global_pool: &'static str,
    /// The module of the first convolution, which is adapted when weights meet another number of channels.
    pub first_conv: &'static str,
    /// The module of the classifier, which is replaced when weights meet another number of classes.
    pub classifier: &'static str,
}

impl Preset {
    /// ImageNet at 224 pixels, torchvision's preprocessing, `conv1` and `fc`. A family's rows override what differs.
    pub const fn imagenet(name: &'static str, family: &'static str) -> Preset {
        Preset {
            name,
            family,
            keys: &[],
            input_size: (224, 224),
            min_input_size: 1,
            size_multiple: 1,
            fixed_input_size: false,
            in_chans: 3,
            num_classes: 1000,
            mean: &[0.485, 0.456, 0.406],
            std: &[0.229, 0.224, 0.225],
            crop_pct: 0.875,
            interpolation: "bilinear",
            global_pool: "avg",
            first_conv: "conv1",
            classifier: "fc",
        }
    }

    /// The configuration with the preset's size, channels and classes.
    pub fn config(&self) -> ModelConfig {
        ModelConfig {
            num_classes: self.num_classes,
            in_chans: self.in_chans,
            input_size: self.input_size,
            ..ModelConfig::default()
        }
    }

    pub(crate) fn bad_value(
        &self,
        key: &'static str,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Error {
        Error::BadValue { key, model: self.name, expected: expected.into(), found: found.to_string() }
    }
}

impl ModelConfig {
    /// Checks the ranges that hold for every architecture, and that every key that is set is one of `preset.keys`.
    ///
    /// # Errors
    /// [`Error::BadValue`], [`Error::UnusedKey`].
    pub fn check(&self, preset: &Preset) -> Result<()> {
        let (h, w) = self.input_size;
        // The upper bounds keep products of two keys far from overflow; what memory holds is less.
        let counts = [
            ("num_classes", self.num_classes, 1, 1 << 24),
            ("in_chans", self.in_chans, 1, 1 << 12),
            ("width", self.width.unwrap_or(1), 1, 1 << 16),
            ("depth", self.depth.unwrap_or(1), 1, 1 << 12),
            ("num_heads", self.num_heads.unwrap_or(1), 1, 1 << 12),
            ("patch_size", self.patch_size.unwrap_or(1), 1, MAX_SIDE),
            ("lora_rank", self.lora_rank.unwrap_or(1), 1, 1 << 16),
            ("input_size", h.min(w), self.patch_size.unwrap_or(preset.min_input_size), MAX_SIDE),
            ("input_size", h.max(w), 1, MAX_SIDE),
        ];
        for (key, found, least, most) in counts {
            if found < least {
                return Err(preset.bad_value(key, format!("at least {least}"), found));
            }
            if found > most {
                return Err(preset.bad_value(key, format!("at most {most}"), found));
            }
        }
        let multiple = self.patch_size.unwrap_or(preset.size_multiple);
        if h % multiple != 0 || w % multiple != 0 {
            let expected = format!("a height and width that {multiple} divides");
            return Err(preset.bad_value("input_size", expected, format!("{h}×{w}")));
        }
        let rates = [
            ("drop_rate", self.drop_rate),
            ("drop_path_rate", self.drop_path_rate),
            ("drop_block_rate", self.drop_block_rate),
        ];
        for (key, rate) in rates {
            if !(0.0..1.0).contains(&rate) {
                return Err(preset.bad_value(key, "at least 0 and below 1", rate));
            }
        }
        if let Some(ratio) = self.mlp_ratio.filter(|ratio| !(0.1..=64.0).contains(ratio)) {
            return Err(preset.bad_value("mlp_ratio", "from 0.1 to 64", ratio));
        }
        let multipliers =
            [("channel_multiplier", self.channel_multiplier), ("depth_multiplier", self.depth_multiplier)];
        for (key, multiplier) in multipliers {
            if let Some(multiplier) = multiplier.filter(|multiplier| !(0.05..=16.0).contains(multiplier)) {
                return Err(preset.bad_value(key, "from 0.05 to 16", multiplier));
            }
        }
        match Key::ALL.iter().find(|key| key.is_set(self) && !preset.keys.contains(key)) {
            None => Ok(()),
            Some(key) => {
                let names: Vec<_> = preset.keys.iter().map(|key| key.name()).collect();
                Err(Error::UnusedKey { key: key.name(), model: preset.name, uses: names.join(", ") })
            }
        }
    }
}
