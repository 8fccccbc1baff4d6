//! Predictions for image files, thousands of them: decoded ahead in parallel, computed in batches, answered in order.
//!
//! ```text
//! names (a thread) ──► files decoded on a pool, a batch ahead ──► a batch through the model ──► answers in order
//! ```
//!
//! Memory does not grow with the number of files: a batch ends at 256 images or at 128 MB of pixels, and two batches exist at
//! a time. If names come slowly, a batch ends as soon as none is waiting, so that an answer never waits for
//! the next name.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use image::DynamicImage;
use rayon::prelude::*;
use tallow_data::decode::decode_file;
use tallow_nn::keep_packed_weights;

use crate::{Error, Predictor, Result};

/// The most images of a batch.
const BATCH: usize = 256;
/// The pixels, in bytes, at which a batch ends.
const BATCH_BYTES: usize = 128 << 20;
/// The most files that each thread decodes between two looks at the size of the batch.
const PER_THREAD: usize = 16;
/// The names that wait at most.
const NAMES_AHEAD: usize = 1024;
/// How long a batch waits for a further name.
const PATIENCE: Duration = Duration::from_millis(5);

/// A file to classify, or a name that stands for no file, with the reason.
pub type ImageName = std::result::Result<PathBuf, (PathBuf, tallow_data::Error)>;

/// A decoded file, or why it could not be decoded.
type Decoded = (PathBuf, Result<DynamicImage>);

