//! The class names of a source, and the labels for names and numbers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::files::sorted_classes;
use crate::error::{Error, Result};
use crate::options::ClassOrder;

/// Class names and their labels.
pub(crate) struct Classes {
    pub names: Arc<[String]>,
    labels: HashMap<String, u32>,
}

impl Classes {
    /// Classes in the order given.
    pub fn given(names: Vec<String>) -> Self {
        let labels = names.iter().enumerate().map(|(label, name)| (name.clone(), label as u32)).collect();
        Self { names: names.into(), labels }
    }

    /// The distinct names, sorted.
    pub fn sorted(names: Vec<String>, order: ClassOrder) -> Self {
        Self::given(sorted_classes(names, order))
    }

    /// The given class names, else these.
    #[cfg(any(feature = "parquet", feature = "wds"))]
    pub fn in_use(&self, given: Option<&[String]>) -> Self {
        Self::given(given.unwrap_or(&self.names).to_vec())
    }

    /// The label of a name; `path` is the file that holds it, for messages.
    pub fn label(&self, name: &str, path: &Path) -> Result<u32> {
        self.labels.get(name).copied().ok_or_else(|| Error::UnknownClass {
            path: path.into(),
            class: name.into(),
            known: self.names.to_vec(),
        })
    }

    /// The labels of names.
    #[cfg(feature = "parquet")]
    pub fn of_names(&self, names: &[String], path: &Path) -> Result<Vec<u32>> {
        names.iter().map(|name| self.label(name, path)).collect()
    }

    /// The labels of class numbers in `own`, which may have another order here.
    #[cfg(any(feature = "parquet", feature = "wds"))]
    pub fn of_numbers(&self, numbers: &[i64], own: &Classes, path: &Path) -> Result<Vec<u32>> {
        let mut labels = Vec::with_capacity(numbers.len());
        let mut known: Vec<Option<u32>> = vec![None; own.names.len()];
        for (index, number) in numbers.iter().enumerate() {
            let Some(class) = usize::try_from(*number).ok().filter(|class| *class < own.names.len()) else {
                let expected = format!("labels from 0 to {}", own.names.len().saturating_sub(1));
                return Err(Error::format(path, expected, format!("{number} in sample {index}")));
            };
            let label = match known[class] {
                Some(label) => label,
                None => *known[class].insert(self.label(&own.names[class], path)?),
            };
            labels.push(label);
        }
        Ok(labels)
    }
}

/// The class names "0", "1", … up to the highest number.
#[cfg(any(feature = "parquet", feature = "wds"))]
pub(crate) fn numbered(highest: Option<i64>) -> Vec<String> {
    // A damaged label must not take all memory.
    let count = highest.map_or(0, |highest| highest.saturating_add(1)).clamp(0, 1 << 20);
    (0..count).map(|number| number.to_string()).collect()
}

/// Numbers groups by name, in the order of their first occurrence.
#[derive(Default)]
pub(crate) struct Groups(HashMap<String, usize>);

impl Groups {
    /// The number of a group.
    pub fn number(&mut self, name: &str) -> usize {
        let next = self.0.len();
        match self.0.get(name) {
            Some(number) => *number,
            None => *self.0.entry(name.to_owned()).or_insert(next),
        }
    }
}

/// Times as numbers in the same order: the texts are numbers, or sort chronologically (2024-05-31T12:00).
///
/// # Errors
/// The index of the first empty text.
pub(crate) fn times_of(texts: &[String]) -> std::result::Result<Vec<f64>, usize> {
    if let Some(empty) = texts.iter().position(String::is_empty) {
        return Err(empty);
    }
    let numbers: Option<Vec<f64>> =
        texts.iter().map(|text| text.parse::<f64>().ok().filter(|number| number.is_finite())).collect();
    Ok(numbers.unwrap_or_else(|| {
        let mut sorted: Vec<&String> = texts.iter().collect();
        sorted.sort();
        sorted.dedup();
        texts.iter().map(|text| sorted.binary_search(&text).unwrap_or_default() as f64).collect()
    }))
}
