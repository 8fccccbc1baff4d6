//! The state that the handlers share.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::batching::Job;
use crate::bodies::Bodies;
use crate::monitor::Monitor;
use crate::options::Options;

/// The memory for decoded images that wait, in MB; a single decoded image has at most 512 MB.
pub(crate) const PICTURES_MB: usize = 1024;

/// The state that the handlers share.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) classes: Vec<String>,
    pub(crate) queue: mpsc::Sender<Job>,
    /// Places for requests whose bodies have arrived.
    pub(crate) requests: Semaphore,
    pub(crate) bodies: Bodies,
    pub(crate) decoders: Semaphore,
    /// The memory for decoded images, in MB.
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) options: Options,
}
