//! Histogram, mean, deviation and quantile.

/// The number of occurrences of each of the 256 levels.
pub(crate) fn histogram(levels: &[u8]) -> [u64; 256] {
    let mut counts = [0; 256];
    levels.iter().for_each(|level| counts[usize::from(*level)] += 1);
    counts
}

/// The mean and the population standard deviation of the values.
pub(crate) fn mean_and_std(values: impl ExactSizeIterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// The quantile of sorted values at `share`, 0 to 1, by linear interpolation, as NumPy's `percentile`.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    sorted[low] + part * (sorted[(low + 1).min(last)] - sorted[low])
}
