//! Whose turn it is in an epoch: samples of a dataset by index, or those that a stream brings.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use image::DynamicImage;
use tallow_augment::{Pipeline, rng};

use crate::{Dataset, Error, LoaderConfig, Result, Sampler, ShardStream, StreamConfig, StreamSample};

/// Where samples come from.
#[derive(Clone)]
pub(crate) enum Source {
    Indexed { dataset: Arc<dyn Dataset>, labels: Arc<[usize]> },
    Streamed(ShardStream),
}

impl Source {
    pub fn class_names(&self) -> &[String] {
        match self {
            Self::Indexed { dataset, .. } => dataset.class_names(),
            Self::Streamed(stream) => stream.class_names(),
        }
    }

    /// The source in a loader's order, and the samples of an epoch.
    ///
    /// # Errors
    /// A sampler that does not fit; a stream that does not know its length.
    pub fn checked(self, config: &LoaderConfig) -> Result<(Self, usize)> {
        match self {
            Self::Indexed { dataset, labels } => {
                config.sampler.validate(&labels, dataset.class_names().len())?;
                let samples = dataset.len();
                Ok((Self::Indexed { dataset, labels }, samples))
            }
            Self::Streamed(stream) => {
                config.sampler.validate(&[], 0)?;
                Ok((Self::Streamed(stream.ordered(order_of_stream(config)?)), stream.samples()?))
            }
        }
    }

    /// The samples of an epoch of so many from place `start` on, in their order. A stream is read from its beginning, until
    /// `stop`.
    pub fn turns<'a>(
        &'a self,
        config: &LoaderConfig,
        samples: usize,
        (epoch, start): (u64, usize),
        stop: &'a AtomicBool,
    ) -> Turns<'a> {
        match self {
            Self::Indexed { dataset, labels } => {
                let order = config.sampler.order_of(dataset.as_ref(), labels, config.seed, epoch);
                let turn = |index| Ok(Turn::Indexed { dataset: dataset.as_ref(), index, label: labels[index] });
                Box::new(order.into_iter().skip(start).map(turn))
            }
            Self::Streamed(stream) => {
                let placed = stream.first(epoch, samples).enumerate();
                let wanted = placed.take_while(|_| !stop.load(Ordering::Relaxed));
                // An error before the start is passed on too.
                let wanted = wanted.filter(move |(place, sample)| *place >= start || sample.is_err());
                Box::new(wanted.map(|(place, sample)| Ok(Turn::Streamed { sample: sample?, place })))
            }
        }
    }
}

/// Samples in their order.
pub(crate) type Turns<'a> = Box<dyn Iterator<Item = Result<Turn<'a>>> + 'a>;

/// A sample whose turn it is.
pub(crate) enum Turn<'a> {
    Indexed { dataset: &'a dyn Dataset, index: usize, label: usize },
    Streamed { sample: StreamSample, place: usize },
}

impl Turn<'_> {
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
            Self::Streamed { place, .. } => *place,
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

    pub fn load(&self, pipeline: &Pipeline, rng: &mut rng::Rng, out: &mut [f32]) -> Result<()> {
        pipeline.apply(self.image()?, rng, out).map_err(|source| Error::Augment { id: self.id(), source })
    }
}

/// The order that a sampler is in a stream.
fn order_of_stream(config: &LoaderConfig) -> Result<StreamConfig> {
    let (buffer, shuffle_shards) = match &config.sampler {
        Sampler::Sequential => (1, false),
        Sampler::Shards(buffer) => (*buffer, true),
        other => {
            let expected = "shards or sequential: a stream is read in the order of its shards".into();
            return Err(Error::Option { field: "sampler", expected, found: format!("{other:?}") });
        }
    };
    // The buffer is full before the first is drawn: so `run_shuffled` has it too.
    Ok(StreamConfig { buffer, initial: buffer, shuffle_shards, seed: config.seed, part: (0, 1) })
}
