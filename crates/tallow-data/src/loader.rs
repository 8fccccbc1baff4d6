//! The loader: decodes, augments and batches on threads of its own, ahead of the training step.
//!
//! Which samples a batch holds, in which order and how each is augmented depend on (seed, epoch) alone: the order is
//! the sampler's, and the draw at position `p` of the epoch augments with the generator of (seed, epoch, `p`). The key is
//! the position and not the sample, so that a sample drawn twice in an epoch is augmented twice, differently.
//!
//! Threads: one background thread walks through the batches and hands each to a pool of `workers` threads, so that the
//! loader never queues work in rayon's global pool, where the training step computes and would have to wait for it. The
//! default is one worker: small pictures take it a few microseconds each, where a step takes milliseconds an image;
//! more are for large pictures and fast devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use image::DynamicImage;
use rayon::iter::{IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSliceMut as _;
use serde::{Deserialize, Serialize};
use tallow_augment::batch::{MixConfig, mix_pixels, mix_rows};
use tallow_augment::{Pipeline, Size, rng};

use crate::turn::{Source, Turn, Turns};
use crate::{Dataset, Error, Result, Sampler, ShardStream, labels};

/// How samples become batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderConfig {
    /// Samples a batch, at least 1.
    pub batch_size: usize,
    /// Leave out the last batch of an epoch if it is not full, and fill up a batch that lost damaged samples: every
    /// batch has exactly `batch_size` samples. For training.
    pub drop_last: bool,
    /// Finished batches that wait at most, beside the one being made and the one in use: what bounds the memory.
    pub prefetch: usize,
    /// Threads that decode and augment, at least 1.
    pub workers: usize,
    /// The seed of order and augmentation.
    pub seed: u64,
    /// In which order samples come.
    pub sampler: Sampler,
    /// What happens when a sample cannot be read.
    pub on_corrupt: OnCorrupt,
    /// Mixup and CutMix; for training.
    pub mix: Option<MixConfig>,
}

impl Default for LoaderConfig {
    /// Batches of 128, shuffled, the last one kept, seed 0, two batches ahead, one worker, stop on damage,
    /// no mixing.
    fn default() -> Self {
        Self {
            batch_size: 128,
            drop_last: false,
            prefetch: 2,
            workers: 1,
            seed: 0,
            sampler: Sampler::Shuffled,
            on_corrupt: OnCorrupt::Stop,
            mix: None,
        }
    }
}

/// What happens when a sample's file cannot be read or decoded. An image that the pipeline refuses always stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnCorrupt {
    /// The error ends the epoch.
    #[default]
    Stop,
    /// The sample is listed in [`Batch::skipped`]. With `drop_last` the next good sample of the same batch, around its
    /// end, takes its place a second time, pixels included; without, the batch is smaller, so that an evaluation counts no
    /// sample twice. Either way no other batch changes. A batch without any good sample is an error.
    Skip,
}

/// A batch of augmented, normalised images.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Normalised pixels, NHWC: sample, row, column, channel.
    pub pixels: Vec<f32>,
    /// Samples, height, width, channels.
    pub shape: (usize, usize, usize, usize),
    /// The class of each sample; of a mixed one the class that most of it is.
    pub labels: Vec<u32>,
    /// `[n, classes]`: what each sample should be answered with, where labels do not say it all (soft labels, several
    /// labels a sample, mixed images).
    pub targets: Option<Vec<f32>>,
    /// How much each sample counts, where not all count alike.
    pub weights: Option<Vec<f32>>,
    /// The index of each sample in the dataset; of a stream its place in the epoch.
    pub indices: Vec<usize>,
    /// What names each sample of a stream; empty where the dataset says it ([`Loader::ids`]).
    pub stream_ids: Vec<String>,
    /// The ids of samples that could not be read.
    pub skipped: Vec<String>,
}

/// Makes the batches of any epoch.
pub struct Loader {
    shared: Arc<Shared>,
}

/// What the background threads see.
struct Shared {
    source: Source,
    pipeline: Arc<Pipeline>,
    config: LoaderConfig,
    /// Of an epoch.
    samples: usize,
    pool: rayon::ThreadPool,
}

impl Loader {
    /// A loader of `dataset`'s samples through `pipeline`.
    ///
    /// # Errors
    /// A `batch_size` or `workers` of 0, an epoch without any batch, weights that do not fit the dataset, a mix
    /// that means nothing, or no threads.
    pub fn new(dataset: Arc<dyn Dataset>, pipeline: Arc<Pipeline>, config: LoaderConfig) -> Result<Self> {
        let labels = labels(dataset.as_ref()).into();
        Self::of(Source::Indexed { dataset, labels }, pipeline, config)
    }

