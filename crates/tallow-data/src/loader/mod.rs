//! The loader: decodes, augments and batches samples on its own threads, ahead of the training step.
//!
//! The samples of a batch, their order and their augmentation depend on (seed, epoch) alone. The sampler gives the
//! order; the sample at position `p` of the epoch is augmented with the generator of (seed, epoch, `p`). The key holds
//! the position and not the index, so that a sample that is drawn twice is augmented differently.
//!
//! A background thread per epoch makes batch after batch on the loader's pool of `workers` threads. The loader does not
//! use rayon's global pool: the training step computes there, and would wait for queued image work. One worker is
//! enough for small images; large images and fast devices need more.

mod batch;
mod config;
mod epoch;
mod samples;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use image::DynamicImage;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;
use tallow_augment::Pipeline;
use tallow_base::rng;

pub use self::batch::Batch;
use self::batch::{pixels_of_rows, replace_missing};
pub use self::config::LoaderConfig;
pub use self::epoch::EpochBatches;
use self::samples::{EpochOrder, PendingSample, SampleSource};
use crate::dataset::{Dataset, labels};
use crate::error::{Error, Result};
use crate::on_corrupt::OnCorrupt;
use crate::sampler::Sampler;
use crate::stream::SampleStream;

/// Makes the batches of any epoch.
pub struct Loader {
    shared: Arc<Shared>,
}

/// The loader's state, shared with the background threads.
struct Shared {
    source: SampleSource,
    pipeline: Arc<Pipeline>,
    config: LoaderConfig,
    /// The number of samples in an epoch.
    samples: usize,
    pool: Arc<rayon::ThreadPool>,
}

impl Loader {
    /// A loader of the samples of `dataset` through `pipeline`.
    ///
    /// # Errors
    /// `batch_size` or `workers` is 0; an epoch has no batch; the sampler's weights do not fit the dataset; the mix is
    /// invalid; the threads cannot be started.
    pub fn new(dataset: Arc<dyn Dataset>, pipeline: Arc<Pipeline>, config: LoaderConfig) -> Result<Self> {
        let labels = labels(dataset.as_ref()).into();
        Self::of(SampleSource::Indexed { dataset, labels }, pipeline, config, None)
    }

    /// A loader of a stream's samples. The sampler is [`Sampler::Shards`] or [`Sampler::Sequential`], and gives the
    /// same order as for a dataset of the same shards. The samples of skipped batches are read but not decoded.
    ///
    /// # Errors
    /// As [`new`](Self::new); another sampler; the stream does not know its length.
    pub fn streamed(stream: Arc<dyn SampleStream>, pipeline: Arc<Pipeline>, config: LoaderConfig) -> Result<Self> {
        Self::of(SampleSource::Streamed(stream), pipeline, config, None)
    }

    /// The threads are those of `pool` if their number fits.
    fn of(
        source: SampleSource,
        pipeline: Arc<Pipeline>,
        config: LoaderConfig,
        pool: Option<&Arc<rayon::ThreadPool>>,
    ) -> Result<Self> {
        let at_least_one = |field, value: usize| match value {
            0 => Err(Error::Option { field, expected: "at least 1".into(), found: "0".into() }),
            _ => Ok(()),
        };
        at_least_one("batch_size", config.batch_size)?;
        at_least_one("workers", config.workers)?;
        let (source, samples) = source.with_order_of(&config)?;
        at_least_one("number of samples", samples)?;
        if config.drop_last && config.batch_size > samples {
            return Err(Error::Option {
                field: "batch_size",
                expected: format!("at most the number of samples, {samples}, or drop_last = false"),
                found: config.batch_size.to_string(),
            });
        }
        if let Some(mix) = &config.mix {
            mix.validate().map_err(|source| Error::Mix { source })?;
        }
        let pool = match pool.filter(|pool| pool.current_num_threads() == config.workers) {
            Some(pool) => pool.clone(),
            None => Arc::new(start_pool(config.workers)?),
        };
        Ok(Self { shared: Arc::new(Shared { source, pipeline, config, samples, pool }) })
    }

