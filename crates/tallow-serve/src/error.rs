//! The errors of this crate.

/// The errors of the server. Errors of a request are answered over HTTP instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The classifier fails on the black image with which it is tested at the start.
    #[error("the model fails on a black image of 64 × 64 pixels: {0}")]
    Model(String),
    /// A text that is not the origin of web pages.
    #[error("expected an origin such as https://example.org, without a path, or *; found {0:?}")]
    Origin(String),
    /// The system provides no thread or socket.
    #[error("the server failed: {0}")]
    Io(#[from] std::io::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
