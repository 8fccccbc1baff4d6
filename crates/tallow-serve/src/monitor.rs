//! Metrics of the server for Prometheus.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The status of a response, a label of the request counter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

/// A request in progress, counted until this is dropped.
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The metrics of `/metrics`.
pub(crate) struct Monitor {
    registry: Registry,
    requests: Family<Status, Counter>,
    seconds: Histogram,
    in_flight: Gauge,
    batches: Histogram,
}

impl Monitor {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tallow");
        let requests = Family::<Status, Counter>::default();
        let seconds = Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let in_flight = Gauge::default();
        let batches = Histogram::new(exponential_buckets(1.0, 2.0, 8));
        registry.register("requests", "Answered requests to /predict", requests.clone());
        let help = "Time from the head of a request to /predict to its response";
        registry.register_with_unit("request", help, Unit::Seconds, seconds.clone());
        registry.register("in_flight", "Requests to /predict in progress", in_flight.clone());
        registry.register("batch_size", "Images in a batch", batches.clone());
        Monitor { registry, requests, seconds, in_flight, batches }
    }

    /// Counts a request until the result is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(crate) fn answered(&self, status: u16, after: Duration) {
        self.requests.get_or_create(&Status { status }).inc();
        self.seconds.observe(after.as_secs_f64());
    }

    pub(crate) fn batch(&self, pictures: usize) {
        self.batches.observe(pictures as f64);
    }

    /// The metrics in the OpenMetrics text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
