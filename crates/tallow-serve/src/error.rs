//! Why there is no server.

/// The errors of this crate. What a request does wrong is answered, and no error of the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A classifier that cannot classify a black picture, which each is asked for at first.
    #[error("the model fails on a black picture of 64 by 64 pixels: {0}")]
    Model(String),
    /// Threads or sockets that the system does not give.
    #[error("the server: {0}")]
    Io(#[from] std::io::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
