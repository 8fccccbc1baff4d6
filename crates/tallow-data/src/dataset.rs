//! The `Dataset` trait, which every source implements and every consumer takes.

use image::DynamicImage;

use crate::error::Result;

/// Labelled images by index. The loader, the splits and the summary accept any implementation.
///
/// Methods that take an index may panic if it is not below [`len`](Self::len), as slices do.
pub trait Dataset: Send + Sync {
    /// The number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class names; a label is an index into them.
    fn class_names(&self) -> &[String];

    /// The class of sample `index`, without decoding its image.
    fn label(&self, index: usize) -> usize;

    /// The target of sample `index`, one number per class: soft labels, or 0 and 1 for multi-label data. `None`: the
    /// label alone is the target.
    fn target(&self, _index: usize) -> Option<Vec<f32>> {
        None
    }

    /// The weight of sample `index` in the training loss; 1 by default.
    fn weight(&self, _index: usize) -> f32 {
        1.0
    }

    /// Whether a sample can have any number of classes; its [target](Self::target) then holds 0 or 1 for each.
    fn is_multi_label(&self) -> bool {
        false
    }

    /// The number of the group (patient, scene, …) of sample `index`, if groups are known. Splits keep groups whole.
    fn group(&self, _index: usize) -> Option<usize> {
        None
    }

    /// The time at which sample `index` was taken, in any unit, if known. Splits by time hold out the latest samples.
    fn time(&self, _index: usize) -> Option<f64> {
        None
    }

    /// The lengths of consecutive runs of samples (shards, row groups) that are read fastest in order. `None`: every
    /// order is equally fast.
    fn runs(&self) -> Option<Vec<usize>> {
        None
    }

    /// The undecoded image file of sample `index`; `None` if the image is not stored as a file.
    ///
    /// # Errors
    /// The file cannot be read.
    fn encoded(&self, _index: usize) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// A number that changes when the stored image of sample `index` changes. A [cache](crate::Cached) of decoded
    /// images is keyed by the ids and the stamps.
    fn stamp(&self, _index: usize) -> u64 {
        0
    }

    /// Reads and decodes the image of sample `index`, upright, in its stored size and colour type.
    ///
    /// # Errors
    /// The file cannot be read or decoded, or exceeds the decoder's limits.
    fn image(&self, index: usize) -> Result<DynamicImage>;

    /// The name of sample `index` in messages and tables: its path below the dataset's root, or "train/123".
    fn id(&self, index: usize) -> String;

    /// 1 if every image is grey, else 3.
    fn channels(&self) -> usize;
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
