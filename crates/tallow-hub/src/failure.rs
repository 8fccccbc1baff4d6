//! Why a request failed.

use std::time::Duration;

use crate::error::Error;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server refuses, or sends something else than the file.
    #[error("{host} answered with status {code}{}", message.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Status {
        code: u16,
        host: String,
        /// The server's own words.
        message: Option<String>,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// A redirect that leads nowhere.
    #[error("{0}")]
    Redirect(String),
    /// The server's answer is not what the Hub's protocol has.
    #[error("expected {0}")]
    Answer(String),
    /// Not an address.
    #[error("{address} is not a valid address")]
    Address { address: String },
    /// A token that no request can carry.
    #[error("the access token (HF_TOKEN) has characters that a request cannot carry")]
    Token,
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] ureq::Error),
    /// The connection broke while the content arrived.
    #[error("{0}")]
    Broken(#[from] std::io::Error),
    /// The content is not the announced one.
    #[error("{0}")]
    Content(String),
    /// A file of the cache cannot be read or written.
    #[error("{0}")]
    Cache(#[from] Error),
}

impl Failure {
    /// The HTTP status of the server's answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Failure::Status { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Failure::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Failure::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..),
            Failure::Connection(_) | Failure::Broken(_) => true,
            Failure::Redirect(_) | Failure::Answer(_) | Failure::Content(_) => false,
            Failure::Address { .. } | Failure::Token | Failure::Cache(_) => false,
        }
    }
}
