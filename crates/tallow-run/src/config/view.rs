//! The kinds of views of test-time augmentation, by their name in a config.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A kind of view. Kinds combine: `hflip` with `shift` mirrors each of the shifts as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum View {
    /// A horizontal flip.
    #[serde(rename = "hflip")]
    HFlip,
    /// A vertical flip, for pictures without an upright orientation, such as those of microscopes and satellites.
    #[serde(rename = "vflip")]
    VFlip,
    /// Shifts up, down, left and right by 1/32 of the side, at least one pixel; the border is mirrored.
    #[serde(rename = "shift")]
    Shift,
    /// The four corners and the centre: torchvision's `five_crop`.
    #[serde(rename = "five_crop")]
    FiveCrop,
    /// The five crops and their mirror images: torchvision's `ten_crop`.
    #[serde(rename = "ten_crop")]
    TenCrop,
    /// Centre crops of the image at 9/8 and 5/4 of its size.
    #[serde(rename = "scales")]
    Scales,
}

impl View {
    /// All kinds by their names in a config.
    pub const ALL: [(&str, Self); 6] = [
        ("hflip", Self::HFlip),
        ("vflip", Self::VFlip),
        ("shift", Self::Shift),
        ("five_crop", Self::FiveCrop),
        ("ten_crop", Self::TenCrop),
        ("scales", Self::Scales),
    ];

    /// Parses a list such as `hflip,shift`; `none` is the empty list.
    ///
    /// # Errors
    /// A name that is not a kind of view.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        if text == "none" {
            return Ok(Vec::new());
        }
        let find = |name: &str| Self::ALL.iter().find(|(known, _)| *known == name.trim()).map(|(_, view)| *view);
        text.split(',')
            .map(|name| find(name).ok_or_else(|| Error::UnknownView { name: name.to_owned(), expected: Self::names() }))
            .collect()
    }

    /// Its name in a config.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, view)| *view == self).map_or("", |(name, _)| name)
    }

    /// All names, for messages.
    pub fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }
}
