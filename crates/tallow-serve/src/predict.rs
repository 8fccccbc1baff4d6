//! `POST /predict`: reads the images of a request, decodes them and waits for the model.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartError;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest as _, Multipart, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use serde::Deserialize;
use tallow_data::decode::decode_bytes;
use tokio::sync::oneshot;

use crate::batching::Job;
use crate::bodies::Held;
use crate::prediction::{Failed, Prediction, Row};
use crate::rejection::Rejection;
use crate::service::{PICTURES_MB, Service};

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
    async fn predict(&self, query: PredictQuery, request: Request) -> Result<Vec<Row>> {
        let busy = || {
            let limit = self.options.max_requests;
            Rejection::new(StatusCode::SERVICE_UNAVAILABLE, format!("{limit} requests are waiting; try again later"))
        };
        // A full server does not read the body. A body that arrives slowly takes no place.
        if self.requests.available_permits() == 0 {
            return Err(busy());
        }
        let (pictures, held) = self.pictures(request).await?;
        let _place = self.requests.try_acquire().map_err(|_| busy())?;
        let topk = query.topk.unwrap_or(TOPK);
        let held = Arc::new(held);
        let classified = join_all(pictures.into_iter().map(|(name, bytes)| {
            let held = held.clone();
            async move {
                let result = self.classify(&name, bytes, held, topk).await;
                (name, result)
            }
        }));
        drop(held);
        let results = classified.await;
        if results.iter().all(|(_, result)| result.is_err()) {
            let failures = results.into_iter().filter_map(|(name, result)| Some((name, result.err()?)));
            return Err(Rejection::of_all(failures.collect()));
        }
        let row = |(image, result)| match result {
            Ok(prediction) => Row::Classified(prediction),
            Err(rejection) => Row::Failed(Failed { image, error: Rejection::into_error(rejection) }),
        };
        Ok(results.into_iter().map(row).collect())
    }

    /// The names and the encoded bytes of a request's images, and the permits for their memory.
    async fn pictures(&self, request: Request) -> Result<(Vec<(String, Bytes)>, Held)> {
        let (parts, body) = request.into_parts();
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") {
            let expected = "expected an image as the body, or multipart/form-data with images; found JSON";
            return Err(Rejection::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, expected));
        }
        let is_form = kind.starts_with("multipart/form-data");
        let received = self.bodies.receive(&parts.headers, body, &self.options).await?;
        if !is_form {
            let (body, held) = received.into_bytes();
            return match body.is_empty() {
                true => Err(Rejection::new(StatusCode::BAD_REQUEST, "expected an image as the body, found no body")),
                false => Ok((vec![("image".to_owned(), body)], held)),
            };
        }
        let failed = |error: MultipartError| Rejection::new(error.status(), error.body_text());
        let (stream, held) = received.into_stream();
        let form = Multipart::from_request(Request::from_parts(parts, Body::from_stream(stream)), &()).await;
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
            false => Ok((pictures, held)),
        }
    }

    /// Decodes an image and waits for the model. The permits of the body are released once its last image is decoded.
    async fn classify(&self, name: &str, bytes: Bytes, held: Arc<Held>, topk: usize) -> Result<Prediction> {
        let (picture, memory) = {
            let _decoder = self.decoders.acquire().await.map_err(|_| Rejection::stopping())?;
            let path = name.to_owned();
            let decoded = tokio::task::spawn_blocking(move || decode_bytes(&bytes, Path::new(&path))).await;
            drop(held);
            let decoded = decoded.map_err(|_| Rejection::stopping())?;
            let picture = decoded.map_err(Rejection::undecodable)?;
            let megabytes = (picture.as_bytes().len() >> 20).clamp(1, PICTURES_MB) as u32;
            // The decoder is released only when there is memory for this image.
            let memory = self.memory.clone().acquire_many_owned(megabytes).await;
            (picture, memory.map_err(|_| Rejection::stopping())?)
        };
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job { picture, answer, memory }).await.map_err(|_| Rejection::stopping())?;
        match answered.await.map_err(|_| Rejection::stopping())? {
            Ok(probabilities) => Ok(Prediction::new(name.to_owned(), &self.classes, &probabilities, topk)),
            Err(error) => Err(Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, error)),
        }
    }
}
