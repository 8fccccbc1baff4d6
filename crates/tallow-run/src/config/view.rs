//! The kinds of views of test-time augmentation, by their name in a config.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A kind of view. Kinds multiply: `hflip` with `shift` shows each of the shifts mirrored as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum View {
    /// Left and right exchanged.
    #[serde(rename = "hflip")]
    HFlip,
    /// Top and bottom exchanged: for pictures without an upright, from a microscope or a satellite.
    #[serde(rename = "vflip")]
    VFlip,
    /// Moved up, down, left and right by a 32nd of the side, at least a pixel; the border is mirrored.
    #[serde(rename = "shift")]
    Shift,
    /// The four corners beside the middle: torchvision's `five_crop`.
    #[serde(rename = "five_crop")]
    FiveCrop,
    /// The five crops and their mirror images: torchvision's `ten_crop`.
    #[serde(rename = "ten_crop")]
    TenCrop,
    /// The middle 9/8 and 5/4 as large.
    #[serde(rename = "scales")]
    Scales,
}

impl View {
    /// Every kind by its name in a config.
    pub const ALL: [(&str, Self); 6] = [
        ("hflip", Self::HFlip),
        ("vflip", Self::VFlip),
        ("shift", Self::Shift),
        ("five_crop", Self::FiveCrop),
        ("ten_crop", Self::TenCrop),
        ("scales", Self::Scales),
    ];

    /// The kinds of a list such as `hflip,shift`; none of `none`.
    ///
    /// # Errors
    /// A name that is not one.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        if text == "none" {
            return Ok(Vec::new());
        }
        let find = |name: &str| Self::ALL.iter().find(|(known, _)| *known == name.trim()).map(|(_, view)| *view);
        text.split(',')
            .map(|name| {
                find(name).ok_or_else(|| Error::UnknownView { name: name.to_owned(), expected: Self::names() })
            })
            .collect()
    }

    /// All names, for messages.
    pub fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }
}
