//! Shards at an `http(s)://` address, read while they arrive; nothing is stored.

use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::http::Response;
use ureq::http::header::{CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE, RETRY_AFTER};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, BodyReader, RequestBuilder};

use crate::error::{Error, Result};

/// The number of times that a broken connection is reopened without receiving a byte in between.
const ATTEMPTS: u32 = 5;
/// The wait before the second attempt; it doubles with each further one.
const WAIT: Duration = Duration::from_millis(250);
/// The longest wait that a server may ask for; beyond it the request fails.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// A connection is broken if no byte arrives for this long.
const SILENCE: Duration = Duration::from_secs(30);
/// The largest `_info.json` or list of classes that is read.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// The address of a file beside this one.
pub(super) fn beside(address: &str, name: &str) -> String {
    let file = address.split(['?', '#']).next().unwrap_or(address);
    format!("{}/{name}", file.rsplit_once('/').map_or(file, |(folder, _)| folder))
}

/// An address for messages: without the query, which often holds a signature, and without a password.
pub(super) fn shown(address: &str) -> String {
    let address = address.split(['?', '#']).next().unwrap_or(address);
    let Some((scheme, rest)) = address.split_once("://") else { return address.into() };
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    format!("{scheme}://{}{path}", host.rsplit('@').next().unwrap_or(host))
}

/// The text at an address; `None` if the server does not have it.
pub(super) fn text(address: &str) -> Result<Option<String>> {
    match with_attempts(|| get(address, |request| request)) {
        Ok(reply) => {
            let text = reply.into_body().into_with_config().limit(MAX_TEXT_BYTES).read_to_string();
            text.map(Some).map_err(|error| failed(address, &error.into()))
        }
        // Object stores without public listing answer 403 for a missing file.
        Err(Failure::Status { code: 403 | 404 | 410, .. }) => Ok(None),
        Err(failure) => Err(failed(address, &failure)),
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the server answered with status {code}")]
    Status {
        code: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    #[error("{0}")]
    Connection(#[from] ureq::Error),
}

impl Failure {
    /// Whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        match self {
            Failure::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..),
            Failure::Connection(error) => matches!(
                error,
                ureq::Error::Io(_)
                    | ureq::Error::Timeout(_)
                    | ureq::Error::ConnectionFailed
                    | ureq::Error::HostNotFound
                    | ureq::Error::Protocol(_)
            ),
        }
    }
}

/// A single request, redirects included. Any other status than 200 and 206 is a failure: an empty reply, as with 204 or
/// 304, would be taken for a shard without samples.
fn get(
    address: &str,
    with: impl FnOnce(RequestBuilder<WithoutBody>) -> RequestBuilder<WithoutBody>,
) -> std::result::Result<Response<Body>, Failure> {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    let agent = AGENT.get_or_init(|| {
        Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            // Compressed transfer hides the length and prevents range requests.
            .accept_encoding(AutoHeaderValue::None)
            .build()
            .into()
    });
    // What is asked for over an encrypted connection does not arrive over another one after a redirect.
    let request = agent.get(address).config().https_only(address.starts_with("https://")).build();
    let reply = with(request).call()?;
    match reply.status().as_u16() {
        200 | 206 => Ok(reply),
        code => {
            let seconds = header(&reply, RETRY_AFTER).and_then(|text| text.parse().ok());
            Err(Failure::Status { code, retry_after: seconds.map(Duration::from_secs) })
        }
    }
}

fn failed(address: &str, failure: &Failure) -> Error {
    Error::io(shown(address))(std::io::Error::other(failure.to_string()))
}

/// A file at an address, read from start to end. If the connection breaks, the rest is requested as a range; if the
/// server does not support ranges, the file is requested again and the part already read is dropped.
pub(super) struct Remote {
    address: String,
    body: BodyReader<'static>,
    /// The number of bytes returned so far.
    read: u64,
    /// The length of the file, if the server announces it.
    length: Option<u64>,
    /// The server's name of this version of the file.
    etag: Option<String>,
}

