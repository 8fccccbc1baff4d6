//! The activation functions as scalar formulas that the compiler vectorises: no branches, no calls.

use crate::cpu::loops::{MulAdd, select};

/// A function of one variable and its derivative.
pub(crate) trait Function {
    /// `f(x)`.
    fn value<M: MulAdd>(x: f32) -> f32;
    /// `f′(x) · grad`.
    fn gradient<M: MulAdd>(x: f32, grad: f32) -> f32;
}

const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves the nearest integer in the low bits

/// `eˣ` within 2 ulp for −87.3 < x < 88.3; 0 below, ∞ above.
///
/// Cody–Waite reduction to |r| ≤ ln 2 / 2, a polynomial, and the power of two put in the exponent bits.
#[inline(always)]
pub(crate) fn exp<M: MulAdd>(x: f32) -> f32 {
    let low = if x < -87.33 { -87.33 } else { x };
    let clamped = if low > 88.7 { 88.7 } else { low };
    let shifted = M::mul_add(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = M::mul_add(n, 2.121_944_4e-4, M::mul_add(n, -0.693_359_4, clamped));
    let tail = 1.987_569_1e-4;
    let tail = M::mul_add(tail, r, 1.398_2e-3);
    let tail = M::mul_add(tail, r, 8.333_452e-3);
    let tail = M::mul_add(tail, r, 4.166_579_6e-2);
    let tail = M::mul_add(tail, r, 1.666_666_5e-1);
    let tail = M::mul_add(tail, r, 0.5);
    let fraction = M::mul_add(tail, r * r, r) + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    let result = fraction * f32::from_bits(exponent);
    choose(x < -87.33, 0.0, result)
}

/// `a` if `first`, else `b`, chosen by bit operations: the loop around then has no branch.
#[inline(always)]
fn choose(first: bool, a: f32, b: f32) -> f32 {
    f32::from_bits(select(first, a.to_bits(), b.to_bits()))
}

/// The standard normal distribution's Φ(x) and density φ(x), relative error below 1e-6 in both tails.
///
/// Φ(−a) = e^(−a²/2) · R(u) with u = 1 / (1 + 0.275 a): R is a minimax polynomial fitted for this use
/// on 0 ≤ a ≤ 14 (relative error 4e-8). One formula serves the whole line, without cancellation at 0.
#[inline(always)]
fn normal<M: MulAdd>(x: f32) -> (f32, f32) {
    const R: [f32; 9] = [
        0.109_702_74,
        0.109_789_46,
        0.101_236_15,
        0.082_601_71,
        0.079_603_58,
        -0.023_345_766,
        0.120_183_95,
        -0.106_021_34,
        0.026_249_513,
    ];
    let a = x.abs();
    let u = 1.0 / M::mul_add(0.275, a, 1.0);
    let mut r = R[8];
    let mut i = 8;
    while i > 0 {
        i -= 1;
        r = M::mul_add(r, u, R[i]);
    }
    let bell = exp::<M>(-0.5 * a * a);
    let below = bell * (r * u);
    (choose(x < 0.0, below, 1.0 - below), bell * 0.398_942_3)
}

/// The logistic function σ(x) and its slope, without cancellation in either tail.
#[inline(always)]
fn logistic<M: MulAdd>(x: f32) -> (f32, f32) {
    let e = exp::<M>(-x.abs());
    let above = 1.0 / (1.0 + e);
    (choose(x < 0.0, e * above, above), e * above * above)
}

/// `x` clamped to [0, 6]; NaN stays NaN.
#[inline(always)]
fn clamp6(x: f32) -> f32 {
    let x = if x < 0.0 { 0.0 } else { x };
    if x > 6.0 { 6.0 } else { x }
}

macro_rules! function {
    ($name:ident, |$x:ident| $value:expr, |$gx:ident, $grad:ident| $gradient:expr) => {
        pub(crate) struct $name;
        impl Function for $name {
            #[inline(always)]
            fn value<M: MulAdd>($x: f32) -> f32 {
                $value
            }
            #[inline(always)]
            fn gradient<M: MulAdd>($gx: f32, $grad: f32) -> f32 {
                $gradient
            }
        }
    };
}

function!(Identity, |x| x, |_x, grad| grad);
// Written so that NaN stays NaN, as in PyTorch.
function!(Relu, |x| if x < 0.0 { 0.0 } else { x }, |x, grad| if x <= 0.0 { 0.0 } else { grad });
function!(Relu6, |x| clamp6(x), |x, grad| if (x <= 0.0) | (x >= 6.0) { 0.0 } else { grad });
function!(Sigmoid, |x| logistic::<M>(x).0, |x, grad| grad * logistic::<M>(x).1);
function!(Silu, |x| x * logistic::<M>(x).0, |x, grad| {
    let (sigma, slope) = logistic::<M>(x);
    grad * (sigma + x * slope)
});
function!(Hardsigmoid, |x| clamp6(x + 3.0) * (1.0 / 6.0), |x, grad| if (x <= -3.0) | (x >= 3.0) {
    0.0
} else {
    grad * (1.0 / 6.0)
});
function!(Hardswish, |x| x * clamp6(x + 3.0) * (1.0 / 6.0), |x, grad| {
    let slope = x * (1.0 / 3.0) + 0.5;
    let slope = if x <= -3.0 { 0.0 } else { slope };
    grad * if x >= 3.0 { 1.0 } else { slope }
});
function!(Gelu, |x| x * normal::<M>(x).0, |x, grad| {
    let (phi, density) = normal::<M>(x);
    grad * (phi + x * density)
});

const TANH_SCALE: f32 = 1.595_769; // 2 · √(2/π): (1 + tanh u) / 2 = σ(2u)
const TANH_CUBE: f32 = 0.044_715;

function!(GeluTanh, |x| x * logistic::<M>(TANH_SCALE * (x + TANH_CUBE * x * x * x)).0, |x, grad| {
    let (sigma, slope) = logistic::<M>(TANH_SCALE * (x + TANH_CUBE * x * x * x));
    grad * (sigma + x * slope * (TANH_SCALE * (1.0 + 3.0 * TANH_CUBE * x * x)))
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::loops::TwoSteps;

    #[test]
    fn exp_is_within_two_ulp() {
        let mut worst = 0i64;
        let steps = if cfg!(miri) { 2_000 } else { 2_000_000 };
        for i in 0..steps {
            let x = -87.3 + 175.6 * (i as f32 / steps as f32);
            let (got, want) = (exp::<TwoSteps>(x), f64::from(x).exp() as f32);
            worst = worst.max((i64::from(got.to_bits()) - i64::from(want.to_bits())).abs());
        }
        assert!(worst <= 2, "{worst} ulp");
        assert_eq!(exp::<TwoSteps>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp::<TwoSteps>(f32::INFINITY), f32::INFINITY);
        assert!(exp::<TwoSteps>(f32::NAN).is_nan());
        assert_eq!(exp::<TwoSteps>(0.0), 1.0);
    }

    #[test]
    fn nan_stays_nan() {
        for value in [
            Relu::value::<TwoSteps>,
            Relu6::value::<TwoSteps>,
            Hardswish::value::<TwoSteps>,
            Gelu::value::<TwoSteps>,
            Silu::value::<TwoSteps>,
        ] {
            assert!(value(f32::NAN).is_nan());
        }
    }
}
