//! The limits of the server, and who may use it.

use std::time::Duration;

/// The limits of the server, and who may use it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The maximum number of images in a batch.
    pub max_batch: usize,
    /// The maximum size of a request's body, in bytes; a larger one is answered with 413.
    pub max_body_bytes: usize,
    /// The memory for the bodies of all requests together, in bytes; a body for which none is left is answered with 503.
    /// A quarter is for the first 512 KB of each body, so that small requests pass beside large ones.
    pub max_bodies_bytes: usize,
    /// The maximum number of requests to `/predict` whose bodies have arrived; one more is answered with 503.
    pub max_requests: usize,
    /// The maximum time in which a request's body must arrive; a later one is answered with 408.
    pub body_timeout: Duration,
    /// A body that brings less than 16 KB in this time, and does not end, is answered with 408.
    pub body_window: Duration,
    /// The maximum time in which a request's head must arrive, after which the connection is closed.
    pub head_timeout: Duration,
    /// The maximum time for requests in progress when the server stops.
    pub stop_timeout: Duration,
    /// The names under which the server is reached, or `*` for any. IP addresses, `localhost` and names without a dot are
    /// accepted besides. A request for another name is answered with 421: a web page may have pointed its own name at
    /// this server (DNS rebinding).
    pub hosts: Vec<String>,
    /// The origins (`https://example.org`) whose web pages may send requests and read the responses, or `*` for all.
    /// A `POST` by a page of another origin is answered with 403.
    pub cors: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_batch: 32,
            max_body_bytes: 32 << 20,
            max_bodies_bytes: 256 << 20,
            max_requests: 64,
            body_timeout: Duration::from_secs(30),
            body_window: Duration::from_secs(2),
            head_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            hosts: Vec::new(),
            cors: Vec::new(),
        }
    }
}
