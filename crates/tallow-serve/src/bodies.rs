//! Receiving bodies in bounded memory: what has arrived counts, not what a head announces, and slow bodies end early.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::options::Options;
use crate::rejection::Rejection;

/// Memory is allocated in blocks of this many bytes. Copying into blocks frees the connection's own buffers, of which a
/// client that sends single bytes would hold many.
const BLOCK: usize = 64 << 10;
/// The blocks of a body that are counted as small.
const SMALL_BLOCKS: usize = 8;
/// What a body must bring in each window of time.
const WINDOW_BYTES: usize = 16 << 10;

/// The memory for the bodies of all requests. A permit is a block.
pub(crate) struct Bodies {
    /// For the first blocks of each body.
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Bodies {
    pub fn new(options: &Options) -> Self {
        let small = (options.max_bodies_bytes / 4).div_ceil(BLOCK).max(1);
        // One body of the largest size always fits.
        let large = (options.max_bodies_bytes / 4 * 3).max(options.max_body_bytes).div_ceil(BLOCK);
        let pool = |blocks: usize| Arc::new(Semaphore::new(blocks.min(Semaphore::MAX_PERMITS)));
        Self { small: pool(small), large: pool(large) }
    }

    /// Reads a body.
    pub async fn receive(&self, headers: &HeaderMap, body: Body, options: &Options) -> Result<Received, Rejection> {
        let limit = options.max_body_bytes;
        let too_large = || {
            let megabytes = limit as f64 / f64::from(1 << 20);
            Rejection::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body exceeds the limit of {megabytes} MB"))
        };
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            return Err(too_large());
        }
        let late = |reason: String| Rejection::new(StatusCode::REQUEST_TIMEOUT, reason);
        let deadline = Instant::now() + options.body_timeout;
        let mut received = Received::default();
        let mut frames = body.into_data_stream();
        let (mut window_end, mut brought) = (Instant::now() + options.body_window, 0);
        loop {
            let Ok(frame) = timeout_at(window_end.min(deadline), frames.next()).await else {
                let window = options.body_window;
                if Instant::now() >= deadline {
                    return Err(late(format!("the body did not arrive within {:?}", options.body_timeout)));
                }
                if brought < WINDOW_BYTES {
                    return Err(late(format!("the body is too slow: {brought} bytes arrived within {window:?}")));
                }
                (window_end, brought) = (Instant::now() + window, 0);
                continue;
            };
            let Some(frame) = frame else { return Ok(received) };
            let broken =
                |error: axum::Error| Rejection::new(StatusCode::BAD_REQUEST, format!("no whole body: {error}"));
            let frame = frame.map_err(broken)?;
            brought += frame.len();
            if received.bytes + frame.len() > limit {
                return Err(too_large());
            }
            if !received.append(&frame, self) {
                let full = "the bodies of other requests fill the memory for them; try again later";
                return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, full));
            }
        }
    }
}

/// A body that has arrived.
#[derive(Default)]
pub(crate) struct Received {
    blocks: Vec<Vec<u8>>,
    bytes: usize,
    held: Held,
}

/// The permits for the memory of a body, released when this is dropped.
#[derive(Default)]
pub(crate) struct Held {
    small: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl Received {
    /// Appends bytes. Returns false if there is no memory for them.
    fn append(&mut self, mut bytes: &[u8], bodies: &Bodies) -> bool {
        while !bytes.is_empty() {
            if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
                let Held { small, large } = &mut self.held;
                let (pool, held) = match self.blocks.len() < SMALL_BLOCKS {
                    true => (&bodies.small, small),
                    false => (&bodies.large, large),
                };
                let Ok(permit) = pool.clone().try_acquire_owned() else { return false };
                match held {
                    Some(held) => held.merge(permit),
                    None => *held = Some(permit),
                }
                self.blocks.push(Vec::with_capacity(BLOCK));
            }
            if let Some(block) = self.blocks.last_mut() {
                let (now, later) = bytes.split_at(bytes.len().min(BLOCK - block.len()));
                block.extend_from_slice(now);
                self.bytes += now.len();
                bytes = later;
            }
        }
        true
    }

    /// The body in one piece.
    pub fn into_bytes(mut self) -> (Bytes, Held) {
        if self.blocks.len() == 1 {
            return (self.blocks.remove(0).into(), self.held);
        }
        let mut whole = Vec::with_capacity(self.bytes);
        for block in self.blocks {
            whole.extend_from_slice(&block);
        }
        (whole.into(), self.held)
    }

    /// The body in pieces, each freed when it was taken.
    pub fn into_stream(self) -> (impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static, Held) {
        (stream::iter(self.blocks.into_iter().map(|block| Ok(Bytes::from(block)))), self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_their_memory_and_give_it_back() {
        let bodies = Bodies::new(&Options { max_bodies_bytes: 4 << 20, max_body_bytes: 1 << 20, ..Options::default() });
        let megabyte: Vec<u8> = (0..1 << 20).map(|i| (i % 251) as u8).collect();
        // 512 KB of each are small, and 1 MB is for these: the third large body does not fit, nor does a small one.
        let receive = |bytes: &[u8]| {
            let mut received = Received::default();
            bytes.chunks(1000).all(|part| received.append(part, &bodies)).then_some(received)
        };
        let (first, second) = (receive(&megabyte).expect("memory"), receive(&megabyte).expect("memory"));
        assert!(receive(&[1]).is_none());
        let (whole, held) = first.into_bytes();
        assert!(whole == megabyte);
        assert!(receive(&[1]).is_none(), "the memory is held");
        drop(held);
        let third = receive(&megabyte).expect("memory");
        let (_parts, held) = third.into_stream();
        drop((held, second));
        assert_eq!((bodies.small.available_permits(), bodies.large.available_permits()), (16, 48));
    }
}
