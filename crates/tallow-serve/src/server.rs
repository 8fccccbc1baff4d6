//! The server: its routes and its limits.
//!
//! | route | response |
//! |---|---|
//! | `POST /predict?topk=5` | a JSON list of [`Prediction`](crate::Prediction)s; the body is an image, or `multipart/form-data` with several |
//! | `GET /model` | the model's name and classes as JSON |
//! | `GET /health` | `ok` |
//! | `GET /metrics` | metrics for Prometheus |
//! | `GET /` | a web page to classify images |
//!
//! Errors have a status and the body `{"error": "…"}`.

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use axum::{Json, Router};
use image::DynamicImage;
use serde_json::json;
use tallow_nn::keep_packed_weights;
use tokio::sync::{Semaphore, mpsc};

use crate::batching::{Job, answer, batch, probabilities};
use crate::connections::answer_all;
use crate::monitor::Monitor;
use crate::predict::predict;
use crate::rejection::Rejection;
use crate::{Classifier, Error, Result};

/// The limits of the server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The maximum number of images in a batch.
    pub max_batch: usize,
    /// The maximum size of a request's body, in bytes; a larger one is answered with 413.
    pub max_body_bytes: usize,
    /// The maximum number of concurrent requests to `/predict`; one more is answered with 503.
    pub max_requests: usize,
    /// The maximum time in which a request's body must arrive; a later one is answered with 408.
    pub body_timeout: Duration,
    /// The maximum time in which a request's head must arrive, after which the connection is closed.
    pub head_timeout: Duration,
    /// The maximum time for requests in progress when the server stops.
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

/// The memory for decoded images that wait, in MB; a single decoded image has at most 512 MB.
pub(crate) const PICTURES_MB: usize = 1024;
const PAGE: &str = include_str!("page.html");
/// The page's content security policy: it loads no resources and connects only to its own server.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob: data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves a classifier until `stop` is ready and the requests in progress are answered. The model runs on the calling
/// thread, which should belong to rayon's pool. Packed weights are kept between batches ([`keep_packed_weights`]).
///
/// # Errors
/// The classifier fails on a black image, or the system provides no socket or thread.
pub fn serve(
    classifier: &dyn Classifier,
    listener: TcpListener,
    options: &Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let _kept = keep_packed_weights();
    probabilities(classifier, &[DynamicImage::new_rgb8(64, 64)]).map_err(Error::Model)?;
    listener.set_nonblocking(true)?;
    // The channel holds at most one batch.
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
            // All senders are dropped: `http` is about to end.
            Ok(None) => break runtime.block_on(http),
            Err(ended) => break ended,
        }
    };
    runtime.shutdown_background();
    ended.map_err(|error| Error::Io(error.into()))?.map_err(Error::Io)
}

/// Ready when the process receives Ctrl-C, or SIGTERM from a service manager.
pub async fn terminated() {
    let interrupt = async {
        // If signals cannot be received, the server runs until it is killed.
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

/// The state shared by the handlers.
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) classes: Vec<String>,
    pub(crate) queue: mpsc::Sender<Job>,
    pub(crate) requests: Semaphore,
    pub(crate) decoders: Semaphore,
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) monitor: Arc<Monitor>,
    pub(crate) options: Options,
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
        .fallback(async || {
            Rejection::new(StatusCode::NOT_FOUND, "no such route; expected /, /predict, /model, /health or /metrics")
        })
        .method_not_allowed_fallback(async || {
            Rejection::new(StatusCode::METHOD_NOT_ALLOWED, "/predict takes POST, all other routes take GET")
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
