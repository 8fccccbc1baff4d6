//! Initial values of parameters, by PyTorch's names.

use rand::Rng as _;
use rand_distr::{Distribution, StandardNormal};

use crate::rng::Rng;

/// The side of a weight on which the variance is kept constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fan {
    /// Inputs of one output: keeps the forward variance.
    In,
    /// Outputs of one input: keeps the backward variance.
    Out,
}

/// A distribution of initial values. Fans are computed as `torch.nn.init` does: for a weight
/// `[out, in, …]`, fan-in is `in · ∏…`, fan-out is `out · ∏…`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// Uniform in `[-bound, bound)`.
    Uniform(f32),
    /// Normal around 0 with this standard deviation.
    Normal(f32),
    /// Normal around 0 with this standard deviation, redrawn outside ±`limit` (absolute), as timm's `trunc_normal_`.
    TruncatedNormal {
        /// Standard deviation before truncation.
        std: f32,
        /// Absolute bound.
        limit: f32,
    },
    /// He et al. 2015, normal, for ReLU: std = √(2 / fan).
    KaimingNormal(Fan),
    /// He et al. 2015, uniform, with PyTorch's slope `a`: bound = √(6 / ((1 + a²) fan_in)).
    /// `a = √5` is the default of `nn.Conv2d` and `nn.Linear`.
    KaimingUniform(f32),
    /// Glorot & Bengio 2010, uniform: bound = √(6 / (fan_in + fan_out)).
    XavierUniform,
    /// Glorot & Bengio 2010, normal: std = √(2 / (fan_in + fan_out)).
    XavierNormal,
}

impl Init {
    /// All zeros.
    pub const ZEROS: Init = Init::Constant(0.0);
    /// All ones.
    pub const ONES: Init = Init::Constant(1.0);

    /// Draws the values of a parameter of this shape.
    pub fn draw(self, shape: &[usize], rng: &mut Rng) -> Vec<f32> {
        let len: usize = shape.iter().product();
        let (fan_in, fan_out) = fans(shape);
        match self {
            Init::Constant(value) => vec![value; len],
            Init::Uniform(bound) => uniform(bound, len, rng),
            Init::Normal(std) => normal(std, f32::INFINITY, len, rng),
            Init::TruncatedNormal { std, limit } => normal(std, limit, len, rng),
            Init::KaimingNormal(fan) => {
                let fan = if fan == Fan::In { fan_in } else { fan_out };
                normal((2.0 / fan).sqrt(), f32::INFINITY, len, rng)
            }
            Init::KaimingUniform(a) => uniform((6.0 / ((1.0 + a * a) * fan_in)).sqrt(), len, rng),
            Init::XavierUniform => uniform((6.0 / (fan_in + fan_out)).sqrt(), len, rng),
            Init::XavierNormal => normal((2.0 / (fan_in + fan_out)).sqrt(), f32::INFINITY, len, rng),
        }
    }
}

fn fans(shape: &[usize]) -> (f32, f32) {
    let receptive: usize = shape.iter().skip(2).product();
    let fan = |axis: usize| (shape.get(axis).copied().unwrap_or(1) * receptive).max(1) as f32;
    (fan(1), fan(0))
}

fn uniform(bound: f32, len: usize, rng: &mut Rng) -> Vec<f32> {
    (0..len).map(|_| (2.0 * rng.random::<f32>() - 1.0) * bound).collect()
}

fn normal(std: f32, limit: f32, len: usize, rng: &mut Rng) -> Vec<f32> {
    let mut draw = || loop {
        let z: f32 = StandardNormal.sample(rng);
        if (std * z).abs() <= limit {
            return std * z;
        }
    };
    (0..len).map(|_| draw()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{INIT, keyed};

    fn moments(init: Init, shape: &[usize]) -> (f32, f32, f32) {
        let values = init.draw(shape, &mut keyed(1, 0, 0, INIT));
        let n = values.len() as f32;
        let mean = values.iter().sum::<f32>() / n;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt();
        (mean, std, values.iter().fold(0.0, |m, v| m.max(v.abs())))
    }

    #[test]
    fn spread_follows_the_fans() {
        let shape = [64, 32, 3, 3]; // fan-in 288, fan-out 576
        for (init, want) in [
            (Init::KaimingNormal(Fan::In), (2.0f32 / 288.0).sqrt()),
            (Init::KaimingNormal(Fan::Out), (2.0f32 / 576.0).sqrt()),
            (Init::KaimingUniform(5f32.sqrt()), (1.0f32 / 288.0 / 3.0).sqrt()),
            (Init::XavierNormal, (2.0f32 / 864.0).sqrt()),
            (Init::XavierUniform, (2.0f32 / 864.0).sqrt()),
            (Init::Normal(0.02), 0.02),
        ] {
            let (mean, std, _) = moments(init, &shape);
            assert!((std / want - 1.0).abs() < 0.02, "{init:?}: std {std}, expected {want}");
            assert!(mean.abs() < 0.03 * want, "{init:?}: mean {mean}");
        }
    }

    #[test]
    fn truncation_bounds_every_draw() {
        let (_, _, max) = moments(Init::TruncatedNormal { std: 1.0, limit: 0.5 }, &[100, 100]);
        assert!(max <= 0.5 && max > 0.49, "largest draw {max}");
    }
}