impl Remote {
    /// Requests a file.
    ///
    /// # Errors
    /// No connection after several attempts; the server refuses the file.
    pub fn open(address: &str) -> Result<Self> {
        let reply = with_attempts(|| get(address, |request| request)).map_err(|error| failed(address, &error))?;
        let etag = header(&reply, ETAG).filter(|etag| !etag.starts_with("W/"));
        let length = reply.body().content_length();
        Ok(Self { address: address.into(), body: reply.into_body().into_reader(), read: 0, length, etag })
    }

    /// Requests the rest of the file. Returns false if this connection breaks too.
    fn resume(&mut self) -> std::io::Result<bool> {
        let fail = |reason: String| Err(std::io::Error::other(reason));
        let reply = with_attempts(|| {
            get(&self.address, |request| {
                let request = request.header(RANGE, format!("bytes={}-", self.read));
                match &self.etag {
                    Some(etag) => request.header(IF_RANGE, etag),
                    None => request,
                }
            })
        });
        let reply = reply.map_err(|error| std::io::Error::other(format!("cut at byte {}: {error}", self.read)))?;
        let (range, etag) = (header(&reply, CONTENT_RANGE), header(&reply, ETAG));
        let (partial, length) = (reply.status() == 206, reply.body().content_length());
        self.body = reply.into_body().into_reader();
        // A server that does not know `If-Range` sends a part of whatever lies there now.
        let length = match &range {
            Some(range) if partial => range.rsplit_once('/').and_then(|(_, length)| length.parse().ok()),
            _ => length,
        };
        let other_etag = self.etag.is_some() && etag != self.etag && !(partial && etag.is_none());
        if other_etag || length != self.length && !(partial && length.is_none()) {
            return fail("the file changed while it was read".into());
        }
        if partial {
            let from_here = range.as_deref().is_some_and(|range| range.starts_with(&format!("bytes {}-", self.read)));
            return match from_here {
                true => Ok(true),
                false => fail(format!("asked for the bytes from {} on, the server sent {range:?}", self.read)),
            };
        }
        let dropped = std::io::copy(&mut (&mut self.body).take(self.read), &mut std::io::sink());
        Ok(dropped.is_ok_and(|dropped| dropped == self.read))
    }
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut cuts = 0;
        loop {
            let error = match self.body.read(buffer) {
                Ok(0) if !buffer.is_empty() && self.length.is_some_and(|length| self.read < length) => {
                    std::io::ErrorKind::UnexpectedEof.into()
                }
                Ok(read) => {
                    self.read += read as u64;
                    return Ok(read);
                }
                Err(error) => error,
            };
            loop {
                cuts += 1;
                if cuts > ATTEMPTS {
                    return Err(error);
                }
                if self.resume()? {
                    break;
                }
            }
        }
    }
}

fn header(reply: &Response<Body>, name: HeaderName) -> Option<String> {
    reply.headers().get(name)?.to_str().ok().map(String::from)
}

/// Repeats a call if the connection fails or the server is busy.
fn with_attempts<T>(mut call: impl FnMut() -> std::result::Result<T, Failure>) -> std::result::Result<T, Failure> {
    let mut attempt = 0;
    loop {
        let failure = match call() {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        attempt += 1;
        let wait = match &failure {
            Failure::Status { retry_after: Some(asked), .. } => *asked,
            _ => WAIT * 2u32.pow(attempt - 1),
        };
        if !failure.may_pass() || attempt >= ATTEMPTS || wait > MAX_WAIT {
            return Err(failure);
        }
        std::thread::sleep(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beside_an_address() {
        let signed = "https://test.example.org/data/train/x-0.tar?key=a/b.c";
        assert_eq!(beside(signed, "_info.json"), "https://test.example.org/data/train/_info.json");
    }

    #[test]
    fn messages_hold_no_signature_and_no_password() {
        let signed = "https://me:secret@test.example.org:81/data/a@b/x-0.tar?X-Amz-Signature=abc#x";
        assert_eq!(shown(signed), "https://test.example.org:81/data/a@b/x-0.tar");
        assert_eq!(shown("http://host"), "http://host");
    }
}
