//! Wilson's confidence interval of a proportion.

/// Wilson's score interval of the proportion `share` of `n` samples; `z` is half the width in standard errors, 1.96 for
/// 95 %. Unlike `share ± z · √(share · (1 − share) / n)`, it stays within 0 to 1, and has a width where all samples agree.
/// Without samples it is 0 to 1.
///
/// # Source
/// Wilson 1927; `scipy.stats.binomtest(k, n).proportion_ci(method="wilson")`.
pub fn wilson_interval(share: f64, n: f64, z: f64) -> (f64, f64) {
    if n <= 0.0 || n.is_nan() {
        return (0.0, 1.0);
    }
    let square = z * z / n;
    let centre = (share + square / 2.0) / (1.0 + square);
    let half = (square * share * (1.0 - share) + square * square / 4.0).sqrt() / (1.0 + square);
    // Rounding must neither leave the range nor miss its ends.
    let low = if share <= 0.0 { 0.0 } else { (centre - half).clamp(0.0, 1.0) };
    let high = if share >= 1.0 { 1.0 } else { (centre + half).clamp(0.0, 1.0) };
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_statsmodels() {
        // statsmodels.stats.proportion.proportion_confint(9, 10, method="wilson")
        let z = 1.959963984540054;
        let (low, high) = wilson_interval(0.9, 10.0, z);
        assert!((low - 0.5958499732).abs() < 1e-9 && (high - 0.9821237869).abs() < 1e-9, "{low} {high}");
        let (low, high) = wilson_interval(1.0, 10.0, z);
        assert!((low - 10.0 / (10.0 + z * z)).abs() < 1e-12 && high == 1.0, "{low} {high}");
        assert_eq!(wilson_interval(0.0, 10.0, z).0, 0.0);
        assert_eq!(wilson_interval(0.5, 0.0, z), (0.0, 1.0));
    }
}
