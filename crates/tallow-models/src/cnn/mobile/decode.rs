//! Parses and scales timm's block strings.
//!
//! `ir_r2_k3_s2_e6_c24_se0.25` stands for two inverted residuals with 3×3 kernels, the first of stride 2, that expand
//! six times and have 24 output channels and squeeze-excite of a quarter.

use tallow_nn::op::Activation;
use tallow_nn::{Error, Result};

/// The kind of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `ds`: depthwise, then pointwise without activation.
    DepthwiseSeparable,
    /// `dsa`: depthwise, then pointwise with its activation, never a shortcut (MobileNetV1).
    DepthwiseSeparableActive,
    /// `ir`: pointwise up, depthwise, pointwise down (MobileNetV2; "MBConv").
    InvertedResidual,
    /// `er`: a full convolution up, pointwise down ("FusedMBConv").
    EdgeResidual,
    /// `uir`: an inverted residual with up to two depthwise convolutions (MobileNetV4).
    UniversalInvertedResidual,
    /// `cn`: a convolution.
    Conv,
}

/// One block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BlockArgs {
    pub kind: Kind,
    /// `c`: output channels before scaling.
    pub channels: usize,
    /// `s`: stride of the first block of a stage; the others have 1.
    pub stride: usize,
    /// `k`: kernel of the depthwise convolution, or of the only spatial one.
    pub kernel: usize,
    /// `a`: kernel of the depthwise convolution before the expansion, 0 for none (`uir`).
    pub start_kernel: usize,
    /// `e`: hidden channels as a multiple of the inputs.
    pub expansion: f64,
    /// `se`: squeezed channels as a fraction, 0 for none.
    pub squeeze: f64,
    /// `nre`: ReLU instead of the network's activation.
    pub activation: Option<Activation>,
    /// `skip`, `noskip`: whether there is a shortcut where the shapes permit; the default is true except for `cn` and
    /// `dsa`.
    pub skip: bool,
}

/// The blocks of every stage. `depth` multiplies the number of blocks of each stage; with `fix_first_last` the first
/// and the last stage are not scaled.
pub(super) fn decode(stages: &[&[&str]], depth: f64, fix_first_last: bool) -> Result<Vec<Vec<BlockArgs>>> {
    let last = stages.len().saturating_sub(1);
    let stage = |(index, strings): (usize, &&[&str])| {
        let blocks = strings.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
        let fixed = fix_first_last && (index == 0 || index == last);
        let mut scaled = scale_depth(&blocks, if fixed { 1.0 } else { depth });
        scaled.iter_mut().skip(1).for_each(|block| block.stride = 1);
        Ok(scaled)
    };
    stages.iter().enumerate().map(stage).collect()
}

fn parse(text: &str) -> Result<(BlockArgs, usize)> {
    let refuse = |what: &str| Error::Config { op: "block string", reason: format!("`{text}`: {what}") };
    let mut words = text.split('_');
    let kind = match words.next() {
        Some("ds") => Kind::DepthwiseSeparable,
        Some("dsa") => Kind::DepthwiseSeparableActive,
        Some("ir") => Kind::InvertedResidual,
        Some("er") => Kind::EdgeResidual,
        Some("uir") => Kind::UniversalInvertedResidual,
        Some("cn") => Kind::Conv,
        _ => return Err(refuse("its first word is not the kind of a block")),
    };
    let mut block = BlockArgs {
        kind,
        channels: 0,
        stride: 1,
        kernel: 1,
        start_kernel: 0,
        expansion: 1.0,
        squeeze: 0.0,
        activation: None,
        skip: !matches!(kind, Kind::Conv | Kind::DepthwiseSeparableActive),
    };
    let mut repeats = 1;
    for word in words {
        let digit = word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len());
        let (key, value) = word.split_at(digit);
        let number = value.parse::<f64>().unwrap_or(0.0);
        match key {
            "r" => repeats = number as usize,
            "k" => block.kernel = number as usize,
            "s" => block.stride = number as usize,
            "a" => block.start_kernel = number as usize,
            "c" => block.channels = number as usize,
            "e" => block.expansion = number,
            "se" => block.squeeze = number,
            "nre" => block.activation = Some(Activation::Relu),
            "skip" => block.skip = true,
            "noskip" => block.skip = false,
            _ => return Err(refuse(&format!("unknown word `{word}`"))),
        }
    }
    if block.channels == 0 || repeats == 0 {
        return Err(refuse("needs channels (c) and a number of blocks (r)"));
    }
    Ok((block, repeats))
}

/// Distributes the stage's number of blocks times `depth`, rounded up, over its lines, from the last to the first.
fn scale_depth(lines: &[(BlockArgs, usize)], depth: f64) -> Vec<BlockArgs> {
    let mut left: usize = lines.iter().map(|(_, repeats)| repeats).sum();
    let mut scaled_left = (left as f64 * depth).ceil();
    let mut counts = Vec::new();
    for (_, repeats) in lines.iter().rev() {
        let count = (*repeats as f64 / left as f64 * scaled_left).round_ties_even().max(1.0);
        counts.push(count as usize);
        left -= repeats;
        scaled_left -= count;
    }
    lines.iter().zip(counts.into_iter().rev()).flat_map(|((block, _), count)| vec![*block; count]).collect()
}

/// Rounds to a multiple of 8 that is at least `limit · channels` (timm's `make_divisible`).
pub(super) fn divisible(channels: f64, limit: f64) -> usize {
    let rounded = (((channels + 4.0) / 8.0).floor() * 8.0).max(8.0);
    (if rounded < limit * channels { rounded + 8.0 } else { rounded }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_and_scaled() {
        let stages: &[&[&str]] = &[&["ds_r1_k3_s1_c16_nre"], &["ir_r2_k5_s2_e4.5_c40_se0.25", "ir_r1_k3_s2_e6_c40"]];
        let [first, second] = &decode(stages, 1.2, false).unwrap()[..] else { panic!("two stages") };
        assert_eq!(first.len(), 2);
        assert_eq!((first[0].kind, first[0].activation), (Kind::DepthwiseSeparable, Some(Activation::Relu)));
        // 3 · 1.2 blocks, rounded up: 4.
        let second: Vec<_> = second.iter().map(|b| (b.kernel, b.stride, b.expansion)).collect();
        assert_eq!(second, [(5, 2, 4.5), (5, 1, 4.5), (5, 1, 4.5), (3, 1, 6.0)]);
        let fixed = decode(stages, 1.2, true).unwrap();
        assert_eq!(fixed.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3]);
        for wrong in ["xx_r1_c8", "ir_r1_k3", "ir_r1_q3_c8"] {
            assert!(decode(&[&[wrong]], 1.0, false).unwrap_err().to_string().contains(wrong));
        }
    }

    #[test]
    fn channels_are_multiples_of_eight() {
        for (channels, limit, expected) in
            [(16.0 * 0.5, 0.9, 8), (3.0, 0.9, 8), (44.8, 0.9, 48), (19.2, 0.9, 24), (19.2, 0.0, 16)]
        {
            assert_eq!(divisible(channels, limit), expected, "{channels}");
        }
    }
}
