//! Error responses: a status and `{"error": "…"}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An error response to a request.
pub(crate) struct Rejection {
    status: StatusCode,
    error: String,
}

impl Rejection {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    /// The response to an image that cannot be decoded.
    pub(crate) fn undecodable(error: tallow_data::Error) -> Self {
        let reason = match error {
            tallow_data::Error::Decode { reason, .. } | tallow_data::Error::TooLarge { reason, .. } => reason,
            other => other.to_string(),
        };
        let expected = "expected an image as JPEG, PNG, WebP, BMP, GIF or TIFF";
        Self::new(StatusCode::BAD_REQUEST, format!("{expected}; cannot decode it: {reason}"))
    }

    /// The response when none of a request's images has an answer: the status of the first, and the reasons.
    pub(crate) fn of_all(failures: Vec<(String, Self)>) -> Self {
        /// The number of images whose reasons are given.
        const SHOWN: usize = 10;
        let status = failures.first().map_or(StatusCode::BAD_REQUEST, |(_, first)| first.status);
        let reason = |(name, rejection): &(String, Self)| format!("{name}: {}", rejection.error);
        let mut reasons: Vec<String> = failures.iter().take(SHOWN).map(reason).collect();
        if failures.len() > SHOWN {
            reasons.push(format!("and {} more", failures.len() - SHOWN));
        }
        Self::new(status, reasons.join("; "))
    }

    /// The reason.
    pub(crate) fn into_error(self) -> String {
        self.error
    }

    /// The response while the server stops.
    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }
        let mut response = (self.status, Json(Body { error: self.error })).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
