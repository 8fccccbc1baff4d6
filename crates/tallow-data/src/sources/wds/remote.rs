//! Shards at an `http(s)://` address, read while they arrive; nothing is stored.

use std::io::Read;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::config::AutoHeaderValue;
use ureq::http::header::{CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, RANGE};
use ureq::{Agent, Body, BodyReader};

use crate::error::{Error, Result};

/// The number of times that a broken connection is reopened without receiving a byte in between.
const ATTEMPTS: u32 = 5;
/// The wait before the second attempt; it doubles with each further one.
const WAIT: Duration = Duration::from_millis(250);
/// A connection is broken if no byte arrives for this long.
const SILENCE: Duration = Duration::from_secs(30);
/// The largest `_info.json` or list of classes that is read.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// The address of a file beside this one.
pub(super) fn beside(address: &str, name: &str) -> String {
    let file = address.split(['?', '#']).next().unwrap_or(address);
    format!("{}/{name}", file.rsplit_once('/').map_or(file, |(folder, _)| folder))
}

/// The text at an address; `None` if the server does not have it.
pub(super) fn text(address: &str) -> Result<Option<String>> {
    match agent().get(address).call() {
        Ok(reply) => {
            let text = reply.into_body().into_with_config().limit(MAX_TEXT_BYTES).read_to_string();
            text.map(Some).map_err(|error| failed(address, &error))
        }
        // Object stores without public listing answer 403 for a missing file.
        Err(ureq::Error::StatusCode(403 | 404 | 410)) => Ok(None),
        Err(error) => Err(failed(address, &error)),
    }
}

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        Agent::config_builder()
            .timeout_connect(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            // Compressed transfer hides the length and prevents range requests.
            .accept_encoding(AutoHeaderValue::None)
            .build()
            .into()
    })
}

fn failed(address: &str, error: &ureq::Error) -> Error {
    let source = match error {
        ureq::Error::StatusCode(code) => std::io::Error::other(format!("the server answered with status {code}")),
        other => std::io::Error::other(other.to_string()),
    };
    Error::io(address)(source)
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
        let reply = with_attempts(|| agent().get(address).call()).map_err(|error| failed(address, &error))?;
        let etag = header(&reply, ETAG).filter(|etag| !etag.starts_with("W/"));
        let length = reply.body().content_length();
        Ok(Self { address: address.into(), body: reply.into_body().into_reader(), read: 0, length, etag })
    }

    /// Requests the rest of the file. Returns false if this connection breaks too.
    fn resume(&mut self) -> std::io::Result<bool> {
        let fail = |reason: String| Err(std::io::Error::other(reason));
        let reply = with_attempts(|| {
            let request = agent().get(&self.address).header(RANGE, format!("bytes={}-", self.read));
            match &self.etag {
                Some(etag) => request.header(IF_RANGE, etag).call(),
                None => request.call(),
            }
        });
        let reply = reply.map_err(|error| std::io::Error::other(format!("cut at byte {}: {error}", self.read)))?;
        let (range, etag) = (header(&reply, CONTENT_RANGE), header(&reply, ETAG));
        let (partial, length) = (reply.status() == 206, reply.body().content_length());
        self.body = reply.into_body().into_reader();
        if partial {
            let from_here = range.as_deref().is_some_and(|range| range.starts_with(&format!("bytes {}-", self.read)));
            return match from_here {
                true => Ok(true),
                false => fail(format!("asked for the bytes from {} on, the server sent {range:?}", self.read)),
            };
        }
        if (self.etag.is_some() && etag != self.etag) || length != self.length {
            return fail("the file changed while it was read".into());
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

fn header(reply: &ureq::http::Response<Body>, name: HeaderName) -> Option<String> {
    reply.headers().get(name)?.to_str().ok().map(String::from)
}

/// Repeats a call if the connection fails or the server is busy.
fn with_attempts<T>(
    mut call: impl FnMut() -> std::result::Result<T, ureq::Error>,
) -> std::result::Result<T, ureq::Error> {
    let mut attempt = 0;
    loop {
        let error = match call() {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        let passing = match &error {
            ureq::Error::StatusCode(code) => *code == 408 || *code == 429 || *code >= 500,
            ureq::Error::Io(_) | ureq::Error::Timeout(_) | ureq::Error::ConnectionFailed => true,
            ureq::Error::HostNotFound | ureq::Error::Protocol(_) => true,
            _ => false,
        };
        attempt += 1;
        if !passing || attempt >= ATTEMPTS {
            return Err(error);
        }
        std::thread::sleep(WAIT * 2u32.pow(attempt - 1));
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
}