    /// A loader of a stream's samples, in the order of [`Sampler::Shards`] or [`Sampler::Sequential`]: what a dataset of the
    /// same shards gives by that sampler. Batches that an epoch is asked to skip are read, and not decoded.
    ///
    /// # Errors
    /// As [`new`](Self::new); another sampler; a stream that does not know its length.
    pub fn streamed(stream: ShardStream, pipeline: Arc<Pipeline>, config: LoaderConfig) -> Result<Self> {
        Self::of(Source::Streamed(stream), pipeline, config)
    }

    fn of(source: Source, pipeline: Arc<Pipeline>, config: LoaderConfig) -> Result<Self> {
        let at_least_one = |field, value: usize| match value {
            0 => Err(Error::Option { field, expected: "at least 1".into(), found: "0".into() }),
            _ => Ok(()),
        };
        at_least_one("batch_size", config.batch_size)?;
        at_least_one("workers", config.workers)?;
        let (source, samples) = source.checked(&config)?;
        at_least_one("number of samples", samples)?;
        if config.drop_last && config.batch_size > samples {
            return Err(Error::Option {
                field: "batch_size",
                expected: format!("at most the {samples} samples there are, or drop_last = false"),
                found: config.batch_size.to_string(),
            });
        }
        if let Some(mix) = &config.mix {
            mix.validate().map_err(|source| Error::Mix { source })?;
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.workers)
            .thread_name(|i| format!("tallow-loader-{i}"))
            .build()
            .map_err(|error| Error::LoaderStopped { reason: error.to_string() })?;
        Ok(Self { shared: Arc::new(Shared { source, pipeline, config, samples, pool }) })
    }

    /// The same samples through another pipeline, in other batches.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(&self, pipeline: Arc<Pipeline>, config: LoaderConfig) -> Result<Loader> {
        Self::of(self.shared.source.clone(), pipeline, config)
    }

    /// The same samples through the same pipeline, each once, in the dataset's order.
    ///
    /// # Errors
    /// No threads.
    pub fn in_order(&self) -> Result<Loader> {
        let Shared { pipeline, config, .. } = self.shared.as_ref();
        let config = LoaderConfig { sampler: Sampler::Sequential, drop_last: false, mix: None, ..config.clone() };
        self.with(pipeline.clone(), config)
    }

    /// Batches an epoch.
    pub fn batches(&self) -> usize {
        let Shared { config, samples, .. } = self.shared.as_ref();
        if config.drop_last { samples / config.batch_size } else { samples.div_ceil(config.batch_size) }
    }

    /// Samples an epoch.
    pub fn samples(&self) -> usize {
        self.shared.samples
    }

    /// The classes' names.
    pub fn class_names(&self) -> &[String] {
        self.shared.source.class_names()
    }

    /// Whether several classes, or none, can hold for a sample.
    pub fn is_multi_label(&self) -> bool {
        matches!(&self.shared.source, Source::Indexed { dataset, .. } if dataset.is_multi_label())
    }

    /// What names the samples of one of this loader's batches.
    pub fn ids(&self, batch: &Batch) -> Vec<String> {
        match &self.shared.source {
            Source::Indexed { dataset, .. } => batch.indices.iter().map(|index| dataset.id(*index)).collect(),
            Source::Streamed(_) => batch.stream_ids.clone(),
        }
    }

    /// The first `count` images of the first epoch, as they are before the pipeline.
    pub fn first_images(&self, count: usize) -> Vec<Result<DynamicImage>> {
        let go = AtomicBool::new(false);
        self.shared.turns(0, 0, &go).take(count).map(|turn| turn?.image()).collect()
    }

    /// What every image goes through.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.shared.pipeline
    }

    /// The configuration.
    pub fn config(&self) -> &LoaderConfig {
        &self.shared.config
    }

    /// Whether every epoch shows each sample, by its index, with the same pixels: nothing is drawn at random, mixed or
    /// streamed.
    pub fn is_deterministic(&self) -> bool {
        let indexed = matches!(self.shared.source, Source::Indexed { .. });
        indexed && self.shared.pipeline.is_deterministic() && self.shared.config.mix.is_none()
    }

    /// The batches of [`epoch`](Self::epoch) without their pixels: order, labels, targets and weights. Of a dataset nothing
    /// is read for them. For a loader [without chance](Self::is_deterministic) whose samples can all be read.
    ///
    /// # Errors
    /// A stream that cannot be read.
    pub fn epoch_without_pixels(&self, epoch: u64, skip_batches: usize) -> impl Iterator<Item = Result<Batch>> + '_ {
        static GO: AtomicBool = AtomicBool::new(false);
        let batches = skip_batches.min(self.batches())..self.batches();
        let mut turns = self.shared.turns(epoch, batches.start, &GO);
        batches.map(move |batch| {
            let turns = self.shared.turns_of(batch, &mut turns)?;
            let rows: Vec<usize> = (0..turns.len()).collect();
            Ok(self.shared.batch(Vec::new(), &turns, &rows, Vec::new()))
        })
    }

    /// The batches of an epoch from batch `skip_batches` on: those that an uninterrupted epoch has there. Starts to
    /// load at once.
    pub fn epoch(&self, epoch: u64, skip_batches: usize) -> EpochBatches {
        let batches = skip_batches.min(self.batches())..self.batches();
        let remaining = batches.len();
        let (sender, receiver) = sync_channel(self.shared.config.prefetch);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("tallow-loader".into()).spawn({
            let (shared, stop) = (self.shared.clone(), stop.clone());
            move || shared.send_batches(epoch, batches, &sender, &stop)
        });
        let (thread, start_error) = match thread {
            Ok(thread) => (Some(thread), None),
            Err(error) => (None, Some(error.to_string())),
        };
        EpochBatches { receiver: Some(receiver), remaining, stop, thread, start_error }
    }
}

