//! Training samples that are streamed: read once per epoch, in order, without an index.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::DynamicImage;
use serde::{Deserialize, Serialize};
use tallow_augment::PixelRule;

use crate::decode;
use crate::error::Result;

/// A source of training samples without random access. The order of an epoch depends on the source, the
/// [`StreamConfig`] and the epoch alone.
pub trait SampleStream: Send + Sync {
    /// The class names; a label is an index into them.
    fn class_names(&self) -> &[String];

    /// The files or addresses that are read.
    fn shards(&self) -> &[PathBuf];

    /// The number of samples in an epoch.
    ///
    /// # Errors
    /// The number is unknown.
    fn samples(&self) -> Result<usize>;

    /// The same samples in another order.
    fn with_config(&self, config: StreamConfig) -> Arc<dyn SampleStream>;

    /// The first `samples` samples of an epoch. A stream with fewer samples is read again, in another order.
    fn first(&self, epoch: u64, samples: usize) -> Box<dyn Iterator<Item = Result<StreamSample>> + Send>;
}

/// The order in which shards are streamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamConfig {
    /// The size of the shuffle buffer, in samples; 0 or 1 keeps the order of the shards. The buffer holds undecoded
    /// image files.
    pub buffer: usize,
    /// The number of samples in the buffer before the first is drawn. The first batch waits for them; the buffer fills
    /// up later.
    pub initial: usize,
    /// Whether the shards are shuffled in each epoch.
    pub shuffle_shards: bool,
    /// The seed of both shuffles.
    pub seed: u64,
    /// `(i, n)`: this is reader `i` (counted from 0) of `n` readers; it reads every `n`-th shard of the epoch's order.
    pub part: (usize, usize),
}

impl Default for StreamConfig {
    /// A buffer of 1,000 samples that starts with 100, shuffled shards, seed 0, one reader.
    fn default() -> Self {
        Self { buffer: 1000, initial: 100, shuffle_shards: true, seed: 0, part: (0, 1) }
    }
}

/// A sample of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSample {
    /// The content of the image file.
    pub bytes: Vec<u8>,
    /// The class.
    pub label: usize,
    /// The shard and the sample's key in it.
    pub id: String,
    /// The conversion of the image to 8-bit pixels.
    pub pixel_rule: PixelRule,
}

impl StreamSample {
    /// Decodes the image.
    ///
    /// # Errors
    /// As [`decode_bytes`](crate::decode::decode_bytes).
    pub fn image(&self) -> Result<DynamicImage> {
        Ok(self.pixel_rule.apply(decode::decode_bytes(&self.bytes, Path::new(&self.id))?))
    }
}
