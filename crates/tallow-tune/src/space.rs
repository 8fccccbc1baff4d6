//! The search space: a range or a list of choices for each config key.

use serde::Deserialize;
use toml::Value;

use crate::{Error, Result};

/// The parameters of a search, in the order of the space file.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    parameters: Vec<(String, Domain)>,
}

/// The domain of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// Real numbers from `low` to `high`.
    Float {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
        /// Whether to search uniformly in the logarithm.
        log: bool,
    },
    /// Integers `low`, `low + step`, … up to `high`.
    Int {
        /// The lowest value.
        low: i64,
        /// The upper bound.
        high: i64,
        /// The distance between values, 1 or more.
        step: i64,
        /// Whether to search uniformly in the logarithm.
        log: bool,
    },
    /// A list of values.
    Choice(Vec<Value>),
}

/// A point of the space: for each parameter a coordinate, 0 to 1 for a range, the index for choices.
#[derive(Debug, Clone, PartialEq)]
pub struct Point(pub Vec<f64>);

/// A domain as the space file describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    low: Option<Value>,
    high: Option<Value>,
    step: Option<i64>,
    #[serde(default)]
    log: bool,
    choices: Option<Vec<Value>>,
}

impl Space {
    /// Reads a `[space]` table: `"optim.lr" = { low = 1e-3, high = 1.0, log = true }`, `"model.width" = { low = 16,
    /// high = 64, step = 16 }`, `"optim.name" = { choices = ["sgd", "adamw"] }`. Bounds with a decimal point make a
    /// range of real numbers, others a range of integers.
    ///
    /// # Errors
    /// A domain that is neither a range nor a list of choices, an empty range or list, or a table without parameters.
    pub fn from_toml(table: &toml::Table) -> Result<Self> {
        if table.is_empty() {
            let (expected, found) = ("at least one parameter".to_owned(), "none".to_owned());
            return Err(Error::Option { key: "[space]", expected, found });
        }
        let read = |(key, value): (&String, &Value)| Ok((key.clone(), Domain::from_toml(key, value)?));
        Ok(Self { parameters: table.iter().map(read).collect::<Result<_>>()? })
    }

    /// The parameters' keys and domains.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = (&str, &Domain)> {
        self.parameters.iter().map(|(key, domain)| (key.as_str(), domain))
    }

    /// The number of parameters.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Always false: a space has at least one parameter.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// The values at a point, by key.
    pub fn values(&self, point: &Point) -> Vec<(String, Value)> {
        let value = |((key, domain), x): (&(String, Domain), &f64)| (key.clone(), domain.value(*x));
        self.parameters.iter().zip(&point.0).map(value).collect()
    }
}

impl Domain {
    fn from_toml(key: &str, value: &Value) -> Result<Self> {
        const EXPECTED: &str =
            "{ low = …, high = … } with low < high (and above 0 for log = true), or { choices = [two or more] }";
        let fail = || Error::Domain { key: key.to_owned(), expected: EXPECTED, found: value.to_string() };
        let raw: Raw = value.clone().try_into().map_err(|_| fail())?;
        match raw {
            Raw { low: None, high: None, step: None, log: false, choices: Some(choices) } if choices.len() > 1 => {
                Ok(Self::Choice(choices))
            }
            Raw { low: Some(Value::Integer(low)), high: Some(Value::Integer(high)), step, log, choices: None }
                if low < high && (!log || low > 0) && step.is_none_or(|step| (1..=high - low).contains(&step)) =>
            {
                Ok(Self::Int { low, high, step: step.unwrap_or(1), log })
            }
            Raw { low: Some(low), high: Some(high), step: None, log, choices: None } => {
                let number = |value: &Value| value.as_float().or(value.as_integer().map(|i| i as f64));
                match (number(&low), number(&high)) {
                    (Some(low), Some(high))
                        if low.is_finite() && high.is_finite() && low < high && (!log || low > 0.0) =>
                    {
                        Ok(Self::Float { low, high, log })
                    }
                    _ => Err(fail()),
                }
            }
            _ => Err(fail()),
        }
    }

    /// The number of values; `None` for a range of real numbers.
    pub fn cardinality(&self) -> Option<usize> {
        match self {
            Self::Float { .. } => None,
            Self::Int { low, high, step, .. } => Some(((high - low) / step + 1) as usize),
            Self::Choice(choices) => Some(choices.len()),
        }
    }