impl Shared {
    /// Sends batch after batch until the end, an error, or nobody wants them.
    fn send_batches(
        &self,
        epoch: u64,
        batches: std::ops::Range<usize>,
        sender: &SyncSender<Result<Batch>>,
        stop: &AtomicBool,
    ) {
        let mut turns = self.turns(epoch, batches.start, stop);
        for batch in batches {
            let turns = self.turns_of(batch, &mut turns);
            let made = turns.and_then(|turns| self.make_batch(epoch, batch, &turns, stop));
            let failed = made.is_err();
            if stop.load(Ordering::Relaxed) || sender.send(made).is_err() || failed {
                return;
            }
        }
    }

    /// The samples of an epoch from a batch on, in their order.
    fn turns<'a>(&'a self, epoch: u64, batch: usize, stop: &'a AtomicBool) -> Turns<'a> {
        self.source.turns(&self.config, self.samples, (epoch, batch * self.config.batch_size), stop)
    }

    /// Those of a batch, which come next.
    fn turns_of<'a>(&self, batch: usize, turns: &mut Turns<'a>) -> Result<Vec<Turn<'a>>> {
        let size = self.config.batch_size;
        turns.take(size.min(self.samples - batch * size)).collect()
    }

    fn make_batch(&self, epoch: u64, batch: usize, turns: &[Turn<'_>], stop: &AtomicBool) -> Result<Batch> {
        let start = batch * self.config.batch_size;
        let (height, width, channels) = self.pipeline.output_shape();
        let sample_len = height * width * channels;
        let mut pixels = vec![0.0; turns.len() * sample_len];
        let mut errors: Vec<Option<Error>> = self.pool.install(|| {
            pixels
                .par_chunks_mut(sample_len)
                .zip(turns.par_iter())
                .enumerate()
                .map(|(row, (out, turn))| {
                    if stop.load(Ordering::Relaxed) {
                        return None; // The batch will not be sent.
                    }
                    let position = (start + row) as u64;
                    let mut rng = rng::keyed(self.config.seed, epoch, position, rng::AUGMENT);
                    turn.load(&self.pipeline, &mut rng, out).err()
                })
                .collect()
        });

        let mut skipped = Vec::new();
        let mut rows: Vec<usize> = (0..errors.len()).filter(|r| errors[*r].is_none()).collect();
        for (row, error) in errors.iter_mut().enumerate() {
            let Some(error) = error.take() else { continue };
            if self.config.on_corrupt == OnCorrupt::Stop || !error.is_corrupt_sample() {
                return Err(error);
            }
            if rows.is_empty() {
                return Err(Error::NoGoodSample { epoch, batch, first: Box::new(error) });
            }
            skipped.push(turns[row].id());
        }
        if !skipped.is_empty() {
            if self.config.drop_last {
                rows = filled_up(&rows, turns.len());
            }
            pixels = chosen(&rows, &pixels, sample_len);
        }
        let mut made = self.batch(pixels, turns, &rows, skipped);
        if let Some(mix) = self.config.mix.as_ref().filter(|mix| mix.is_on(epoch)) {
            self.mix(mix, &mut made, &mut rng::keyed(self.config.seed, epoch, batch as u64, rng::MIX));
        }
        Ok(made)
    }

    /// A batch of some of the samples, whose pixels these are.
    fn batch(&self, pixels: Vec<f32>, turns: &[Turn<'_>], rows: &[usize], skipped: Vec<String>) -> Batch {
        let (height, width, channels) = self.pipeline.output_shape();
        let turns: Vec<&Turn<'_>> = rows.iter().map(|row| &turns[*row]).collect();
        let weights: Vec<f32> = turns.iter().map(|turn| turn.weight()).collect();
        let stream_id = |turn: &&&Turn<'_>| matches!(turn, Turn::Streamed { .. });
        Batch {
            pixels,
            shape: (turns.len(), height, width, channels),
            labels: turns.iter().map(|turn| turn.label() as u32).collect(),
            targets: self.targets(&turns),
            weights: weights.iter().any(|weight| *weight != 1.0).then_some(weights),
            indices: turns.iter().map(|turn| turn.index()).collect(),
            stream_ids: turns.iter().filter(stream_id).map(|turn| turn.id()).collect(),
            skipped,
        }
    }

    /// Mixes the images of a batch, its targets and weights with them.
    fn mix(&self, config: &MixConfig, batch: &mut Batch, rng: &mut rng::Rng) {
        let (n, height, width, channels) = batch.shape;
        let (size, classes) = (Size { height, width }, self.source.class_names().len());
        let rows = config.draw(n, size, rng);
        mix_pixels(&rows, &mut batch.pixels, size, channels);
        let one_hot = || batch.labels.iter().flat_map(|label| one_hot(*label as usize, classes)).collect();
        let mut targets = batch.targets.take().unwrap_or_else(one_hot);
        mix_rows(&rows, &mut targets, classes);
        if let Some(weights) = &mut batch.weights {
            mix_rows(&rows, weights, 1);
        }
        // Of two labels the one with more of the image; at half and half each keeps its own.
        let labels = batch.labels.clone();
        for (row, label) in rows.iter().zip(&mut batch.labels) {
            if row.own < 0.5 {
                *label = labels[row.partner];
            }
        }
        batch.targets = Some(targets);
    }

    /// The targets of a batch, if any of its samples has one of its own.
    fn targets(&self, turns: &[&Turn<'_>]) -> Option<Vec<f32>> {
        let own: Vec<Option<Vec<f32>>> = turns.iter().map(|turn| turn.target()).collect();
        own.iter().any(Option::is_some).then(|| {
            let classes = self.source.class_names().len();
            let one_hot = |turn: &&Turn<'_>| one_hot(turn.label(), classes);
            own.into_iter().zip(turns).flat_map(|(own, turn)| own.unwrap_or_else(|| one_hot(turn))).collect()
        })
    }
}

/// 1 for the class `label`, 0 for the others.
fn one_hot(label: usize, classes: usize) -> Vec<f32> {
    let mut row = vec![0.0; classes];
    row[label] = 1.0;
    row
}

/// For each of `len` rows itself if it is good, else the next good one, around the end. `good` is ascending, not empty.
fn filled_up(good: &[usize], len: usize) -> Vec<usize> {
    (0..len).map(|row| good[good.partition_point(|g| *g < row) % good.len()]).collect()
}

/// The pixels of the chosen rows of a batch.
fn chosen(rows: &[usize], pixels: &[f32], sample_len: usize) -> Vec<f32> {
    rows.iter().flat_map(|row| &pixels[row * sample_len..(row + 1) * sample_len]).copied().collect()
}

/// The batches of one epoch, made ahead in the background. The first error ends it. Dropping it stops the work: it waits
/// for the samples in progress, and no thread is left behind.
pub struct EpochBatches {
    receiver: Option<Receiver<Result<Batch>>>,
    remaining: usize,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    start_error: Option<String>,
}

impl Iterator for EpochBatches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        match self.receiver.as_ref()?.recv() {
            Ok(Ok(batch)) => {
                self.remaining -= 1;
                Some(Ok(batch))
            }
            Ok(Err(error)) => {
                self.remaining = 0;
                Some(Err(error))
            }
            // The thread is gone before its last batch: an epoch must not end early in silence.
            Err(_) => {
                self.remaining = 0;
                Some(Err(Error::LoaderStopped { reason: self.why_stopped() }))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.remaining > 0), Some(self.remaining))
    }
}

impl EpochBatches {
    /// Batches still to come, if no error ends the epoch.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    fn why_stopped(&mut self) -> String {
        if let Some(error) = self.start_error.take() {
            return format!("its thread cannot be started: {error}");
        }
        let payload = self.thread.take().and_then(|thread| thread.join().err());
        let message = payload.as_ref().and_then(|payload| {
            payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied())
        });
        format!("a dataset or an op panicked: {}", message.unwrap_or("without a message"))
    }
}

impl Drop for EpochBatches {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Without a receiver, a thread that waits to send wakes up.
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // A panic was reported by `next`, or nobody asked.
        }
    }
}