    /// The same samples through another pipeline or in other batches. Shares this loader's threads if `config` has as
    /// many workers.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(&self, pipeline: Arc<Pipeline>, config: LoaderConfig) -> Result<Loader> {
        Self::of(self.shared.source.clone(), pipeline, config, Some(&self.shared.pool))
    }

    /// The same samples through the same pipeline, each once, in the dataset's order.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn in_order(&self) -> Result<Loader> {
        let Shared { pipeline, config, .. } = self.shared.as_ref();
        let config = LoaderConfig { sampler: Sampler::Sequential, drop_last: false, mix: None, ..config.clone() };
        self.with(pipeline.clone(), config)
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        let Shared { config, samples, .. } = self.shared.as_ref();
        if config.drop_last { samples / config.batch_size } else { samples.div_ceil(config.batch_size) }
    }

    /// The number of samples in an epoch.
    pub fn samples(&self) -> usize {
        self.shared.samples
    }

    /// The class names.
    pub fn class_names(&self) -> &[String] {
        self.shared.source.class_names()
    }

    /// Whether a sample can have any number of classes.
    pub fn is_multi_label(&self) -> bool {
        matches!(&self.shared.source, SampleSource::Indexed { dataset, .. } if dataset.is_multi_label())
    }

    /// The ids of the samples of one of this loader's batches.
    pub fn ids(&self, batch: &Batch) -> Vec<String> {
        match &self.shared.source {
            SampleSource::Indexed { dataset, .. } => batch.indices.iter().map(|index| dataset.id(*index)).collect(),
            SampleSource::Streamed(_) => batch.stream_ids.clone(),
        }
    }

    /// The first `count` images of the first epoch, before the pipeline.
    pub fn first_images(&self, count: usize) -> Vec<Result<DynamicImage>> {
        let stop = AtomicBool::new(false);
        self.shared.epoch_from(0, 0, &stop).take(count).map(|sample| sample?.image()).collect()
    }

    /// The pipeline that every image passes through.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.shared.pipeline
    }

    /// The configuration.
    pub fn config(&self) -> &LoaderConfig {
        &self.shared.config
    }

    /// Whether a sample has the same pixels in every epoch: the pipeline draws nothing at random, and samples are
    /// neither mixed nor streamed.
    pub fn is_deterministic(&self) -> bool {
        let indexed = matches!(self.shared.source, SampleSource::Indexed { .. });
        indexed && self.shared.pipeline.is_deterministic() && self.shared.config.mix.is_none()
    }

    /// The batches of [`epoch`](Self::epoch) without their pixels: order, labels, targets and weights. A dataset's
    /// images are not read. Requires a [deterministic](Self::is_deterministic) loader whose samples can all be read.
    ///
    /// # Errors
    /// A stream cannot be read.
    pub fn epoch_without_pixels(&self, epoch: u64, skip_batches: usize) -> impl Iterator<Item = Result<Batch>> + '_ {
        static NEVER_STOP: AtomicBool = AtomicBool::new(false);
        let batches = skip_batches.min(self.batches())..self.batches();
        let mut order = self.shared.epoch_from(epoch, batches.start, &NEVER_STOP);
        batches.map(move |batch| {
            let samples = self.shared.samples_of(batch, &mut order)?;
            let rows: Vec<usize> = (0..samples.len()).collect();
            Ok(self.shared.assemble(Vec::new(), &samples, &rows))
        })
    }

    /// The batches of an epoch from batch `skip_batches` on, equal to those of an uninterrupted epoch. Starts to load
    /// at once.
    pub fn epoch(&self, epoch: u64, skip_batches: usize) -> EpochBatches {
        let batches = skip_batches.min(self.batches())..self.batches();
        let shared = self.shared.clone();
        EpochBatches::start(batches.len(), self.shared.config.prefetch, move |sender, stop| {
            shared.send_batches(epoch, batches, sender, stop);
        })
    }
}

