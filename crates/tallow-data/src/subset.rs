//! A subset of another dataset's samples.

use std::sync::Arc;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::wrapper::DatasetWrapper;

/// Some samples of another dataset, in the order of the given indices.
pub struct Subset {
    dataset: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The samples of `dataset` at `indices`; an index may occur more than once.
    ///
    /// # Errors
    /// An index is not below the length of `dataset`.
    pub fn new(dataset: Arc<dyn Dataset>, indices: Vec<usize>) -> Result<Self> {
        if let Some(index) = indices.iter().find(|index| **index >= dataset.len()) {
            return Err(Error::Option {
                field: "indices",
                expected: format!("below the dataset's length, {}", dataset.len()),
                found: index.to_string(),
            });
        }
        Ok(Self { dataset, indices })
    }

    /// The indices into the other dataset.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl DatasetWrapper for Subset {
    fn inner(&self) -> &dyn Dataset {
        self.dataset.as_ref()
    }

    fn inner_index(&self, index: usize) -> usize {
        self.indices[index]
    }

    fn wrapper_len(&self) -> usize {
        self.indices.len()
    }

    /// The parts of the other dataset's runs that are in the subset; `None` if the indices do not ascend.
    fn wrapper_runs(&self) -> Option<Vec<usize>> {
        let mut rest = self.indices.as_slice();
        if !rest.is_sorted() {
            return None;
        }
        let mut end = 0;
        let runs = self.dataset.runs()?.into_iter().map(|length| {
            end += length;
            let (run, left) = rest.split_at(rest.partition_point(|index| *index < end));
            rest = left;
            run.len()
        });
        Some(runs.collect())
    }
}
