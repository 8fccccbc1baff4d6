//! timm's RandAugment strings, such as `rand-m9-mstd0.5-inc1`: their parser, and the argument for each level.

use std::str::FromStr;

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rand_distr::StandardNormal;

use super::Change;
use crate::rng::{Rng, chance, uniform};
use crate::{Error, Result, Size};

/// An op of timm's RandAugment, by timm's name. A level is from 0 to 10 (or `mmax`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // timm's names
pub enum Leveled {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    PosterizeIncreasing,
    Solarize,
    SolarizeIncreasing,
    SolarizeAdd,
    Color,
    ColorIncreasing,
    Contrast,
    ContrastIncreasing,
    Brightness,
    BrightnessIncreasing,
    Sharpness,
    SharpnessIncreasing,
    ShearX,
    ShearY,
    TranslateXRel,
    TranslateYRel,
    Desaturate,
    GaussianBlur,
}

use Leveled::*;

/// The published ops, whose strength falls or rises with the level.
const PLAIN: &[Leveled] = &[
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Color,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateXRel,
    TranslateYRel,
];

/// The ops whose strength rises with the level (`inc1`).
const INCREASING: &[Leveled] = &[
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    PosterizeIncreasing,
    SolarizeIncreasing,
    SolarizeAdd,
    ColorIncreasing,
    ContrastIncreasing,
    BrightnessIncreasing,
    SharpnessIncreasing,
    ShearX,
    ShearY,
    TranslateXRel,
    TranslateYRel,
];

/// The set `3a`, after DeiT III.
const THREE: &[Leveled] = &[SolarizeIncreasing, Desaturate, GaussianBlur];

/// The set `3aw`, with weights; ops are drawn without replacement.
const THREE_WEIGHTED: &[(Leveled, f64)] = &[
    (SolarizeIncreasing, 6.0),
    (Desaturate, 6.0),
    (GaussianBlur, 6.0),
    (Rotate, 3.0),
    (ShearX, 2.0),
    (ShearY, 2.0),
    (PosterizeIncreasing, 1.0),
    (AutoContrast, 1.0),
    (ColorIncreasing, 1.0),
    (SharpnessIncreasing, 1.0),
    (ContrastIncreasing, 1.0),
    (BrightnessIncreasing, 1.0),
    (Equalize, 1.0),
    (Invert, 1.0),
];

/// The set `weights`, with weights; ops are drawn without replacement.
const WEIGHTS: &[(Leveled, f64)] = &[
    (Rotate, 3.0),
    (ShearX, 2.0),
    (ShearY, 2.0),
    (TranslateXRel, 1.0),
    (TranslateYRel, 1.0),
    (ColorIncreasing, 0.25),
    (SharpnessIncreasing, 0.25),
    (AutoContrast, 0.25),
    (SolarizeIncreasing, 0.05),
    (SolarizeAdd, 0.05),
    (ContrastIncreasing, 0.05),
    (BrightnessIncreasing, 0.05),
    (Equalize, 0.05),
    (PosterizeIncreasing, 0.05),
    (Invert, 0.05),
];

impl Leveled {
    /// All ops.
    pub const ALL: &[Self] = &[
        AutoContrast,
        Equalize,
        Invert,
        Rotate,
        Posterize,
        PosterizeIncreasing,
        Solarize,
        SolarizeIncreasing,
        SolarizeAdd,
        Color,
        ColorIncreasing,
        Contrast,
        ContrastIncreasing,
        Brightness,
        BrightnessIncreasing,
        Sharpness,
        SharpnessIncreasing,
        ShearX,
        ShearY,
        TranslateXRel,
        TranslateYRel,
        Desaturate,
        GaussianBlur,
    ];

    /// The change at `level`, 0 or more; `sign`, 1 or -1, is the direction of ops that have two.
    ///
    /// # Source
    /// timm's `LEVEL_TO_ARG`; a translation is 0.45 of the image's side at level 10.
    pub fn change(self, level: f64, sign: f64, size: Size) -> Change {
        let at = level / 10.0;
        let enhance = at * 1.8 + 0.1;
        let increasing = (1.0 + sign * at * 0.9).max(0.1);
        let bits = (at * 4.0) as u8;
        let threshold = (at * 256.0).floor().min(256.0);
        match self {
            AutoContrast => Change::AutoContrast,
            Equalize => Change::Equalize,
            Invert => Change::Invert,
            Rotate => Change::Rotate(sign * at * 30.0),
            Posterize => Change::Posterize(bits),
            PosterizeIncreasing => Change::Posterize(4u8.saturating_sub(bits)),
            Solarize => Change::Solarize(threshold),
            SolarizeIncreasing => Change::Solarize(256.0 - threshold),
            SolarizeAdd => Change::SolarizeAdd((at * 110.0).floor().min(128.0) as u8),
            Color => Change::Color(enhance),
            ColorIncreasing => Change::Color(increasing),
            Contrast => Change::Contrast(enhance),
            ContrastIncreasing => Change::Contrast(increasing),
            Brightness => Change::Brightness(enhance),
            BrightnessIncreasing => Change::Brightness(increasing),
            Sharpness => Change::Sharpness(enhance),
            SharpnessIncreasing => Change::Sharpness(increasing),
            ShearX => Change::ShearX(sign * at * 0.3),
            ShearY => Change::ShearY(sign * at * 0.3),
            TranslateXRel => Change::TranslateX(sign * at * 0.45 * size.width as f64),
            TranslateYRel => Change::TranslateY(sign * at * 0.45 * size.height as f64),
            Desaturate => Change::Color(1.0 - (0.5 + 0.5 * at).min(1.0)),
            GaussianBlur => Change::GaussianBlur((0.1 + 1.9 * at).min(2.0)),
        }
    }
}

