//! The routes, and what bounds them: requests at a time, bytes and seconds of a body, memory of decoded pictures.
//!
//! | route | answer |
//! |---|---|
//! | `POST /predict?topk=5` | a JSON list of [`Prediction`]s: the body is a picture, or `multipart/form-data` with several |
//! | `GET /model` | name and classes, JSON |
//! | `GET /health` | `ok` |
//! | `GET /metrics` | counts and times for Prometheus |
//! | `GET /` | a page to try it |
//!
//! What is refused is answered by a status and `{"error": "…"}`.

use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::multipart::MultipartError;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::future::try_join_all;
use image::DynamicImage;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tallow_data::decode::decode_bytes;
use tallow_nn::keep_packed_weights;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::batching::{Job, answer, batch, probabilities};
use crate::connections::answer_all;
use crate::monitor::Monitor;
use crate::{Classifier, Error, Prediction, Result};

/// What bounds the server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pictures that the model takes together at most.
    pub max_batch: usize,
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Requests to `/predict` at a time; one more is answered by 503.
    pub max_requests: usize,
    /// The longest that a client may take to send its body.
    pub body_timeout: Duration,
    /// The longest that a client may take to send a request's head; its connection is closed.
    pub head_timeout: Duration,
    /// The longest that requests which have begun may take when the server is told to stop.
    pub stop_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_batch: 32,
            max_body_bytes: 32 << 20,
            max_requests: 64,
            body_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// Pictures in one request at most.
const MAX_PICTURES: usize = 256;
/// Memory that decoded pictures may take while they wait, in MB; one decoded picture has 512 at most.
const PICTURES_MB: usize = 1024;
/// Classes in an answer, if the request does not say.
const TOPK: usize = 5;
const PAGE: &str = include_str!("page.html");
/// The page loads nothing, and speaks with its own server alone.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob: data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves a classifier until `stop` is ready and the requests that had begun are answered. The model computes on this thread:
/// call it from one of rayon's pool. Its packed weights are kept ([`keep_packed_weights`]).
///
/// # Errors
/// A classifier that fails on a black picture; sockets and threads that the system does not give.
pub fn serve(
    classifier: &dyn Classifier,
    listener: TcpListener,
    options: &Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let _kept = keep_packed_weights();
    probabilities(classifier, &[DynamicImage::new_rgb8(64, 64)]).map_err(Error::Model)?;
    listener.set_nonblocking(true)?;
    // A picture waits in the channel at most while it is one of the next batch.
    let (queue, mut waiting) = mpsc::channel(options.max_batch.max(1));
    let monitor = Arc::new(Monitor::new());
    let cores = std::thread::available_parallelism()?.get();
    let service = Arc::new(Service {
        name: classifier.name(),
        classes: classifier.classes().to_vec(),
        queue,
        requests: Semaphore::new(options.max_requests),
        decoders: Semaphore::new(cores),
        memory: Arc::new(Semaphore::new(PICTURES_MB)),
        monitor: monitor.clone(),
        options: options.clone(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut http = runtime.spawn(listen(listener, service, stop));
    let ended = loop {
        let next = async {
            tokio::select! {
                job = waiting.recv() => Ok(job),
                ended = &mut http => Err(ended),
            }
        };
        match runtime.block_on(next) {
            Ok(Some(first)) => answer(classifier, batch(first, &mut waiting, options.max_batch), &monitor),
            // Every sender is gone: `http` is about to end.
            Ok(None) => break runtime.block_on(http),
            Err(ended) => break ended,
        }
    };
    runtime.shutdown_background();
    ended.map_err(|error| Error::Io(error.into()))?.map_err(Error::Io)
}

/// Ready when the process is told to end: Ctrl-C, or SIGTERM as service managers send it.
pub async fn terminated() {
    let interrupt = async {
        // Without signals the server runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<Option<()>>();
    tokio::select! {
        () = interrupt => {}
        _ = terminate => {}
    }
}

/// What the handlers share.
struct Service {
    name: String,
    classes: Vec<String>,
    queue: mpsc::Sender<Job>,
    requests: Semaphore,
    decoders: Semaphore,
    memory: Arc<Semaphore>,
    monitor: Arc<Monitor>,
    options: Options,
}

async fn listen(
    listener: TcpListener,
    service: Arc<Service>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let Options { head_timeout, stop_timeout, .. } = service.options;
    let routes = Router::new()
        .route("/", get(page))
        .route("/health", get(async || "ok"))
        .route("/model", get(model))
        .route("/metrics", get(metrics))
        .route("/predict", post(predict))
        .fallback(async || Refused::new(StatusCode::NOT_FOUND, "there are /, /predict, /model, /health and /metrics"))
        .method_not_allowed_fallback(async || {
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, "pictures go by POST to /predict; everything else is GET")
        })
        .layer(DefaultBodyLimit::max(service.options.max_body_bytes))
        .with_state(service);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    answer_all(listener, routes, head_timeout, stop_timeout, stop).await;
    Ok(())
}

async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY))], Html(PAGE))
}

async fn model(State(service): State<Arc<Service>>) -> impl IntoResponse {
    Json(json!({ "name": service.name, "classes": service.classes }))
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], service.monitor.text())
}

