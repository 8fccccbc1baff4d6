//! The types of op parameters, which may be a number or a list as in torchvision.

use serde::{Deserialize, Serialize};

use crate::rng::{Rng, chance};
use crate::{Error, Result, Size};

/// A size in a config: one number, or `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a whole number or [height, width]")]
pub enum SizeParam {
    /// The side of a square; for Resize, the short side.
    One(usize),
    /// Height and width.
    Exact([usize; 2]),
}

impl SizeParam {
    /// The size, with one number meaning a square.
    pub fn to_square(self) -> Size {
        match self {
            Self::One(side) => Size { height: side, width: side },
            Self::Exact([height, width]) => Size { height, width },
        }
    }

    /// Refuses 0 and sizes that are too large.
    ///
    /// # Errors
    /// [`Error::BadValue`] for `size`.
    pub(crate) fn validate(self, op: &'static str) -> Result<()> {
        if self.to_square().is_valid() {
            return Ok(());
        }
        let expected = format!(
            "a whole number or [height, width], sides from 1 to {}, at most {} pixels",
            Size::MAX_SIDE,
            Size::MAX_PIXELS
        );
        let found = match self {
            Self::One(side) => side.to_string(),
            Self::Exact(sides) => format!("{sides:?}"),
        };
        Err(Error::BadValue { op, field: "size", expected, found })
    }
}

/// The interpolation between pixels. Names are torchvision's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// Bilinear.
    #[default]
    Bilinear,
    /// Bicubic.
    Bicubic,
    /// Lanczos with 3 lobes; for resizing only.
    Lanczos,
}

impl Interpolation {
    /// All interpolations by their names in a config, which are torchvision's and timm's.
    pub const ALL: [(&str, Self); 4] = [
        ("nearest", Self::Nearest),
        ("bilinear", Self::Bilinear),
        ("bicubic", Self::Bicubic),
        ("lanczos", Self::Lanczos),
    ];

    /// The interpolation of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, interpolation)| *interpolation)
    }
}

/// An [`Interpolation`], or `"random"`: bilinear or bicubic, drawn for each image as timm does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum InterpolationChoice {
    /// The nearest pixel.
    Nearest,
    /// Bilinear.
    #[default]
    Bilinear,
    /// Bicubic.
    Bicubic,
    /// Lanczos with 3 lobes; for resizing only.
    Lanczos,
    /// Bilinear or bicubic, equally likely.
    Random,
}

impl InterpolationChoice {
    /// The interpolation for one image. Draws from the generator only for `random`.
    pub fn draw(self, rng: &mut Rng) -> Interpolation {
        match self {
            Self::Nearest => Interpolation::Nearest,
            Self::Bilinear => Interpolation::Bilinear,
            Self::Bicubic => Interpolation::Bicubic,
            Self::Lanczos => Interpolation::Lanczos,
            Self::Random if chance(rng, 0.5) => Interpolation::Bilinear,
            Self::Random => Interpolation::Bicubic,
        }
    }
}

/// The padding around an image, in pixels: one number, `[left_right, top_bottom]`, or `[left, top, right, bottom]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a whole number, [left_right, top_bottom] or [left, top, right, bottom]")]
pub enum Padding {
    /// The same on all sides.
    All(usize),
    /// Left and right, top and bottom.
    Two([usize; 2]),
    /// Left, top, right, bottom.
    Four([usize; 4]),
}

impl Padding {
    /// Left, top, right, bottom.
    pub fn sides(self) -> [usize; 4] {
        match self {
            Self::All(n) => [n; 4],
            Self::Two([horizontal, vertical]) => [horizontal, vertical, horizontal, vertical],
            Self::Four(sides) => sides,
        }
    }

    pub(crate) fn validate(self, op: &'static str) -> Result<()> {
        if self.sides().into_iter().all(|n| n <= Size::MAX_SIDE) {
            return Ok(());
        }
        let expected = format!("at most {} pixels on each side", Size::MAX_SIDE);
        Err(Error::BadValue { op, field: "padding", expected, found: format!("{:?}", self.sides()) })
    }
}

impl Default for Padding {
    fn default() -> Self {
        Self::All(0)
    }
}

