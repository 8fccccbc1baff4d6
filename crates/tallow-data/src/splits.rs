//! A dataset's splits, the training one by index or as a stream, and what a run wants to know of it beforehand.

use std::sync::Arc;

use image::DynamicImage;
use tallow_augment::Normalization;

use crate::summary::{measure, measure_stream};
use crate::{Dataset, OnCorrupt, Result, ShardStream};

/// Samples of a stream that mean and deviation are measured on, at most: its first epoch's first.
const MEASURED: usize = 10_000;

/// A dataset's splits, all with the same classes.
#[derive(Clone)]
pub struct Splits {
    /// What is trained on; where that is streamed, without samples.
    pub train: Arc<dyn Dataset>,
    /// What is trained on in place of `train`, with [`OpenOptions::stream`](crate::OpenOptions::stream).
    pub stream: Option<ShardStream>,
    /// What choices are made on: the dataset's own, or held out of the training split.
    pub validation: Option<Arc<dyn Dataset>>,
    /// What is reported.
    pub test: Option<Arc<dyn Dataset>>,
    /// Files in a folder dataset that are not images.
    pub ignored_files: usize,
}

impl Splits {
    /// The training samples of an epoch.
    ///
    /// # Errors
    /// A stream whose length nothing says.
    pub fn train_samples(&self) -> Result<usize> {
        self.stream.as_ref().map_or_else(|| Ok(self.train.len()), ShardStream::samples)
    }

    /// The first training image; with [`OnCorrupt::Skip`] the first that can be read.
    ///
    /// # Errors
    /// An image that cannot be read; no samples.
    pub fn first_image(&self, on_corrupt: OnCorrupt) -> Result<DynamicImage> {
        let mut images: Box<dyn Iterator<Item = Result<DynamicImage>>> = match &self.stream {
            Some(stream) => Box::new(stream.first(0, stream.samples()?).map(|sample| sample?.image())),
            None => Box::new((0..self.train.len()).map(|index| self.train.image(index))),
        };
        let mut first = images.next();
        while let Some(Err(error)) = &first
            && error.is_corrupt_sample()
            && on_corrupt == OnCorrupt::Skip
        {
            match images.next() {
                Some(next) => first = Some(next),
                None => break,
            }
        }
        first.unwrap_or_else(|| self.train.image(0))
    }

    /// [`measure`]s the training split; of a stream the first 10,000 samples of the first epoch.
    ///
    /// # Errors
    /// As [`measure`].
    pub fn measure(&self, on_corrupt: OnCorrupt) -> Result<Normalization> {
        match &self.stream {
            Some(stream) => measure_stream(stream.first(0, stream.samples()?.min(MEASURED)), on_corrupt),
            None => measure(self.train.as_ref(), on_corrupt),
        }
    }
}
