//! Datasets that wrap another one: they implement [`DatasetWrapper`] and inherit every method of [`Dataset`] that they
//! do not change.

use image::DynamicImage;

use crate::dataset::Dataset;
use crate::error::Result;

/// A dataset made from another one. The defaults forward to it.
pub(crate) trait DatasetWrapper: Send + Sync {
    /// The wrapped dataset.
    fn inner(&self) -> &dyn Dataset;

    /// The index in the wrapped dataset of sample `index`.
    fn inner_index(&self, index: usize) -> usize {
        index
    }

    /// [`Dataset::len`].
    fn wrapper_len(&self) -> usize {
        self.inner().len()
    }

    /// [`Dataset::runs`].
    fn wrapper_runs(&self) -> Option<Vec<usize>> {
        self.inner().runs()
    }

    /// [`Dataset::stamp`].
    fn wrapper_stamp(&self, index: usize) -> u64 {
        self.inner().stamp(self.inner_index(index))
    }

    /// [`Dataset::image`].
    fn wrapper_image(&self, index: usize) -> Result<DynamicImage> {
        self.inner().image(self.inner_index(index))
    }
}

impl<T: DatasetWrapper> Dataset for T {
    fn len(&self) -> usize {
        self.wrapper_len()
    }

    fn class_names(&self) -> &[String] {
        self.inner().class_names()
    }

    fn label(&self, index: usize) -> usize {
        self.inner().label(self.inner_index(index))
    }

    fn target(&self, index: usize) -> Option<Vec<f32>> {
        self.inner().target(self.inner_index(index))
    }

    fn weight(&self, index: usize) -> f32 {
        self.inner().weight(self.inner_index(index))
    }

    fn is_multi_label(&self) -> bool {
        self.inner().is_multi_label()
    }

    fn group(&self, index: usize) -> Option<usize> {
        self.inner().group(self.inner_index(index))
    }

    fn time(&self, index: usize) -> Option<f64> {
        self.inner().time(self.inner_index(index))
    }

    fn runs(&self) -> Option<Vec<usize>> {
        self.wrapper_runs()
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>> {
        self.inner().encoded(self.inner_index(index))
    }

    fn stamp(&self, index: usize) -> u64 {
        self.wrapper_stamp(index)
    }

    fn image(&self, index: usize) -> Result<DynamicImage> {
        self.wrapper_image(index)
    }

    fn id(&self, index: usize) -> String {
        self.inner().id(self.inner_index(index))
    }

    fn channels(&self) -> usize {
        self.inner().channels()
    }
}
