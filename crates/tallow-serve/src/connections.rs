//! Connections: accepted until the server stops, and closed if no request arrives, so that idle clients cannot exhaust
//! them.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

/// The pause after the system provides no more sockets.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(100);

/// The memory that a connection may take for the head of a request, or for what arrived and was not yet read.
const BUFFER_BYTES: usize = 64 << 10;

/// Answers requests until `stop` is ready, then finishes the requests in progress within `grace`. A connection is
/// closed if the head of a request does not arrive within `head_timeout`.
pub(crate) async fn answer_all(
    listener: TcpListener,
    routes: Router,
    head_timeout: Duration,
    grace: Duration,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(BUFFER_BYTES);
    let open = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(routes.clone());
                // An error of a connection concerns only its client.
                tokio::spawn(open.watch(http.serve_connection(TokioIo::new(stream), service)));
            }
            Err(_) => tokio::time::sleep(OUT_OF_SOCKETS).await,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(grace, open.shutdown()).await;
}
