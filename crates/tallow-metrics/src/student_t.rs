//! Quantiles of Student's t distribution.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// The two-sided quantile of Student's t distribution: the `t` with `P(|T| < t) = confidence`, which is half the width
/// of a confidence interval in standard errors. `confidence` is 0 to below 1, `freedom` the degrees of freedom, 1 or
/// more; with 0 the result is infinite.
///
/// # Source
/// `scipy.stats.t.interval(confidence, freedom)`, to ten digits. The quantile is found by bisection of the angle
/// θ = atan(t / √ν), in which the distribution is a finite sum (Abramowitz & Stegun 26.7.3 and 26.7.4).
pub fn student_t_quantile(confidence: f64, freedom: usize) -> f64 {
    if freedom == 0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    // 60 bisections of π/2 determine θ to the last bit.
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        match within(middle, freedom) < confidence {
            true => low = middle,
            false => high = middle,
        }
    }
    (freedom as f64).sqrt() * ((low + high) / 2.0).tan()
}

/// The probability that |T| is below √ν · tan θ.
fn within(theta: f64, freedom: usize) -> f64 {
    let (sin, cos) = theta.sin_cos();
    // The terms are cosʲθ times the product of (j − 1) / j over the odd j above 1, or over the even j.
    let odd = freedom % 2 == 1;
    let first = if odd { 1 } else { 0 };
    let mut term = if odd { cos } else { 1.0 };
    let (mut sum, mut power) = (0.0, first);
    while power + 2 <= freedom {
        sum += term;
        power += 2;
        term *= cos * cos * (power - 1) as f64 / power as f64;
    }
    if odd { FRAC_2_PI * (theta + sin * sum) } else { sin * sum }
}
