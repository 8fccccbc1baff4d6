//! Counts and times, as Prometheus reads them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// What a request was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

/// A request that waits for its answer.
pub(crate) struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What `/metrics` says.
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
        registry.register("requests", "Requests to /predict that were answered", requests.clone());
        let help = "From the head of a request to /predict to its answer";
        registry.register_with_unit("request", help, Unit::Seconds, seconds.clone());
        registry.register("in_flight", "Requests to /predict that wait for their answer", in_flight.clone());
        registry.register("batch_size", "Pictures that the model took together", batches.clone());
        Monitor { registry, requests, seconds, in_flight, batches }
    }

    /// A request begins; it ends when this is dropped, answered or given up by its client.
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

    /// The text that Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
