//! The splits of a dataset; the training split is indexed or streamed.

use std::sync::Arc;

use image::DynamicImage;
use tallow_augment::Normalization;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::on_corrupt::OnCorrupt;
use crate::stream::SampleStream;
use crate::summary::{measure, measure_stream};

/// The number of samples of a stream that mean and standard deviation are measured on.
const MEASURED: usize = 10_000;

/// The splits of a dataset. All have the same classes.
#[derive(Clone)]
pub struct Splits {
    /// The training split. Empty if it is streamed.
    pub train: Arc<dyn Dataset>,
    /// The training samples if they are streamed ([`OpenOptions::stream`](crate::OpenOptions::stream)).
    pub stream: Option<Arc<dyn SampleStream>>,
    /// The validation split: the dataset's own, or held out of the training split.
    pub validation: Option<Arc<dyn Dataset>>,
    /// The test split.
    pub test: Option<Arc<dyn Dataset>>,
    /// The number of files that are not images, or of shard samples that have no image or label.
    pub ignored_files: usize,
    /// What was found when the files were listed and a reader should know: files, folders and columns that were not
    /// taken, contradictions. [`warnings`](Self::warnings) has more.
    pub notes: Vec<String>,
}

impl Splits {
    /// A training split alone.
    pub fn of(train: Arc<dyn Dataset>) -> Self {
        Self { train, stream: None, validation: None, test: None, ignored_files: 0, notes: Vec::new() }
    }

    /// The number of training samples in an epoch.
    ///
    /// # Errors
    /// The length of a stream is unknown.
    pub fn train_samples(&self) -> Result<usize> {
        self.stream.as_ref().map_or_else(|| Ok(self.train.len()), |stream| stream.samples())
    }

    /// The first training image; with [`OnCorrupt::Skip`], the first that can be read.
    ///
    /// # Errors
    /// The image cannot be read; there are no samples.
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

    /// The mean and standard deviation of the training split ([`measure`]). Of a stream, the first 10,000 samples of
    /// the first epoch are used.
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
