//! The server and its routes.
//!
//! | route | response |
//! |---|---|
//! | `POST /predict?topk=5` | a JSON list of [`Row`](crate::Row)s; the body is an image, or `multipart/form-data` with several |
//! | `GET /model` | the model's name and classes as JSON |
//! | `GET /health` | `ok` |
//! | `GET /metrics` | metrics for Prometheus |
//! | `GET /` | a web page to classify images |
//!
//! Errors have a status and the body `{"error": "…"}`.

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use axum::{Json, Router};
use image::DynamicImage;
use serde_json::json;
use tallow_nn::keep_packed_weights;
use tokio::sync::{Semaphore, mpsc};
use tower_http::cors::CorsLayer;

use crate::batching::{answer, batch, probabilities};
use crate::bodies::Bodies;
use crate::classify::Classify;
use crate::connections::answer_all;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::options::Options;
use crate::predict::predict;
use crate::rejection::Rejection;
use crate::service::{PICTURES_MB, Service};
use crate::sites;

const PAGE: &str = include_str!("page.html");
/// The page's content security policy: it loads no resources and connects only to its own server.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob: data:; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves a classifier until `stop` is ready and the requests in progress are answered. The model runs on the calling
/// thread, which should belong to rayon's pool. Packed weights are kept between batches ([`keep_packed_weights`]).
///
/// # Errors
/// `options.cors` has a text that is no origin; the classifier fails on a black image; the system provides no socket or
/// thread.
pub fn serve(
    classifier: &dyn Classify,
    listener: TcpListener,
    options: &Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let cors = sites::cors(&options.cors)?;
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
        bodies: Bodies::new(options),
        decoders: Semaphore::new(cores),
        memory: Arc::new(Semaphore::new(PICTURES_MB)),
        monitor: monitor.clone(),
        options: options.clone(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut http = runtime.spawn(listen(listener, service, cors, stop));
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

async fn listen(
    listener: TcpListener,
    service: Arc<Service>,
    cors: CorsLayer,
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
        // Bodies have their own limits.
        .layer(DefaultBodyLimit::disable())
        .layer(cors)
        .layer(from_fn_with_state(service.clone(), sites::guard))
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