/// The content of padding. Names are torchvision's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PaddingMode {
    /// The op's `fill`.
    #[default]
    Constant,
    /// The nearest pixel of the image.
    Edge,
    /// The image mirrored at its outermost pixels, which are not repeated.
    Reflect,
    /// The image mirrored at its edge; the outermost pixels are repeated.
    Symmetric,
}

impl PaddingMode {
    /// The pixel of `length` in a row that is shown at position `at`; `None` for the fill.
    pub(crate) fn source(self, at: i64, length: usize) -> Option<usize> {
        let n = length as i64;
        if (0..n).contains(&at) {
            return Some(at as usize);
        }
        let source = match self {
            Self::Constant => return None,
            Self::Edge => at.clamp(0, n - 1),
            Self::Reflect if n == 1 => 0,
            Self::Reflect => {
                let folded = at.rem_euclid(2 * (n - 1));
                folded.min(2 * (n - 1) - folded)
            }
            Self::Symmetric => {
                let folded = at.rem_euclid(2 * n);
                folded.min(2 * n - 1 - folded)
            }
        };
        Some(source as usize)
    }
}

/// A colour in 8-bit levels: one number for all channels, or one per channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a number from 0 to 255, or a list of one per channel")]
pub enum Fill {
    /// The same level in all channels.
    All(u8),
    /// A level for each channel.
    Each(Vec<u8>),
}

impl Fill {
    /// The levels of up to three channels.
    pub fn levels(&self) -> [u8; 3] {
        match self {
            Self::All(level) => [*level; 3],
            Self::Each(levels) => std::array::from_fn(|channel| levels.get(channel).copied().unwrap_or(0)),
        }
    }

    pub(crate) fn validate(&self, op: &'static str, channels: usize) -> Result<()> {
        match self {
            Self::Each(levels) if levels.len() != channels => Err(Error::BadValue {
                op,
                field: "fill",
                expected: format!("a number from 0 to 255, or a list of {channels}"),
                found: format!("{levels:?}"),
            }),
            _ => Ok(()),
        }
    }
}

impl Default for Fill {
    fn default() -> Self {
        Self::All(0)
    }
}

/// The range that a parameter is drawn from: `[low, high]`, or one number with a meaning that the op defines.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a number or [low, high]")]
pub enum Range {
    /// The half-width of the range about the value for no change.
    Around(f64),
    /// Lowest and highest value.
    Between([f64; 2]),
}

impl Range {
    /// The lowest and highest value. One number `x` means `[centre - x, centre + x]`, clipped at `floor`.
    pub fn bounds(self, centre: f64, floor: f64) -> [f64; 2] {
        match self {
            Self::Around(x) => [(centre - x).max(floor), centre + x],
            Self::Between(bounds) => bounds,
        }
    }

    /// Refuses a negative half-width, reversed bounds, and bounds that are not `allowed`.
    pub(crate) fn validate(self, op: &'static str, field: &'static str, centre: f64, allowed: [f64; 2]) -> Result<()> {
        let [low, high] = self.bounds(centre, allowed[0]);
        if !matches!(self, Self::Around(x) if x < 0.0) && low <= high && low >= allowed[0] && high <= allowed[1] {
            return Ok(());
        }
        let expected = format!("a number ≥ 0 or [low, high], within {allowed:?}");
        let found = match self {
            Self::Around(x) => x.to_string(),
            Self::Between(bounds) => format!("{bounds:?}"),
        };
        Err(Error::BadValue { op, field, expected, found })
    }
}

/// Refuses a probability outside 0..1.
pub(crate) fn validate_p(op: &'static str, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::BadValue { op, field: "p", expected: "from 0 to 1".into(), found: p.to_string() })
}

/// Refuses `[low, high]` unless `0 < low <= high`, both finite, and `high <= most`.
pub(crate) fn validate_positive(op: &'static str, field: &'static str, [low, high]: [f64; 2], most: f64) -> Result<()> {
    if low > 0.0 && low <= high && high.is_finite() && high <= most {
        return Ok(());
    }
    let most = if most.is_finite() { format!(" <= {most}") } else { String::new() };
    let expected = format!("[low, high] with 0 < low <= high{most}");
    Err(Error::BadValue { op, field, expected, found: format!("{:?}", [low, high]) })
}

/// The serde default of a probability.
pub(crate) fn always() -> f64 {
    1.0
}

/// The serde default of a probability.
pub(crate) fn half() -> f64 {
    0.5
}
