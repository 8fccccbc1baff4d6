//! A batch, and how it is assembled from samples and their pixels.

use tallow_augment::Size;
use tallow_augment::batch::{MixConfig, mix_pixels, mix_rows};
use tallow_base::rng;

use super::samples::PendingSample;

/// A batch of augmented, normalised images.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Normalised pixels, NHWC: sample, row, column, channel.
    pub pixels: Vec<f32>,
    /// The numbers of samples, rows, columns and channels.
    pub shape: (usize, usize, usize, usize),
    /// The class of each sample. A mixed image has the class with the larger share.
    pub labels: Vec<u32>,
    /// Targets `[n, classes]`, if labels alone are not enough: soft labels, multi-label data, mixed images.
    pub targets: Option<Vec<f32>>,
    /// The weight of each sample in the loss, if they differ.
    pub weights: Option<Vec<f32>>,
    /// The index of each sample in the dataset; for a stream, its position in the epoch.
    pub indices: Vec<usize>,
    /// The ids of streamed samples; empty for a dataset ([`Loader::ids`](crate::Loader::ids)).
    pub stream_ids: Vec<String>,
    /// The ids of samples that could not be read.
    pub skipped: Vec<String>,
}

impl Batch {
    /// The batch of the given `rows` of `samples`, whose pixels these are. `shape` is height, width, channels.
    pub(super) fn assemble(
        pixels: Vec<f32>,
        (height, width, channels): (usize, usize, usize),
        samples: &[PendingSample<'_>],
        rows: &[usize],
        classes: usize,
    ) -> Self {
        let samples: Vec<&PendingSample<'_>> = rows.iter().map(|row| &samples[*row]).collect();
        let weights: Vec<f32> = samples.iter().map(|sample| sample.weight()).collect();
        let is_streamed = |sample: &&&PendingSample<'_>| matches!(sample, PendingSample::Streamed { .. });
        Batch {
            pixels,
            shape: (samples.len(), height, width, channels),
            labels: samples.iter().map(|sample| sample.label() as u32).collect(),
            targets: targets(&samples, classes),
            weights: weights.iter().any(|weight| *weight != 1.0).then_some(weights),
            indices: samples.iter().map(|sample| sample.index()).collect(),
            stream_ids: samples.iter().filter(is_streamed).map(|sample| sample.id()).collect(),
            skipped: Vec::new(),
        }
    }

    /// Mixes the images, and their targets and weights with them.
    pub(super) fn mix(&mut self, config: &MixConfig, classes: usize, rng: &mut rng::Rng) {
        let (n, height, width, channels) = self.shape;
        let size = Size { height, width };
        let rows = config.draw(n, size, rng);
        mix_pixels(&rows, &mut self.pixels, size, channels);
        let one_hot = || self.labels.iter().flat_map(|label| one_hot(*label as usize, classes)).collect();
        let mut targets = self.targets.take().unwrap_or_else(one_hot);
        mix_rows(&rows, &mut targets, classes);
        if let Some(weights) = &mut self.weights {
            mix_rows(&rows, weights, 1);
        }
        // The label with the larger share; at equal shares each row keeps its own.
        let labels = self.labels.clone();
        for (row, label) in rows.iter().zip(&mut self.labels) {
            if row.own < 0.5 {
                *label = labels[row.partner];
            }
        }
        self.targets = Some(targets);
    }
}

/// The targets of a batch, if any sample has one.
fn targets(samples: &[&PendingSample<'_>], classes: usize) -> Option<Vec<f32>> {
    let own: Vec<Option<Vec<f32>>> = samples.iter().map(|sample| sample.target()).collect();
    own.iter().any(Option::is_some).then(|| {
        let one_hot = |sample: &&PendingSample<'_>| one_hot(sample.label(), classes);
        own.into_iter().zip(samples).flat_map(|(own, sample)| own.unwrap_or_else(|| one_hot(sample))).collect()
    })
}

/// 1 for the class `label`, 0 for the others.
fn one_hot(label: usize, classes: usize) -> Vec<f32> {
    let mut row = vec![0.0; classes];
    row[label] = 1.0;
    row
}

/// For each of `len` rows the row itself if it is readable, else the next readable one, cyclically. `readable` ascends
/// and is not empty.
pub(super) fn replace_missing(readable: &[usize], len: usize) -> Vec<usize> {
    (0..len).map(|row| readable[readable.partition_point(|r| *r < row) % readable.len()]).collect()
}

/// The pixels of the chosen rows of a batch.
pub(super) fn pixels_of_rows(rows: &[usize], pixels: &[f32], sample_len: usize) -> Vec<f32> {
    rows.iter().flat_map(|row| &pixels[row * sample_len..(row + 1) * sample_len]).copied().collect()
}
