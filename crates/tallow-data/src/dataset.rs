//! The `Dataset` trait that every source implements and every consumer takes, and `Subset`, a choice of its samples.

use std::sync::Arc;

use image::DynamicImage;

use crate::{Error, Result};

/// Labelled images by index. Implement it for a source of your own: the loader, the splits and the summary take any.
///
/// Methods that take an index may panic when it is not below [`len`](Self::len), as slices do.
pub trait Dataset: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// True without samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The classes' names; a label is an index into them.
    fn class_names(&self) -> &[String];

    /// The class of sample `index`, without decoding its image.
    fn label(&self, index: usize) -> usize;

    /// What sample `index` should be answered with, one number a class, where its label does not say it all: the
    /// probabilities of soft labels, or 0 and 1 where several classes can hold. `None`: its label alone.
    fn target(&self, _index: usize) -> Option<Vec<f32>> {
        None
    }

    /// How much sample `index` counts in the training loss, beside the others' 1.
    fn weight(&self, _index: usize) -> f32 {
        1.0
    }

    /// Whether several classes, or none, can hold for a sample: its [target](Self::target) is then a 0 or 1 for each.
    fn is_multi_label(&self) -> bool {
        false
    }

    /// The number of the group (patient, scene, …) that sample `index` belongs to, if groups are known: samples of one
    /// group have one number. Splits keep groups whole.
    fn group(&self, _index: usize) -> Option<usize> {
        None
    }

    /// When sample `index` was taken, in any unit, if that is known. Splits by time hold out the latest.
    fn time(&self, _index: usize) -> Option<f64> {
        None
    }

    /// The lengths of the runs of samples that are read fastest one after the other: shards, row groups. `None`: any
    /// order is as fast.
    fn runs(&self) -> Option<Vec<usize>> {
        None
    }

    /// The image file of sample `index` as it is stored, if it is stored as one: what a conversion copies.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn encoded(&self, _index: usize) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// A number that changes when the stored image of sample `index` does: what a [cache](crate::Cached) of decoded images
    /// is keyed by, beside the id.
    fn stamp(&self, _index: usize) -> u64 {
        0
    }

    /// Reads and decodes the image of sample `index`, upright, in the size and colours it is stored with.
    ///
    /// # Errors
    /// A file that cannot be read or decoded, or that exceeds the decoder's limits.
    fn image(&self, index: usize) -> Result<DynamicImage>;

    /// What names sample `index` in messages and tables: its path below the dataset's root, or "train/123".
    fn id(&self, index: usize) -> String;

    /// 1 if every image is grey, else 3.
    fn channels(&self) -> usize;
}

/// A dataset that is another one but for its pictures.
pub(crate) trait Repicture: Send + Sync {
    /// The other dataset.
    fn original(&self) -> &dyn Dataset;

    /// [`Dataset::image`].
    fn picture(&self, index: usize) -> Result<DynamicImage>;

    /// [`Dataset::stamp`].
    fn picture_stamp(&self, index: usize) -> u64 {
        self.original().stamp(index)
    }
}

impl<T: Repicture> Dataset for T {
    fn len(&self) -> usize {
        self.original().len()
    }

    fn class_names(&self) -> &[String] {
        self.original().class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.original().label(index)
    }

    fn target(&self, index: usize) -> Option<Vec<f32>> {
        self.original().target(index)
    }

    fn weight(&self, index: usize) -> f32 {
        self.original().weight(index)
    }

    fn is_multi_label(&self) -> bool {
        self.original().is_multi_label()
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.original().group(index)
    }

    fn time(&self, index: usize) -> Option<f64> {
        self.original().time(index)
    }

    fn runs(&self) -> Option<Vec<usize>> {
        self.original().runs()
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>> {
        self.original().encoded(index)
    }

    fn stamp(&self, index: usize) -> u64 {
        self.picture_stamp(index)
    }

    fn image(&self, index: usize) -> Result<DynamicImage> {
        self.picture(index)
    }

    fn id(&self, index: usize) -> String {
        self.original().id(index)
    }

    fn channels(&self) -> usize {
        self.original().channels()
    }
}

/// Some samples of another dataset, in the order of the indices.
pub struct Subset {
    dataset: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The samples of `dataset` at `indices`; an index may occur more than once.
    ///
    /// # Errors
    /// An index that `dataset` does not have.
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

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn class_names(&self) -> &[String] {
        self.dataset.class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.dataset.label(self.indices[index])
    }

    fn target(&self, index: usize) -> Option<Vec<f32>> {
        self.dataset.target(self.indices[index])
    }

    fn weight(&self, index: usize) -> f32 {
        self.dataset.weight(self.indices[index])
    }

    fn is_multi_label(&self) -> bool {
        self.dataset.is_multi_label()
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.dataset.group(self.indices[index])
    }

    fn time(&self, index: usize) -> Option<f64> {
        self.dataset.time(self.indices[index])
    }

    /// The other dataset's, as far as they are chosen, where the choice keeps the order.
    fn runs(&self) -> Option<Vec<usize>> {
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

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>> {
        self.dataset.encoded(self.indices[index])
    }

    fn stamp(&self, index: usize) -> u64 {
        self.dataset.stamp(self.indices[index])
    }

    fn image(&self, index: usize) -> Result<DynamicImage> {
        self.dataset.image(self.indices[index])
    }

    fn id(&self, index: usize) -> String {
        self.dataset.id(self.indices[index])
    }

    fn channels(&self) -> usize {
        self.dataset.channels()
    }
}

/// The label of every sample.
pub fn labels(dataset: &dyn Dataset) -> Vec<usize> {
    (0..dataset.len()).map(|i| dataset.label(i)).collect()
}

/// The group of every sample, if every sample has one.
pub fn groups(dataset: &dyn Dataset) -> Option<Vec<usize>> {
    (0..dataset.len()).map(|i| dataset.group(i)).collect()
}

/// The time of every sample, if every sample has one.
pub fn times(dataset: &dyn Dataset) -> Option<Vec<f64>> {
    (0..dataset.len()).map(|i| dataset.time(i)).collect()
}

/// The number of samples of each class.
pub fn class_counts(dataset: &dyn Dataset) -> Vec<usize> {
    let mut counts = vec![0; dataset.class_names().len()];
    for index in 0..dataset.len() {
        counts[dataset.label(index)] += 1;
    }
    counts
}
