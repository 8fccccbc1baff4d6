//! `POST /predict`: reads the images of a request, decodes them and waits for the model.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest as _, Multipart, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::try_join_all;
use serde::Deserialize;
use tallow_data::decode::decode_bytes;
use tokio::sync::oneshot;

use crate::Prediction;
use crate::batching::Job;
use crate::rejection::Rejection;
use crate::server::{PICTURES_MB, Service};

/// The maximum number of images in a request.
const MAX_PICTURES: usize = 256;
/// The default of `topk`.
const TOPK: usize = 5;

type Result<T> = std::result::Result<T, Rejection>;

/// The query of a request to `/predict`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PredictQuery {
    topk: Option<usize>,
}

/// The handler of `POST /predict`.
pub(crate) async fn predict(
    State(service): State<Arc<Service>>,
    query: std::result::Result<Query<PredictQuery>, QueryRejection>,
    request: Request,
) -> Response {
    let began = Instant::now();
    let _in_flight = service.monitor.begin();
    let answered = match query {
        Ok(Query(query)) => service.predict(query, request).await.map(Json).into_response(),
        Err(error) => Rejection::new(StatusCode::BAD_REQUEST, error.body_text()).into_response(),
    };
    service.monitor.answered(answered.status().as_u16(), began.elapsed());
    answered
}

impl Service {
    async fn predict(&self, query: PredictQuery, request: Request) -> Result<Vec<Prediction>> {
        let busy = || {
            let limit = self.options.max_requests;
            Rejection::new(StatusCode::SERVICE_UNAVAILABLE, format!("{limit} requests are waiting; try again later"))
        };
        let _place = self.requests.try_acquire().map_err(|_| busy())?;
        let limit = self.options.body_timeout;
        let late = || Rejection::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {limit:?}"));
        let pictures = tokio::time::timeout(limit, self.pictures(request)).await.map_err(|_| late())??;
        let topk = query.topk.unwrap_or(TOPK);
        try_join_all(pictures.into_iter().map(|(name, bytes)| self.classify(name, bytes, topk))).await
    }

    /// The names and the encoded bytes of a request's images.
    async fn pictures(&self, request: Request) -> Result<Vec<(String, Bytes)>> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") {
            let expected = "expected an image as the body, or multipart/form-data with images; found JSON";
            return Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, expected));
        }
        if !kind.starts_with("multipart/form-data") {
            let body = Bytes::from_request(request, &()).await;
            let body = body.map_err(|error| self.unread(error.status(), error.body_text()))?;
            return match body.is_empty() {
                true => Err(Rejection::new(StatusCode::BAD_REQUEST, "expected an image as the body, found no body")),
                false => Ok(vec![("image".to_owned(), body)]),
            };
        }
        let failed = |error: MultipartError| self.unread(error.status(), error.body_text());
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|error| Rejection::new(error.status(), error.body_text()))?;
        let mut pictures = Vec::new();
        while let Some(field) = form.next_field().await.map_err(failed)? {
            let name = field.file_name().or(field.name()).unwrap_or("image").to_owned();
            pictures.push((name, field.bytes().await.map_err(failed)?));
            if pictures.len() > MAX_PICTURES {
                let many = format!("expected at most {MAX_PICTURES} images in a request, found more");
                return Err(Rejection::new(StatusCode::BAD_REQUEST, many));
            }
        }
        match pictures.is_empty() {
            true => Err(Rejection::new(StatusCode::BAD_REQUEST, "expected images in the form, found none")),
            false => Ok(pictures),
        }
    }

    fn unread(&self, status: StatusCode, reason: String) -> Rejection {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let limit = self.options.max_body_bytes as f64 / f64::from(1 << 20);
                Rejection::new(status, format!("the body exceeds the limit of {limit} MB"))
            }
            _ => Rejection::new(status, reason),
        }
    }

    async fn classify(&self, name: String, bytes: Bytes, topk: usize) -> Result<Prediction> {
        let (picture, memory) = {
            let _decoder = self.decoders.acquire().await.map_err(|_| Rejection::stopping())?;
            let path = name.clone();
            let decoded = tokio::task::spawn_blocking(move || decode_bytes(&bytes, Path::new(&path))).await;
            let decoded = decoded.map_err(|_| Rejection::stopping())?;
            let picture = decoded.map_err(|error| Rejection::undecodable(&name, error))?;
            let megabytes = (picture.as_bytes().len() >> 20).clamp(1, PICTURES_MB) as u32;
            // The decoder is released only when there is memory for this image.
            let memory = self.memory.clone().acquire_many_owned(megabytes).await;
            (picture, memory.map_err(|_| Rejection::stopping())?)
        };
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job { picture, answer, memory }).await.map_err(|_| Rejection::stopping())?;
        match answered.await.map_err(|_| Rejection::stopping())? {
            Ok(probabilities) => Ok(Prediction::new(name, &self.classes, &probabilities, topk)),
            Err(error) => Err(Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{name}: {error}"))),
        }
    }
}
