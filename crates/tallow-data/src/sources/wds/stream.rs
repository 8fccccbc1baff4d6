//! Shards read from start to end in constant memory, without an index: shuffled by shard, then in a buffer.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use image::DynamicImage;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use tallow_augment::PixelRule;
use tallow_base::rng;
use tar::Archive;

use super::index::label_of;
use super::info::Info;
use super::remote::{Remote, shown};
use super::walk::{Keys, SAMPLES, damaged, means_none, walk};
use crate::dataset::Dataset;
use crate::decode;
use crate::error::{Error, Result};
use crate::options::OpenOptions;
use crate::sources::classes::Classes;
use crate::sources::paths::{self, address};
use crate::stream::{SampleStream, StreamConfig, StreamSample};

/// The samples of WebDataset shards, epoch by epoch, read by a background thread. The order depends on the shards, the
/// configuration and the epoch alone.
#[derive(Clone)]
pub struct ShardStream {
    shards: Arc<[PathBuf]>,
    info: Arc<Info>,
    /// The classes that label numbers count, and the classes in use.
    classes: Arc<(Classes, Classes)>,
    keys: Keys,
    /// Replaces the number of samples in `_info.json`.
    samples_per_epoch: Option<usize>,
    pixel_rule: PixelRule,
    config: StreamConfig,
}

impl ShardStream {
    /// Streams the training shards of `spec`: a folder, files with braces and wildcards, or `http(s)://` addresses. The
    /// class names come from the options, or from `_info.json` or `classnames.txt` beside the shards or in
    /// `options.data_dir`: a stream does not read all labels in advance.
    ///
    /// # Errors
    /// There are no shards or no class names; `config.part` is out of range.
    pub fn open(spec: &str, options: &OpenOptions, config: StreamConfig) -> Result<Self> {
        let path = Path::new(spec);
        let files = if path.is_dir() { paths::below(path, &[paths::SHARD])? } else { paths::expand(spec)? };
        let root = if path.is_dir() { path } else { Path::new("") };
        let info = Info::beside(&files, root, options.data_dir.as_deref())?;
        let [train, ..] = info.by_split(&files, root);
        Self::of(train, &info, path, options, config)
    }

    /// A stream of these shards; `at` is the place that was searched, for messages.
    pub(super) fn of(
        shards: Vec<PathBuf>,
        info: &Info,
        at: &Path,
        options: &OpenOptions,
        config: StreamConfig,
    ) -> Result<Self> {
        let (index, parts) = config.part;
        if index >= parts {
            let expected = format!("below the number of readers, {parts}");
            return Err(Error::Option { field: "part", expected, found: index.to_string() });
        }
        let Some(first) = shards.first() else {
            return Err(Error::NoImages { path: at.into(), expected: "training shards (.tar)" });
        };
        let own = info.class_names.clone().or(options.classes.clone()).ok_or_else(|| {
            let expected = "the class names, which a stream must know in advance: \"class_names\" in _info.json, or \
                            classnames.txt with one name per line in the labels' order, beside the shards or in data_dir";
            Error::format(first, expected, "neither")
        })?;
        let own = Classes::given(own);
        let in_use = own.in_use(options.classes.as_deref());
        Ok(Self {
            keys: Keys::new(options, info.label_key(first)),
            shards: shards.into(),
            info: Arc::new(info.clone()),
            classes: Arc::new((own, in_use)),
            samples_per_epoch: options.samples_per_epoch,
            pixel_rule: options.pixel_rule,
            config,
        })
    }

    /// The classes that label numbers count, and the classes in use.
    pub(super) fn classes(&self) -> (&Classes, &Classes) {
        (&self.classes.0, &self.classes.1)
    }

    /// One pass over the samples in the order of an epoch. The first error ends it. Reading starts at once and ends
    /// when the iterator is dropped.
    pub fn epoch(&self, epoch: u64) -> EpochSamples {
        self.pass(epoch, 0)
    }

