//! The batches of an epoch, received from the background thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::batch::Batch;
use crate::error::{Error, Result};

/// The batches of one epoch, made ahead in a background thread. The first error ends it. Dropping it stops the thread
/// after the samples in progress, and waits for it.
pub struct EpochBatches {
    receiver: Option<Receiver<Result<Batch>>>,
    remaining: usize,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    start_error: Option<String>,
}

impl EpochBatches {
    /// Runs `send` in a background thread. It sends `batches` batches, of which `prefetch` wait at most, and returns
    /// early when its flag is set.
    pub(super) fn start(
        batches: usize,
        prefetch: usize,
        send: impl FnOnce(&SyncSender<Result<Batch>>, &AtomicBool) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = sync_channel(prefetch);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("tallow-loader".into()).spawn({
            let stop = stop.clone();
            move || send(&sender, &stop)
        });
        let (thread, start_error) = match thread {
            Ok(thread) => (Some(thread), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self { receiver: Some(receiver), remaining: batches, stop, thread, start_error }
    }

    /// The number of batches to come, unless an error ends the epoch.
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
            // The thread ended before its last batch: report it, so that the epoch does not end early unnoticed.
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

impl Drop for EpochBatches {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes a thread that waits to send.
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // `next` reports a panic
        }
    }
}