async fn predict(
    State(service): State<Arc<Service>>,
    asked: std::result::Result<Query<Asked>, QueryRejection>,
    request: Request,
) -> Response {
    let began = Instant::now();
    let _in_flight = service.monitor.begin();
    let answered = match asked {
        Ok(Query(asked)) => service.predict(asked, request).await.map(Json).into_response(),
        Err(error) => Refused::new(StatusCode::BAD_REQUEST, error.body_text()).into_response(),
    };
    service.monitor.answered(answered.status().as_u16(), began.elapsed());
    answered
}

/// What `/predict` is asked for besides its pictures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    topk: Option<usize>,
}

impl Service {
    async fn predict(&self, asked: Asked, request: Request) -> std::result::Result<Vec<Prediction>, Refused> {
        let busy = || {
            let limit = self.options.max_requests;
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, format!("{limit} requests are waiting: try again later"))
        };
        let _place = self.requests.try_acquire().map_err(|_| busy())?;
        let seconds = self.options.body_timeout;
        let late = || Refused::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {seconds:?}"));
        let pictures = tokio::time::timeout(seconds, self.pictures(request)).await.map_err(|_| late())??;
        let topk = asked.topk.unwrap_or(TOPK);
        try_join_all(pictures.into_iter().map(|(name, bytes)| self.classify(name, bytes, topk))).await
    }

    /// The pictures of a request, with their names.
    async fn pictures(&self, request: Request) -> std::result::Result<Vec<(String, Bytes)>, Refused> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") {
            let expected = "expected a picture as the body, or multipart/form-data with pictures; found JSON";
            return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, expected));
        }
        if !kind.starts_with("multipart/form-data") {
            let body = Bytes::from_request(request, &()).await;
            let body = body.map_err(|error| self.unread(error.status(), error.body_text()))?;
            return match body.is_empty() {
                true => Err(Refused::new(StatusCode::BAD_REQUEST, "expected a picture as the body, found nothing")),
                false => Ok(vec![("image".to_owned(), body)]),
            };
        }
        let failed = |error: MultipartError| self.unread(error.status(), error.body_text());
        let form = Multipart::from_request(request, &()).await;
        let mut form = form.map_err(|error| Refused::new(error.status(), error.body_text()))?;
        let mut pictures = Vec::new();
        while let Some(field) = form.next_field().await.map_err(failed)? {
            let name = field.file_name().or(field.name()).unwrap_or("image").to_owned();
            pictures.push((name, field.bytes().await.map_err(failed)?));
            if pictures.len() > MAX_PICTURES {
                let many = format!("expected at most {MAX_PICTURES} pictures in a request, found more");
                return Err(Refused::new(StatusCode::BAD_REQUEST, many));
            }
        }
        match pictures.is_empty() {
            true => Err(Refused::new(StatusCode::BAD_REQUEST, "expected pictures in the form, found none")),
            false => Ok(pictures),
        }
    }

    fn unread(&self, status: StatusCode, reason: String) -> Refused {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let limit = self.options.max_body_bytes as f64 / f64::from(1 << 20);
                Refused::new(status, format!("the body has more than {limit} MB, which is the limit"))
            }
            _ => Refused::new(status, reason),
        }
    }

    async fn classify(&self, name: String, bytes: Bytes, topk: usize) -> std::result::Result<Prediction, Refused> {
        let (picture, memory) = {
            let _decoder = self.decoders.acquire().await.map_err(|_| Refused::stopping())?;
            let path = name.clone();
            let decoded = tokio::task::spawn_blocking(move || decode_bytes(&bytes, Path::new(&path))).await;
            let decoded = decoded.map_err(|_| Refused::stopping())?;
            let picture = decoded.map_err(|error| Refused::undecoded(&name, error))?;
            let megabytes = (picture.as_bytes().len() >> 20).clamp(1, PICTURES_MB) as u32;
            // The next picture is decoded only when there is room for this one.
            let memory = self.memory.clone().acquire_many_owned(megabytes).await;
            (picture, memory.map_err(|_| Refused::stopping())?)
        };
        let (answer, answered) = oneshot::channel();
        self.queue.send(Job { picture, answer, memory }).await.map_err(|_| Refused::stopping())?;
        match answered.await.map_err(|_| Refused::stopping())? {
            Ok(probabilities) => Ok(Prediction::new(name, &self.classes, &probabilities, topk)),
            Err(error) => Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{name}: {error}"))),
        }
    }
}

/// Why a request has no other answer.
struct Refused {
    status: StatusCode,
    error: String,
}

impl Refused {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Refused { status, error: error.into() }
    }

    fn undecoded(name: &str, error: tallow_data::Error) -> Self {
        let reason = match error {
            tallow_data::Error::Decode { reason, .. } | tallow_data::Error::TooLarge { reason, .. } => reason,
            other => other.to_string(),
        };
        let expected = "expected a picture as JPEG, PNG, WebP, BMP, GIF or TIFF";
        Self::new(StatusCode::BAD_REQUEST, format!("{name}: {expected}; it cannot be decoded: {reason}"))
    }

    fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
    }
}

impl IntoResponse for Refused {
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