    fn pass(&self, epoch: u64, pass: u64) -> EpochSamples {
        let StreamConfig { buffer, initial, shuffle_shards, seed, part: (index, parts) } = self.config;
        let mut shards = self.shards.to_vec();
        // The first pass has the order that `run_shuffled` gives the same shards when they are indexed.
        let of_pass = pass << 32;
        if shuffle_shards {
            shards.shuffle(&mut rng::keyed(seed, epoch, of_pass + 1, rng::SHUFFLE));
        }
        let shards: Vec<PathBuf> = shards.into_iter().skip(index).step_by(parts).collect();
        // The thread reads a few samples ahead while earlier ones are decoded.
        let (sender, receiver) = sync_channel(64);
        let (stream, failed) = (self.clone(), sender.clone());
        let thread = std::thread::Builder::new().name("tallow-shards".into()).spawn(move || {
            for shard in shards {
                match stream.send_samples(&shard, &sender) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        let _ = sender.send(Err(error));
                        return;
                    }
                }
            }
        });
        if let Err(error) = thread {
            let _ = failed.try_send(Err(Error::LoaderStopped { reason: error.to_string() }));
        }
        let rng = rng::keyed(seed, epoch, of_pass + 2 + index as u64, rng::SHUFFLE);
        let size = buffer.max(1);
        EpochSamples { receiver: Some(receiver), buffer: Vec::new(), size, initial: initial.clamp(1, size), rng }
    }

    /// Sends the samples of a shard. Returns false if the receiver is gone.
    fn send_samples(&self, path: &Path, sender: &SyncSender<Result<StreamSample>>) -> Result<bool> {
        let file: Box<dyn Read> = match address(path) {
            Some(address) => Box::new(Remote::open(address)?),
            None => Box::new(File::open(path).map_err(Error::io(path))?),
        };
        // The name for messages.
        let named = address(path).map_or_else(|| path.to_path_buf(), |address| PathBuf::from(shown(address)));
        let path = &named;
        let mut archive = Archive::new(BufReader::with_capacity(1 << 20, file));
        let entries = archive.entries().map_err(|error| damaged(path, &error))?;
        let shard = path.file_name().unwrap_or_default().to_string_lossy();
        let content = |entry: &mut tar::Entry<'_, _>| {
            if entry.size() > decode::MAX_FILE_BYTES {
                let reason = format!("an image has {} MB", entry.size() >> 20);
                return Err(Error::TooLarge { path: path.into(), reason });
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|error| damaged(path, &error))?;
            if bytes.len() as u64 != entry.size() {
                let expected = entry.size().to_string();
                return Err(Error::Size { path: path.into(), expected, found: bytes.len() as u64 });
            }
            Ok(bytes)
        };
        let (mut wanted, mut samples) = (true, 0);
        let (own, in_use) = self.classes();
        walk(entries, path, &self.keys, content, |sample| {
            samples += 1;
            if means_none(&sample.label) {
                return Ok(true);
            }
            let label = label_of(&sample.label, own, in_use, path)? as usize;
            let id = format!("{shard}/{}", sample.key);
            let sample = StreamSample { bytes: sample.image, label, id, pixel_rule: self.pixel_rule };
            wanted = sender.send(Ok(sample)).is_ok();
            Ok(wanted)
        })?;
        if wanted {
            self.info.check(path, samples)?;
        }
        Ok(wanted)
    }
}

impl SampleStream for ShardStream {
    fn class_names(&self) -> &[String] {
        &self.classes.1.names
    }

    fn shards(&self) -> &[PathBuf] {
        &self.shards
    }

    /// `options.samples_per_epoch`, else the number in `_info.json`.
    fn samples(&self) -> Result<usize> {
        self.samples_per_epoch.or_else(|| self.info.samples(&self.shards)).ok_or_else(|| Error::Option {
            field: "samples_per_epoch",
            expected: format!("given: no _info.json counts the samples of the {} training shards", self.shards.len()),
            found: "none".into(),
        })
    }

    fn with_config(&self, config: StreamConfig) -> Arc<dyn SampleStream> {
        Arc::new(Self { config, ..self.clone() })
    }

    fn first(&self, epoch: u64, samples: usize) -> Box<dyn Iterator<Item = Result<StreamSample>> + Send> {
        let stream = self.clone();
        let (mut pass, mut left, mut empty) = (0, samples, true);
        let mut current = None;
        Box::new(std::iter::from_fn(move || {
            while left > 0 {
                match current.get_or_insert_with(|| stream.pass(epoch, pass)).next() {
                    Some(sample) => {
                        left = if sample.is_ok() { left - 1 } else { 0 };
                        empty = false;
                        return Some(sample);
                    }
                    None if empty => {
                        left = 0;
                        return Some(Err(Error::NoImages { path: stream.shards[0].clone(), expected: SAMPLES }));
                    }
                    None => (pass, empty, current) = (pass + 1, true, None),
                }
            }
            None
        }))
    }
}

/// The training split of a streamed dataset as an indexed one: the class names, and no samples.
pub(super) struct NoSamples(pub Arc<[String]>);

impl Dataset for NoSamples {
    fn len(&self) -> usize {
        0
    }

    fn class_names(&self) -> &[String] {
        &self.0
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn image(&self, index: usize) -> Result<DynamicImage> {
        let expected = "the index of a sample, but the samples are streamed".into();
        Err(Error::Option { field: "index", expected, found: index.to_string() })
    }

    fn id(&self, index: usize) -> String {
        index.to_string()
    }

    /// As of indexed shards.
    fn channels(&self) -> usize {
        3
    }
}

/// The samples of one pass of a [`ShardStream`].
pub struct EpochSamples {
    /// `None` after the last sample, or after an error.
    receiver: Option<Receiver<Result<StreamSample>>>,
    buffer: Vec<StreamSample>,
    size: usize,
    initial: usize,
    rng: rng::Rng,
}

impl Iterator for EpochSamples {
    type Item = Result<StreamSample>;

    fn next(&mut self) -> Option<Self::Item> {
        // As in `webdataset`: two samples are read for each one drawn, until the buffer is full.
        let wanted = if self.buffer.len() < self.initial { self.initial } else { self.buffer.len() + 2 };
        while self.buffer.len() < wanted.min(self.size) {
            match self.receiver.as_ref().map(Receiver::recv) {
                Some(Ok(Ok(sample))) => self.buffer.push(sample),
                Some(Ok(Err(error))) => {
                    self.receiver = None;
                    self.buffer.clear();
                    return Some(Err(error));
                }
                Some(Err(_)) | None => {
                    self.receiver = None;
                    break;
                }
            }
        }
        if self.buffer.is_empty() {
            return None;
        }
        let drawn = if self.size > 1 { self.rng.random_range(0..self.buffer.len() as u64) as usize } else { 0 };
        Some(Ok(self.buffer.swap_remove(drawn)))
    }
}