/// The parameters in a RandAugment string.
#[derive(Debug, Clone, PartialEq)]
pub struct TimmRandAugment {
    /// `m`: the level's mean.
    pub magnitude: f64,
    /// `mstd`: the level's standard deviation; infinite (above 100) for uniform between 0 and `magnitude`.
    pub magnitude_std: f64,
    /// `mmax`: the highest level.
    pub magnitude_max: f64,
    /// `n`: the number of ops per image.
    pub num_layers: usize,
    /// `p`: the probability that a drawn op is applied.
    pub prob: f64,
    /// The ops with their weights.
    pub ops: Vec<(Leveled, f64)>,
    /// Whether an op can be drawn more than once per image.
    pub replace: bool,
}

impl FromStr for TimmRandAugment {
    type Err = Error;

    /// Parses `rand-m9-n2-mstd0.5-mmax10-p0.5-inc1-tNAME`. Sections may be in any order and default to timm's values.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |expected: &str, found: &str| Error::BadValue {
            op: "RandAugment",
            field: "config",
            expected: format!("{expected} (in `{text}`)"),
            found: found.into(),
        };
        let mut sections = text.split('-');
        if sections.next() != Some("rand") {
            return Err(bad("`rand-` and sections such as m9, mstd0.5, inc1", text));
        }
        let (mut increasing, mut set) = (false, "");
        let mut config = Self {
            magnitude: 10.0,
            magnitude_std: 0.0,
            magnitude_max: 10.0,
            num_layers: 2,
            prob: 0.5,
            ops: Vec::new(),
            replace: true,
        };
        for section in sections {
            if let Some(name) = section.strip_prefix('t') {
                set = name;
                continue;
            }
            let digits = section.find(|c: char| c.is_ascii_digit()).unwrap_or(section.len());
            let (key, value) = section.split_at(digits);
            let number = |most: f64| match value.parse::<f64>() {
                Ok(number) if number <= most => Ok(number),
                _ => Err(bad(&format!("`{key}` and a number from 0 to {most}"), section)),
            };
            match key {
                "m" => config.magnitude = number(100.0)?,
                "mstd" => {
                    config.magnitude_std = Some(number(f64::MAX)?).filter(|x| *x <= 100.0).unwrap_or(f64::INFINITY)
                }
                "mmax" => config.magnitude_max = number(100.0)?,
                "n" => config.num_layers = number(100.0)? as usize,
                "p" => config.prob = number(1.0)?,
                "inc" => increasing = number(1.0)? > 0.0,
                _ => {
                    return Err(bad(
                        "sections m, n, p, mstd, mmax, inc, each with a number, or t with a name",
                        section,
                    ));
                }
            }
        }
        let equal = |ops: &[Leveled]| ops.iter().map(|op| (*op, 1.0)).collect();
        (config.ops, config.replace) = match set {
            "" if increasing => (equal(INCREASING), true),
            "" => (equal(PLAIN), true),
            "3a" => (equal(THREE), true),
            "3aw" => (THREE_WEIGHTED.to_vec(), false),
            "weights" => (WEIGHTS.to_vec(), false),
            other => return Err(bad("a set of ops: t3a, t3aw or tweights", &format!("t{other}"))),
        };
        if !config.replace && config.num_layers > config.ops.len() {
            return Err(bad("no more ops than the set has", &format!("n{}", config.num_layers)));
        }
        Ok(config)
    }
}

impl TimmRandAugment {
    /// Draws the changes for an image of `size`, in order.
    pub fn draw(&self, size: Size, rng: &mut Rng) -> Vec<(Leveled, Change)> {
        let mut chosen = Vec::with_capacity(self.num_layers);
        if self.replace {
            chosen.extend((0..self.num_layers).filter_map(|_| self.ops.choose(rng).map(|(op, _)| *op)));
        } else {
            let mut left = self.ops.clone();
            for _ in 0..self.num_layers {
                let mut place = uniform(rng, 0.0, left.iter().map(|(_, weight)| weight).sum());
                let at = left.iter().position(|(_, weight)| {
                    place -= weight;
                    place < 0.0
                });
                chosen.push(left.remove(at.unwrap_or(left.len() - 1)).0);
            }
        }
        let mut changes = Vec::with_capacity(chosen.len());
        for op in chosen {
            if !chance(rng, self.prob) {
                continue;
            }
            let level = if self.magnitude_std.is_infinite() {
                uniform(rng, 0.0, self.magnitude)
            } else if self.magnitude_std > 0.0 {
                self.magnitude + self.magnitude_std * rng.sample::<f64, _>(StandardNormal)
            } else {
                self.magnitude
            };
            let sign = if chance(rng, 0.5) { -1.0 } else { 1.0 };
            changes.push((op, op.change(level.clamp(0.0, self.magnitude_max), sign, size)));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_read_and_a_wrong_one_explained() {
        let config: TimmRandAugment = "rand-m9-mstd0.5-inc1".parse().unwrap();
        assert_eq!((config.magnitude, config.magnitude_std, config.num_layers, config.prob), (9.0, 0.5, 2, 0.5));
        assert!(config.replace && config.ops.len() == 15 && config.ops[4].0 == PosterizeIncreasing);
        let weighted: TimmRandAugment = "rand-n3-mstd101-tweights".parse().unwrap();
        assert!(weighted.magnitude_std.is_infinite() && !weighted.replace);
        for (text, part) in [
            ("augmix-m3", "`rand-`"),
            ("rand-x9", "sections m, n, p"),
            ("rand-m", "`m` and a number"),
            ("rand-p2", "from 0 to 1"),
            ("rand-tnone", "t3a, t3aw or tweights"),
            ("rand-n16-tweights", "no more ops"),
        ] {
            let error = text.parse::<TimmRandAugment>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
