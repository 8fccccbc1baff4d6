//! The samples of an epoch in their order: from a dataset by index, or from a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use image::DynamicImage;
use tallow_augment::Pipeline;
use tallow_base::rng;

use super::config::LoaderConfig;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::sampler::Sampler;
use crate::stream::{SampleStream, StreamConfig, StreamSample};

/// Where samples come from.
#[derive(Clone)]
pub(super) enum SampleSource {
    Indexed { dataset: Arc<dyn Dataset>, labels: Arc<[usize]> },
    Streamed(Arc<dyn SampleStream>),
}

impl SampleSource {
    pub fn class_names(&self) -> &[String] {
        match self {
            Self::Indexed { dataset, .. } => dataset.class_names(),
            Self::Streamed(stream) => stream.class_names(),
        }
    }

    /// The source in the order of the loader's sampler, and the number of samples in an epoch.
    ///
    /// # Errors
    /// The sampler does not fit the source; a stream does not know its length.
    pub fn with_order_of(self, config: &LoaderConfig) -> Result<(Self, usize)> {
        match self {
            Self::Indexed { dataset, labels } => {
                config.sampler.validate(&labels, dataset.class_names().len())?;
                let samples = dataset.len();
                Ok((Self::Indexed { dataset, labels }, samples))
            }
            Self::Streamed(stream) => {
                config.sampler.validate(&[], 0)?;
                Ok((Self::Streamed(stream.with_config(stream_order(config)?)), stream.samples()?))
            }
        }
    }

    /// The samples of an epoch from position `start` on. An epoch has `samples` samples. A stream is read from its
    /// beginning, until `stop` is set.
    pub fn epoch<'a>(
        &'a self,
        config: &LoaderConfig,
        samples: usize,
        (epoch, start): (u64, usize),
        stop: &'a AtomicBool,
    ) -> EpochOrder<'a> {
        match self {
            Self::Indexed { dataset, labels } => {
                let order = config.sampler.order_of(dataset.as_ref(), labels, config.seed, epoch);
                let sample =
                    |index| Ok(PendingSample::Indexed { dataset: dataset.as_ref(), index, label: labels[index] });
                Box::new(order.into_iter().skip(start).map(sample))
            }
            Self::Streamed(stream) => {
                let read = stream.first(epoch, samples).enumerate().take_while(|_| !stop.load(Ordering::Relaxed));
                // Errors before `start` are passed on too.
                let wanted = read.filter(move |(position, sample)| *position >= start || sample.is_err());
                Box::new(wanted.map(|(position, sample)| Ok(PendingSample::Streamed { sample: sample?, position })))
            }
        }
    }
}

/// Samples in their order.
pub(super) type EpochOrder<'a> = Box<dyn Iterator<Item = Result<PendingSample<'a>>> + 'a>;

/// A sample that is to be decoded and augmented.
pub(super) enum PendingSample<'a> {
    Indexed { dataset: &'a dyn Dataset, index: usize, label: usize },
    Streamed { sample: StreamSample, position: usize },
}

impl PendingSample<'_> {
    pub fn image(&self) -> Result<DynamicImage> {
        match self {
            Self::Indexed { dataset, index, .. } => dataset.image(*index),
            Self::Streamed { sample, .. } => sample.image(),
        }
    }

    pub fn id(&self) -> String {
        match self {
            Self::Indexed { dataset, index, .. } => dataset.id(*index),
            Self::Streamed { sample, .. } => sample.id.clone(),
        }
    }

    pub fn index(&self) -> usize {
        match self {
            Self::Indexed { index, .. } => *index,
            Self::Streamed { position, .. } => *position,
        }
    }

    pub fn label(&self) -> usize {
        match self {
            Self::Indexed { label, .. } => *label,
            Self::Streamed { sample, .. } => sample.label,
        }
    }

    pub fn target(&self) -> Option<Vec<f32>> {
        match self {
            Self::Indexed { dataset, index, .. } => dataset.target(*index),
            Self::Streamed { .. } => None,
        }
    }

    pub fn weight(&self) -> f32 {
        match self {
            Self::Indexed { dataset, index, .. } => dataset.weight(*index),
            Self::Streamed { .. } => 1.0,
        }
    }

    /// Decodes the image and writes its augmented, normalised pixels to `out`.
    pub fn load(&self, pipeline: &Pipeline, rng: &mut rng::Rng, out: &mut [f32]) -> Result<()> {
        pipeline.apply(self.image()?, rng, out).map_err(|source| Error::Augment { id: self.id(), source })
    }
}

/// The stream's order for the loader's sampler.
fn stream_order(config: &LoaderConfig) -> Result<StreamConfig> {
    let (buffer, shuffle_shards) = match &config.sampler {
        Sampler::Sequential => (1, false),
        Sampler::Shards(buffer) => (*buffer, true),
        other => {
            let expected = "shards or sequential: a stream is read in the order of its shards".into();
            return Err(Error::Option { field: "sampler", expected, found: format!("{other:?}") });
        }
    };
    // The buffer is full before the first draw, as in `run_shuffled`.
    Ok(StreamConfig { buffer, initial: buffer, shuffle_shards, seed: config.seed, part: (0, 1) })
}
