//! Requests to the Hub: redirects, statuses and the access token.
//!
//! The token goes to the endpoint's own origin alone: a redirect leads to storage of others, which sees the request
//! without it.

use std::io::Read;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::config::AutoHeaderValue;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderValue, Response, Uri};
use ureq::{Agent, Body};

use crate::failure::Failure;
use crate::hub::Hub;
use crate::redirect::{may_see_token, shown, target};

/// The number of redirects that a request follows.
const MAX_REDIRECTS: usize = 10;
/// A connection is broken if no byte arrives for this long.
const SILENCE: Duration = Duration::from_secs(30);
/// The largest list of a repository's files that is read.
const MAX_LIST_BYTES: u64 = 256 << 20;
/// The pause before a request is repeated; it doubles each time.
const PAUSE: Duration = Duration::from_millis(300);
/// The longest pause that a server may ask for; beyond it the request fails.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// What the Hub announces about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Announced {
    /// The commit that the revision stands for.
    pub commit: String,
    /// The file's SHA-256 for large files, its hash in Git for others.
    pub etag: String,
    /// The size in bytes.
    pub size: u64,
}

/// A connection to the Hub.
pub(crate) struct Client {
    agent: Agent,
    endpoint: Uri,
    /// The value of the header `Authorization`.
    authorization: Option<HeaderValue>,
    retries: usize,
}

impl Client {
    pub fn new(hub: &Hub) -> Result<Self, Failure> {
        let endpoint = hub.endpoint.parse().map_err(|_| Failure::Address { address: hub.endpoint.clone() })?;
        let header = |token: &String| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Failure::Token)?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        };
        let agent = Agent::config_builder()
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            // Compressed transfer hides the length and prevents range requests.
            .accept_encoding(AutoHeaderValue::None)
            .user_agent(concat!("tallow/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let authorization = hub.token.as_ref().map(header).transpose()?;
        Ok(Self { agent, endpoint, authorization, retries: hub.retries })
    }

    /// The JSON document at an address.
    pub fn json<T: DeserializeOwned>(&self, address: &str) -> Result<T, Failure> {
        self.with_retries(|| {
            let reply = self.follow(address, None, |_| false)?;
            let text = reply.into_body().into_with_config().limit(MAX_LIST_BYTES).read_to_vec()?;
            serde_json::from_slice(&text).map_err(|error| Failure::Answer(format!("a list of files, found {error}")))
        })
    }

    /// What the Hub announces about the file at an address. It stands in the headers of the redirect to the content, or
    /// of the content itself.
    pub fn announced(&self, address: &str) -> Result<Announced, Failure> {
        self.with_retries(|| {
            let mut seen = Seen::default();
            let reply = self.follow(address, Some("bytes=0-0"), |reply| {
                seen.linked(reply.headers());
                seen.is_complete()
            })?;
            if !reply.status().is_redirection() {
                seen.of_content(&reply);
            }
            seen.announced()
        })
    }

    /// The content at an address from a byte on, and the byte at which it starts: `from`, or 0 if the server sends no
    /// parts. A single attempt.
    pub fn content(&self, address: &str, from: u64) -> Result<(impl Read + use<>, u64), Failure> {
        let reply = self.follow(address, Some(&format!("bytes={from}-")), |_| false)?;
        let starts = match reply.status().as_u16() {
            206 => {
                let range = text(reply.headers(), CONTENT_RANGE.as_str()).unwrap_or_default();
                if !range.starts_with(&format!("bytes {from}-")) {
                    return Err(Failure::Answer(format!("the bytes from {from} on, found the range {range:?}")));
                }
                from
            }
            _ => 0,
        };
        Ok((reply.into_body().into_reader(), starts))
    }

    /// Repeats a call while the server is busy or the connection breaks.
    pub fn with_retries<T>(&self, mut call: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let mut attempt = 0;
        loop {
            match call() {
                Err(failure) if attempt < self.retries && failure.may_pass() => {
                    let pause = failure.retry_after().unwrap_or(PAUSE * 2u32.saturating_pow(attempt as u32));
                    if pause > MAX_PAUSE {
                        return Err(failure);
                    }
                    std::thread::sleep(pause);
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Requests an address and follows redirects, until a reply has the content (status 200 or 206) or is `enough`.
    fn follow(
        &self,
        address: &str,
        range: Option<&str>,
        mut enough: impl FnMut(&Response<Body>) -> bool,
    ) -> Result<Response<Body>, Failure> {
        let mut at: Uri = address.parse().map_err(|_| Failure::Address { address: address.into() })?;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(&at);
            if let Some(range) = range {
                request = request.header(RANGE, range);
            }
            if let Some(authorization) = self.authorization.as_ref().filter(|_| may_see_token(&self.endpoint, &at)) {
                request = request.header(AUTHORIZATION, authorization);
            }
            let reply = request.call()?;
            match reply.status().as_u16() {
                200 | 206 => {
                    enough(&reply);
                    return Ok(reply);
                }
                301 | 302 | 303 | 307 | 308 if enough(&reply) => return Ok(reply),
                301 | 302 | 303 | 307 | 308 => at = target(&at, reply.headers().get(LOCATION))?,
                code => {
                    let seconds = text(reply.headers(), RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
                    let message = text(reply.headers(), "x-error-message").map(said);
                    let host = at.authority().map(ToString::to_string).unwrap_or_default();
                    return Err(Failure::Status { code, host, message, retry_after: seconds.map(Duration::from_secs) });
                }
            }
        }
        Err(Failure::Redirect(format!("more than {MAX_REDIRECTS} redirects, the last one to {}", shown(&at))))
    }
}

/// What the replies seen so far say about a file.
#[derive(Default)]
struct Seen {
    commit: Option<String>,
    etag: Option<String>,
    size: Option<u64>,
}

impl Seen {
    /// Reads the headers with which the Hub describes a file that lies elsewhere.
    fn linked(&mut self, headers: &HeaderMap) {
        let Self { commit, etag, size } = self;
        *commit = commit.take().or_else(|| text(headers, "x-repo-commit").map(String::from));
        *etag = etag.take().or_else(|| text(headers, "x-linked-etag").map(unquoted));
        *size = size.or_else(|| text(headers, "x-linked-size")?.parse().ok());
    }

    /// Reads the headers of the content.
    fn of_content(&mut self, reply: &Response<Body>) {
        let headers = reply.headers();
        let length = match reply.status().as_u16() {
            206 => text(headers, CONTENT_RANGE.as_str()).and_then(|range| range.rsplit_once('/')).map(|(_, size)| size),
            _ => text(headers, CONTENT_LENGTH.as_str()),
        };
        self.size = self.size.or_else(|| length?.parse().ok());
        self.etag = self.etag.take().or_else(|| text(headers, ETAG.as_str()).map(unquoted));
    }

    fn is_complete(&self) -> bool {
        self.commit.is_some() && self.etag.is_some() && self.size.is_some()
    }

    fn announced(self) -> Result<Announced, Failure> {
        let missing = |header: &str| Failure::Answer(format!("the header {header}, found none"));
        Ok(Announced {
            commit: self.commit.ok_or_else(|| missing("X-Repo-Commit"))?,
            etag: self.etag.ok_or_else(|| missing("ETag"))?,
            size: self.size.ok_or_else(|| missing("Content-Range with the file's size"))?,
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An ETag without its quotes and the mark of a weak one.
fn unquoted(etag: &str) -> String {
    etag.trim_start_matches("W/").replace('"', "")
}

/// A server's message, cut to one short line.
fn said(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(200).collect()
}