    /// The value at a coordinate: 0 to 1 for a range, an index for choices.
    pub fn value(&self, x: f64) -> Value {
        match self {
            Self::Float { low, high, log } => Value::Float(between(*low, *high, *log, x)),
            Self::Int { low, high, step, log } => {
                // Each integer has an interval of equal width: from half a step below to half a step above.
                let half = 0.5 * *step as f64;
                let real = between(*low as f64 - half, *high as f64 + half, *log && *low as f64 > half, x);
                let steps = ((real - *low as f64) / *step as f64).round() as i64;
                Value::Integer(low + step * steps.clamp(0, (high - low) / step))
            }
            Self::Choice(choices) => choices[(x.max(0.0) as usize).min(choices.len() - 1)].clone(),
        }
    }

    /// The coordinate of value number `index` of `count` values that are spaced evenly over the domain, ends included.
    pub fn grid(&self, index: usize, count: usize) -> f64 {
        match self {
            Self::Choice(_) => index as f64,
            Self::Int { .. } => (index as f64 + 0.5) / count as f64,
            Self::Float { .. } if count == 1 => 0.5,
            Self::Float { .. } => index as f64 / (count - 1) as f64,
        }
    }

    /// The coordinate of a uniform random number `u` in 0 to below 1.
    pub fn coordinate(&self, u: f64) -> f64 {
        match self {
            Self::Choice(choices) => (u * choices.len() as f64).floor().min(choices.len() as f64 - 1.0),
            _ => u,
        }
    }
}

/// A value as text with few digits, for tables and plots.
pub fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(x) if *x != 0.0 && (x.abs() < 1e-3 || x.abs() >= 1e4) => format!("{x:.2e}"),
        Value::Float(x) => format!("{x:.4}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        other => other.to_string(),
    }
}

/// The value at fraction `x` of the range from `low` to `high`.
fn between(low: f64, high: f64, log: bool, x: f64) -> f64 {
    let x = x.clamp(0.0, 1.0);
    let value = if log { (low.ln() + x * (high.ln() - low.ln())).exp() } else { low + x * (high - low) };
    value.clamp(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn space(text: &str) -> Result<Space> {
        Space::from_toml(&text.parse().expect("TOML"))
    }

    #[test]
    fn ranges_and_choices_become_values() -> Result<()> {
        let space = space(
            "lr = { low = 1e-3, high = 1.0, log = true }\nwidth = { low = 16, high = 64, step = 16 }\n\
             name = { choices = [\"sgd\", \"adamw\"] }",
        )?;
        let values = |x: [f64; 3]| -> Vec<Value> {
            space.values(&Point(x.to_vec())).into_iter().map(|(_, value)| value).collect()
        };
        let low = values([0.0, 0.0, 0.0]);
        assert!((low[0].as_float().expect("a number") - 1e-3).abs() < 1e-12);
        assert_eq!(low[1..], [Value::Integer(16), Value::String("sgd".into())]);
        let high = values([1.0, 1.0, 1.0]);
        assert_eq!(high, [Value::Float(1.0), Value::Integer(64), Value::String("adamw".into())]);
        let middle = values([0.5, 0.5, 0.0])[0].as_float().expect("a number");
        assert!((middle - 10f64.powf(-1.5)).abs() < 1e-9, "{middle}");
        // Integers share the unit interval evenly.
        let Some((_, width)) = space.parameters().nth(1) else { panic!("width") };
        let mut counts = [0; 4];
        for i in 0..400 {
            counts[(width.value((f64::from(i) + 0.5) / 400.0).as_integer().expect("whole") / 16 - 1) as usize] += 1;
        }
        assert_eq!(counts, [100; 4]);
        Ok(())
    }

    #[test]
    fn invalid_domains_are_errors_that_name_the_key() {
        for text in [
            "lr = { low = 1.0, high = 0.1 }",
            "lr = { low = 0.0, high = 1.0, log = true }",
            "lr = { choices = [1] }",
            "lr = { low = 1 }",
            "lr = { low = 1, high = 4, stp = 2 }",
            "lr = 3",
            "lr = { low = 1, high = 4, step = 0 }",
        ] {
            let error = space(text).expect_err(text).to_string();
            assert!(error.contains("lr"), "{error}");
        }
        assert!(space("").is_err());
    }
}