impl Predictor {
    /// Calls `answer` with the probabilities of each file, one after another in the order of `names`. A file that cannot be
    /// read, or that the preprocessing refuses, gets its error; the others are answered.
    ///
    /// # Errors
    /// The error of `answer`, which ends the work; threads that cannot be started.
    pub fn predict_files<E: From<Error>>(
        &self,
        names: impl Iterator<Item = ImageName> + Send + 'static,
        mut answer: impl FnMut(PathBuf, Result<Vec<f32>>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let _kept = keep_packed_weights();
        let (name_sender, waiting) = sync_channel(NAMES_AHEAD);
        let (batch_sender, batches) = sync_channel(0);
        // Detached, not scoped: reading names may block for ever when an error ends the work.
        let naming = start("names", move || send_all(names, &name_sender))?;
        let pool = rayon::ThreadPoolBuilder::new().thread_name(|i| format!("tallow-decode-{i}")).num_threads(threads());
        let pool = pool.build().map_err(|error| stopped(error.to_string()))?;
        let decoding = start("decode", move || decode_ahead(&waiting, &pool, &batch_sender))?;
        for batch in batches {
            self.answer_batch(batch, &mut answer)?;
        }
        for (what, thread) in [("the names", naming), ("decoding", decoding)] {
            // Without this, rows would be missing at the end and nothing would say so.
            thread.join().map_err(|_| stopped(format!("the thread of {what} panicked")))?;
        }
        Ok(())
    }

    /// The probabilities of each image. An image that the preprocessing or the model refuses gets its error; the others are
    /// answered.
    pub fn probabilities_each(&self, images: &[DynamicImage]) -> Vec<Result<Vec<f32>>> {
        if images.is_empty() {
            return Vec::new();
        }
        match self.probabilities(images) {
            Ok(all) => all.chunks_exact(self.classes().len().max(1)).map(|row| Ok(row.to_vec())).collect(),
            Err(Error::Image { source, .. }) if images.len() == 1 => vec![Err(source.into())],
            Err(error) if images.len() == 1 => vec![Err(error)],
            Err(_) => {
                let (left, right) = images.split_at(images.len() / 2);
                [self.probabilities_each(left), self.probabilities_each(right)].into_iter().flatten().collect()
            }
        }
    }

    fn answer_batch<E>(
        &self,
        batch: Vec<Decoded>,
        answer: &mut impl FnMut(PathBuf, Result<Vec<f32>>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut images = Vec::with_capacity(batch.len());
        let mut rows = Vec::with_capacity(batch.len());
        for (path, decoded) in batch {
            rows.push((path, decoded.map(|image| images.push(image)).err()));
        }
        let mut told = self.probabilities_each(&images).into_iter();
        drop(images);
        for (path, error) in rows {
            let row = match error {
                Some(error) => Err(error),
                None => told.next().unwrap_or_else(|| Err(stopped("an image has no probabilities".into()))),
            };
            answer(path, row)?;
        }
        Ok(())
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn stopped(reason: String) -> Error {
    Error::Data(tallow_data::Error::LoaderStopped { reason })
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    Builder::new().name(format!("tallow-{name}")).spawn(work).map_err(|error| stopped(error.to_string()))
}

fn send_all(names: impl Iterator<Item = ImageName>, to: &SyncSender<ImageName>) {
    for name in names {
        if to.send(name).is_err() {
            return; // nobody wants more
        }
    }
}

/// Decodes the files of `names` in their order and sends them in batches.
fn decode_ahead(names: &Receiver<ImageName>, pool: &rayon::ThreadPool, batches: &SyncSender<Vec<Decoded>>) {
    let threads = pool.current_num_threads();
    loop {
        let (mut batch, mut bytes) = (Vec::new(), 0usize);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            // As many as fit, if they are as large as those before.
            let mean = bytes.checked_div(batch.len()).unwrap_or(BATCH_BYTES).max(1);
            let fit = ((BATCH_BYTES - bytes) / mean).clamp(threads, PER_THREAD * threads);
            let round = next_names(names, batch.is_empty(), fit.min(BATCH - batch.len()));
            if round.is_empty() {
                break;
            }
            let decoded: Vec<Decoded> = pool.install(|| round.into_par_iter().map(decode).collect());
            bytes += decoded.iter().filter_map(|(_, image)| Some(image.as_ref().ok()?.as_bytes().len())).sum::<usize>();
            batch.extend(decoded);
        }
        if batch.is_empty() || batches.send(batch).is_err() {
            return;
        }
    }
}

/// Up to `most` names that are waiting. The first is waited for if `wait`; none are left if the result is then empty.
fn next_names(names: &Receiver<ImageName>, wait: bool, most: usize) -> Vec<ImageName> {
    let mut taken = Vec::new();
    while taken.len() < most {
        let next = match wait && taken.is_empty() {
            true => names.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => names.recv_timeout(PATIENCE),
        };
        match next {
            Ok(name) => taken.push(name),
            Err(_) => break,
        }
    }
    taken
}

fn decode(name: ImageName) -> Decoded {
    match name {
        Ok(path) => {
            let image = decode_file(&path).map_err(Error::from);
            (path, image)
        }
        Err((path, error)) => (path, Err(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Names with their decoded sizes, batch by batch.
    fn batches_of(names: Vec<ImageName>) -> Vec<Vec<(PathBuf, Option<u32>)>> {
        let (sender, waiting) = channel();
        names.into_iter().for_each(|name| sender.send(name).unwrap());
        drop(sender);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let (to, batches) = sync_channel(1000);
        decode_ahead(&waiting, &pool, &to);
        drop(to);
        let width = |(path, image): Decoded| (path, image.ok().map(|image| image.width()));
        batches.into_iter().map(|batch| batch.into_iter().map(width).collect()).collect()
    }

    #[test]
    fn batches_are_bounded_and_keep_order_and_bad_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |i: u32| folder.path().join(format!("{i}.png"));
        for i in 1..=9 {
            image::GrayImage::new(i, 1).save(path(i)).unwrap();
        }
        let names: Vec<ImageName> = (0..600).map(|i| Ok(path(i % 10))).collect();
        let batches = batches_of(names);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [256, 256, 88]);
        let widths: Vec<_> = batches.concat();
        for (i, (name, width)) in widths.into_iter().enumerate() {
            let expected = i as u32 % 10;
            assert_eq!((name, width), (path(expected), (expected > 0).then_some(expected)));
        }
    }

    #[test]
    fn large_images_end_a_batch_before_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.png");
        // 16 MB of pixels each: three in the first round, then the five that still fit.
        image::GrayImage::new(4096, 4096).save(&large).unwrap();
        let batches = batches_of((0..14).map(|_| Ok(large.clone())).collect());
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [8, 6]);
    }
}
