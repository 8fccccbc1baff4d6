//! Connections: accepted until the server stops, closed when no request comes, so that nobody holds them all.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

/// How long nothing is accepted when the system gives no more sockets.
const OUT_OF_SOCKETS: Duration = Duration::from_millis(100);

/// Answers requests until `stop` is ready, and then those that have begun, for `grace` at most. A connection is closed
/// when the head of a request does not arrive within `head_timeout`.
pub(crate) async fn answer_all(
    listener: TcpListener,
    routes: Router,
    head_timeout: Duration,
    grace: Duration,
    stop: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head_timeout);
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
                // What goes wrong with a connection is its client's affair.
                tokio::spawn(open.watch(http.serve_connection(TokioIo::new(stream), service)));
            }
            Err(_) => tokio::time::sleep(OUT_OF_SOCKETS).await,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(grace, open.shutdown()).await;
}
