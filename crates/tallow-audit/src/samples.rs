//! All splits of a dataset as one list of samples.

use std::collections::HashMap;
use std::sync::Arc;

use tallow_data::{Dataset, Splits};

/// A split of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// The training split.
    Train,
    /// The validation split.
    Validation,
    /// The test split.
    Test,
}

impl Split {
    /// The split's name in tables and manifests.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

/// The samples of all splits in one sequence: training, validation, test.
#[derive(Clone)]
pub struct Samples {
    parts: Vec<(Split, Arc<dyn Dataset>)>,
    /// The number of samples in the sequence, at most all of them.
    len: usize,
}

impl Samples {
    /// The samples of a dataset.
    pub fn new(splits: &Splits) -> Self {
        let mut parts = vec![(Split::Train, splits.train.clone())];
        parts.extend(splits.validation.clone().map(|dataset| (Split::Validation, dataset)));
        parts.extend(splits.test.clone().map(|dataset| (Split::Test, dataset)));
        let len = parts.iter().map(|(_, dataset)| dataset.len()).sum();
        Self { parts, len }
    }

    /// The first `len` samples.
    pub fn truncated(&self, len: usize) -> Self {
        Self { parts: self.parts.clone(), len: self.len.min(len) }
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The splits with their datasets.
    pub fn parts(&self) -> &[(Split, Arc<dyn Dataset>)] {
        &self.parts
    }

    /// The index of the first sample of a split.
    pub fn first(&self, split: Split) -> usize {
        self.parts.iter().take_while(|(other, _)| *other != split).map(|(_, dataset)| dataset.len()).sum()
    }

    /// The class names.
    pub fn class_names(&self) -> &[String] {
        self.parts[0].1.class_names()
    }

    /// The split of sample `index`, the split's dataset, and the sample's index in it.
    ///
    /// # Panics
    /// `index` is not below [`len`](Self::len).
    pub fn locate(&self, index: usize) -> (Split, &Arc<dyn Dataset>, usize) {
        let mut rest = index;
        for (split, dataset) in &self.parts {
            if rest < dataset.len() {
                return (*split, dataset, rest);
            }
            rest -= dataset.len();
        }
        panic!("sample {index} of {}", self.len)
    }

    /// The split of sample `index`.
    pub fn split(&self, index: usize) -> Split {
        self.locate(index).0
    }

    /// The label of sample `index`.
    pub fn label(&self, index: usize) -> usize {
        let (_, dataset, index) = self.locate(index);
        dataset.label(index)
    }

    /// The class name of sample `index`.
    pub fn class(&self, index: usize) -> &str {
        &self.class_names()[self.label(index)]
    }

    /// The id of sample `index`.
    pub fn id(&self, index: usize) -> String {
        let (_, dataset, index) = self.locate(index);
        dataset.id(index)
    }

    /// Decodes the image of sample `index`.
    ///
    /// # Errors
    /// The image cannot be read or decoded.
    pub fn image(&self, index: usize) -> tallow_data::Result<image::DynamicImage> {
        let (_, dataset, index) = self.locate(index);
        dataset.image(index)
    }

    /// The index of the sample with each id; the first one if several samples have the id.
    pub fn by_id(&self) -> HashMap<String, usize> {
        let mut by_id = HashMap::with_capacity(self.len);
        for index in (0..self.len).rev() {
            by_id.insert(self.id(index), index);
        }
        by_id
    }
}