fn start_pool(workers: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .thread_name(|i| format!("tallow-loader-{i}"))
        .build()
        .map_err(|error| Error::LoaderStopped { reason: error.to_string() })
}

impl Shared {
    /// Sends batch after batch until the end, an error, or the receiver is gone.
    fn send_batches(
        &self,
        epoch: u64,
        batches: std::ops::Range<usize>,
        sender: &SyncSender<Result<Batch>>,
        stop: &AtomicBool,
    ) {
        let mut order = self.epoch_from(epoch, batches.start, stop);
        for batch in batches {
            let samples = self.samples_of(batch, &mut order);
            let made = samples.and_then(|samples| self.make_batch(epoch, batch, &samples, stop));
            let failed = made.is_err();
            if stop.load(Ordering::Relaxed) || sender.send(made).is_err() || failed {
                return;
            }
        }
    }

    /// The samples of an epoch from a batch on, in their order.
    fn epoch_from<'a>(&'a self, epoch: u64, batch: usize, stop: &'a AtomicBool) -> EpochOrder<'a> {
        self.source.epoch(&self.config, self.samples, (epoch, batch * self.config.batch_size), stop)
    }

    /// The samples of a batch, which come next in `order`.
    fn samples_of<'a>(&self, batch: usize, order: &mut EpochOrder<'a>) -> Result<Vec<PendingSample<'a>>> {
        let size = self.config.batch_size;
        order.take(size.min(self.samples - batch * size)).collect()
    }

    fn make_batch(&self, epoch: u64, batch: usize, samples: &[PendingSample<'_>], stop: &AtomicBool) -> Result<Batch> {
        let start = batch * self.config.batch_size;
        let sample_len = self.pipeline.output_len();
        let mut pixels = vec![0.0; samples.len() * sample_len];
        let mut errors: Vec<Option<Error>> = self.pool.install(|| {
            pixels
                .par_chunks_mut(sample_len)
                .zip(samples.par_iter())
                .enumerate()
                .map(|(row, (out, sample))| {
                    if stop.load(Ordering::Relaxed) {
                        return None; // the batch will not be sent
                    }
                    let position = (start + row) as u64;
                    let mut rng = rng::keyed(self.config.seed, epoch, position, rng::AUGMENT);
                    sample.load(&self.pipeline, &mut rng, out).err()
                })
                .collect()
        });

        let mut skipped = Vec::new();
        let mut rows: Vec<usize> = (0..errors.len()).filter(|row| errors[*row].is_none()).collect();
        for (row, error) in errors.iter_mut().enumerate() {
            let Some(error) = error.take() else { continue };
            if self.config.on_corrupt == OnCorrupt::Stop || !error.is_corrupt_sample() {
                return Err(error);
            }
            if rows.is_empty() {
                return Err(Error::NoGoodSample { epoch, batch, first: Box::new(error) });
            }
            skipped.push(samples[row].id());
        }
        if !skipped.is_empty() {
            if self.config.drop_last {
                rows = replace_missing(&rows, samples.len());
            }
            pixels = pixels_of_rows(&rows, &pixels, sample_len);
        }
        let mut made = self.assemble(pixels, samples, &rows);
        made.skipped = skipped;
        if let Some(mix) = self.config.mix.as_ref().filter(|mix| mix.is_on(epoch)) {
            let classes = self.source.class_names().len();
            made.mix(mix, classes, &mut rng::keyed(self.config.seed, epoch, batch as u64, rng::MIX));
        }
        Ok(made)
    }

    fn assemble(&self, pixels: Vec<f32>, samples: &[PendingSample<'_>], rows: &[usize]) -> Batch {
        let classes = self.source.class_names().len();
        Batch::assemble(pixels, self.pipeline.output_shape(), samples, rows, classes)
    }
}
