//! Checks of config values.

/// A key whose value is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidValue {
    /// The key within its table.
    pub key: &'static str,
    /// The values that it takes.
    pub expected: &'static str,
}

/// Whether all values of a table have a meaning.
pub type Validity = Result<(), InvalidValue>;

/// Fails with `key` and `expected` unless `valid`.
pub(crate) fn check(valid: bool, key: &'static str, expected: &'static str) -> Validity {
    if valid { Ok(()) } else { Err(InvalidValue { key, expected }) }
}

/// From 0 to below 1.
pub(crate) fn fraction(key: &'static str, value: f64) -> Validity {
    check((0.0..1.0).contains(&value), key, "a fraction from 0 to below 1")
}

/// 0 or more, and finite.
pub(crate) fn not_negative(key: &'static str, value: f64) -> Validity {
    check(value >= 0.0 && value.is_finite(), key, "0 or more")
}

/// Above 0, and finite.
pub(crate) fn positive(key: &'static str, value: f64) -> Validity {
    check(value > 0.0 && value.is_finite(), key, "a number above 0")
}

/// A factor above 0, and finite.
pub(crate) fn factor(key: &'static str, value: f64) -> Validity {
    check(value > 0.0 && value.is_finite(), key, "a factor above 0")
}

/// The lowest learning rate of a schedule.
pub(crate) fn min_lr(value: f64) -> Validity {
    check(value >= 0.0 && value.is_finite(), "min_lr", "a learning rate, 0 or more")
}

/// A coefficient of momentum.
pub(crate) fn momentum(value: f64) -> Validity {
    check((0.0..1.0).contains(&value), "momentum", "a number from 0 to below 1")
}

/// The term that keeps a denominator from 0.
pub(crate) fn eps(value: f64) -> Validity {
    check(value > 0.0 && value.is_finite(), "eps", "a small number above 0")
}

/// The decay rates of two running moments.
pub(crate) fn betas((beta1, beta2): (f64, f64)) -> Validity {
    let valid = |beta: f64| (0.0..1.0).contains(&beta);
    check(valid(beta1) && valid(beta2), "betas", "two numbers from 0 to below 1")
}

/// One weight per class.
pub(crate) fn class_weights(weights: Option<&[f32]>) -> Validity {
    let valid = |w: &[f32]| w.iter().all(|w| *w >= 0.0 && w.is_finite()) && w.iter().any(|w| *w > 0.0);
    check(weights.is_none_or(valid), "class_weights", "one number per class, 0 or more, not all 0")
}
