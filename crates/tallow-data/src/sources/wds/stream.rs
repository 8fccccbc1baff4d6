//! Shards read from start to end: shuffled by shard, then in a buffer; without an index, at constant memory.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use image::DynamicImage;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};
use tallow_augment::rng;
use tar::Archive;

use super::index::label_of;
use super::info::Info;
use super::walk::{Keys, damaged, walk};
use crate::sources::classes::Classes;
use crate::sources::paths::{self, Split};
use crate::{Error, OpenOptions, Result, decode};

/// How shards are streamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamConfig {
    /// Samples in the buffer that the next one is drawn from; 0 or 1: as they lie. Memory is this many image files.
    pub buffer: usize,
    /// Samples in the buffer before the first is drawn: what the first batch waits for. The buffer fills up later.
    pub initial: usize,
    /// Whether the shards come in another order each epoch.
    pub shuffle_shards: bool,
    /// The seed of both orders.
    pub seed: u64,
    /// Of how many readers this is which (from 0): reader `i` of `n` takes each `n`-th shard of the epoch's order.
    pub part: (usize, usize),
}

impl Default for StreamConfig {
    /// A buffer of 1,000 samples that starts with 100, shards shuffled, seed 0, one reader.
    fn default() -> Self {
        Self { buffer: 1000, initial: 100, shuffle_shards: true, seed: 0, part: (0, 1) }
    }
}

/// A sample of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSample {
    /// The image file.
    pub bytes: Vec<u8>,
    /// The class.
    pub label: usize,
    /// The shard and the sample's key.
    pub id: String,
}

impl StreamSample {
    /// Decodes the image.
    ///
    /// # Errors
    /// As [`decode_bytes`](crate::decode::decode_bytes).
    pub fn image(&self) -> Result<DynamicImage> {
        decode::decode_bytes(&self.bytes, Path::new(&self.id))
    }
}

/// The samples of shards, epoch by epoch, read by one background thread. The order depends on the shards, the
/// configuration and the epoch alone.
pub struct ShardStream {
    shards: Vec<PathBuf>,
    classes: Vec<String>,
    keys: Keys,
    config: StreamConfig,
}

impl ShardStream {
    /// The training shards of `spec` (braces, patterns, or a folder). The classes are those of the options, or of
    /// `_info.json` or `classnames.txt` beside the shards: what the labels are is not known before all were read.
    ///
    /// # Errors
    /// No shards, no classes, a part that is none.
    pub fn open(spec: &str, options: &OpenOptions, config: StreamConfig) -> Result<Self> {
        let (index, parts) = config.part;
        if index >= parts {
            let expected = format!("below the number of readers, {parts}");
            return Err(Error::Option { field: "part", expected, found: index.to_string() });
        }
        let path = Path::new(spec);
        let files = if path.is_dir() { paths::below(path, &[super::EXTENSION])? } else { paths::expand(spec)? };
        let root = if path.is_dir() { path } else { Path::new("") };
        let info = Info::beside(&files, root)?;
        let split_of = |path: &Path| info.split_of(path).or_else(|| Split::of(path, root));
        let is_train = |path: &PathBuf| matches!(split_of(path), None | Some(Split::Train));
        let shards: Vec<PathBuf> = files.into_iter().filter(is_train).collect();
        let Some(first) = shards.first() else {
            return Err(Error::NoImages { path: path.into(), expected: "training shards (.tar)" });
        };
        let label_key = info.label_key(first).map(String::from);
        let classes = options.classes.clone().or(info.class_names).ok_or_else(|| {
            Error::format(path, "class_names in _info.json, or classnames.txt, beside the shards", "neither")
        })?;
        Ok(Self { shards, classes, keys: Keys::new(options, label_key.as_deref()), config })
    }

    /// The classes' names.
    pub fn class_names(&self) -> &[String] {
        &self.classes
    }

    /// The samples of an epoch; the first error ends it. Starts to read at once; dropping it ends the reading.
    pub fn epoch(&self, epoch: u64) -> EpochSamples {
        let StreamConfig { buffer, initial, shuffle_shards, seed, part: (index, parts) } = self.config;
        let mut shards = self.shards.clone();
        if shuffle_shards {
            shards.shuffle(&mut rng::keyed(seed, epoch, 1, rng::SHUFFLE));
        }
        let shards: Vec<PathBuf> = shards.into_iter().skip(index).step_by(parts).collect();
        // A few samples ahead: the reader works while the last sample is decoded.
        let (sender, receiver) = sync_channel(64);
        let (classes, keys) = (Classes::given(self.classes.clone()), self.keys.clone());
        let failed = sender.clone();
        let thread = std::thread::Builder::new().name("tallow-shards".into()).spawn(move || {
            for shard in shards {
                match send_samples(&shard, &keys, &classes, &sender) {
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
        let rng = rng::keyed(seed, epoch, 2 + index as u64, rng::SHUFFLE);
        let size = buffer.max(1);
        EpochSamples { receiver: Some(receiver), buffer: Vec::new(), size, initial: initial.clamp(1, size), rng }
    }
}

/// Sends a shard's samples; false if nobody wants them.
fn send_samples(
    path: &Path,
    keys: &Keys,
    classes: &Classes,
    sender: &SyncSender<Result<StreamSample>>,
) -> Result<bool> {
    let file = File::open(path).map_err(Error::io(path))?;
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
    let mut wanted = true;
    walk(entries, path, keys, content, |sample| {
        if sample.label.starts_with('-') {
            return Ok(true);
        }
        let label = label_of(&sample.label, classes, classes, path)? as usize;
        let sample = StreamSample { bytes: sample.image, label, id: format!("{shard}/{}", sample.key) };
        wanted = sender.send(Ok(sample)).is_ok();
        Ok(wanted)
    })?;
    Ok(wanted)
}

/// The samples of one epoch of a [`ShardStream`].
pub struct EpochSamples {
    /// `None` when all were read, or after an error.
    receiver: Option<Receiver<Result<StreamSample>>>,
    buffer: Vec<StreamSample>,
    size: usize,
    initial: usize,
    rng: rng::Rng,
}

impl Iterator for EpochSamples {
    type Item = Result<StreamSample>;

    fn next(&mut self) -> Option<Self::Item> {
        // As `webdataset` fills its buffer: two samples come for each that goes, until it is full.
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
