//! Counters of the workers, and the Prometheus text that they are read as: the names that Istio's dashboards use.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{Flow, FlowWorkload};
use crate::policy::Verdict;

/// Upper bounds of the histograms; Envoy's own.
const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1_000.0,
    2_500.0,
    5_000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

const VERDICTS: [Verdict; 4] = [
    Verdict::Registered,
    Verdict::Passthrough,
    Verdict::Blocked,
    Verdict::Bypassed,
];

/// One worker's own counters, summed when they are read. The lock is only ever contended by a scrape.
#[derive(Debug, Default)]
pub(super) struct WorkerCounts {
    pub open: OpenConnections,
    counts: Mutex<Counts>,
}

/// Connections that are open now.
#[derive(Debug, Default)]
pub struct OpenConnections(AtomicUsize);

impl OpenConnections {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn remove(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Counts {
    /// By service host; the empty one stands for destinations that no policy names.
    services: HashMap<String, Service>,
    verdicts: [u64; 4],
    /// Verdicts that policy would have given, where it is only watched.
    would: [u64; 4],
}

#[derive(Debug, Default)]
struct Service {
    namespace: String,
    requests: BySeries<Requests>,
    streams: BySeries<Streams>,
}

/// A service has so few that looking at each takes less than a hash.
#[derive(Debug)]
struct BySeries<T>(Vec<(Series, T)>);

impl<T> Default for BySeries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> BySeries<T> {
    fn of(&mut self, series: Series) -> &mut T {
        let place = self.0.iter().position(|(known, _)| *known == series);
        let place = place.unwrap_or_else(|| {
            self.0.push((series, T::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}

/// What tells the series of one service apart: small and compared by value, so that counting writes no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Series {
    /// Name that stands for the service where policy names none.
    special: Option<&'static str>,
    /// HTTP status; `None` for a stream.
    status: Option<u16>,
    grpc: bool,
    flags: &'static str,
}

/// Requests of one series.
#[derive(Debug, Default, Clone)]
struct Requests {
    duration_ms: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

/// Byte streams of one series.
#[derive(Debug, Default, Clone)]
struct Streams {
    opened: u64,
    closed: u64,
    sent: u64,
    received: u64,
}

#[derive(Debug, Default, Clone)]
struct Histogram {
    /// Values up to each bound and above the one before.
    counts: [u64; BOUNDS.len()],
    /// All values.
    count: u64,
    sum: f64,
}

impl Histogram {
    fn add(&mut self, value: f64) {
        if let Some(count) = self.counts.get_mut(BOUNDS.partition_point(|bound| *bound < value)) {
            *count += 1;
        }
        self.count += 1;
        self.sum += value;
    }

    fn merge(&mut self, other: &Self) {
        self.counts
            .iter_mut()
            .zip(other.counts)
            .for_each(|(sum, own)| *sum += own);
        self.count += other.count;
        self.sum += other.sum;
    }

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let mut up_to = 0;
        for (bound, count) in BOUNDS.iter().zip(self.counts) {
            up_to += count;
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {up_to}");
        }
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}", self.sum);
        let _ = writeln!(text, "{name}_count{{{labels}}} {}", self.count);
    }
}

impl WorkerCounts {
    /// Counts a stream that begins.
    pub fn opened(&self, flow: &Flow) {
        self.lock()
            .with_service(flow, |service| service.streams.of(series(flow)).opened += 1);
    }

    /// Counts a finished flow.
    pub fn finished(&self, flow: &Flow) {
        let mut counts = self.lock();
        counts.verdicts[flow.verdict as usize] += 1;
        if let Some(verdict) = flow.would {
            counts.would[verdict as usize] += 1;
        }
        counts.with_service(flow, |service| {
            let series = series(flow);
            if flow.http.is_some() {
                let requests = service.requests.of(series);
                requests.duration_ms.add(flow.duration.as_secs_f64() * 1000.0);
                requests.request_bytes.add(flow.received as f64);
                requests.response_bytes.add(flow.sent as f64);
            } else {
                let streams = service.streams.of(series);
                streams.closed += 1;
                streams.sent += flow.sent;
                streams.received += flow.received;
            }
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn with_service(&mut self, flow: &Flow, count: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(&flow.service_host) {
            return count(service);
        }
        let mut service = Service {
            namespace: flow.service_namespace.clone(),
            ..Service::default()
        };
        count(&mut service);
        self.services.insert(flow.service_host.clone(), service);
    }
}

/// The name comes from the route first, then from the cluster.
fn series(flow: &Flow) -> Series {
    Series {
        special: match (flow.route.as_str(), flow.cluster.as_str()) {
            ("block_all", _) | (_, "BlackHoleCluster") => Some("BlackHoleCluster"),
            ("allow_any" | "allow_any_dynamic_dns", _) | (_, "PassthroughCluster") => Some("PassthroughCluster"),
            _ => None,
        },
        status: flow.http.as_ref().map(|http| http.status),
        grpc: flow.http.as_ref().is_some_and(|http| http.grpc),
        flags: if flow.flags.is_empty() { "-" } else { flow.flags },
    }
}

/// All workers' counters as Prometheus text, with the lines that the access log lacks and those that readers of `/flows` do.
pub(super) fn text(workers: &[Arc<WorkerCounts>], workload: &FlowWorkload, dropped: u64, dropped_flows: u64) -> String {
    let (mut verdicts, mut would, mut open) = ([0; 4], [0; 4], 0);
    let (mut requests, mut streams) = (BTreeMap::<String, Requests>::new(), BTreeMap::<String, Streams>::new());
    for worker in workers {
        open += worker.open.count();
        let counts = worker.lock();
        verdicts
            .iter_mut()
            .zip(counts.verdicts)
            .for_each(|(sum, own)| *sum += own);
        would.iter_mut().zip(counts.would).for_each(|(sum, own)| *sum += own);
        for (host, service) in &counts.services {
            for (series, own) in &service.requests.0 {
                let sum = requests
                    .entry(labels(host, &service.namespace, series, workload))
                    .or_default();
                sum.duration_ms.merge(&own.duration_ms);
                sum.request_bytes.merge(&own.request_bytes);
                sum.response_bytes.merge(&own.response_bytes);
            }
            for (series, own) in &service.streams.0 {
                let sum = streams
                    .entry(labels(host, &service.namespace, series, workload))
                    .or_default();
                sum.opened += own.opened;
                sum.closed += own.closed;
                sum.sent += own.sent;
                sum.received += own.received;
            }
        }
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    counter(&mut text, "istio_requests_total", &requests, |requests| {
        requests.duration_ms.count
    });
    histogram(
        &mut text,
        "istio_request_duration_milliseconds",
        &requests,
        |requests| &requests.duration_ms,
    );
    histogram(&mut text, "istio_request_bytes", &requests, |requests| {
        &requests.request_bytes
    });
    histogram(&mut text, "istio_response_bytes", &requests, |requests| {
        &requests.response_bytes
    });
    counter(&mut text, "istio_tcp_connections_opened_total", &streams, |streams| {
        streams.opened
    });
    counter(&mut text, "istio_tcp_connections_closed_total", &streams, |streams| {
        streams.closed
    });
    counter(&mut text, "istio_tcp_sent_bytes_total", &streams, |streams| {
        streams.sent
    });
    counter(&mut text, "istio_tcp_received_bytes_total", &streams, |streams| {
        streams.received
    });
    let _ = writeln!(text, "# TYPE egret_flows_total counter");
    for verdict in VERDICTS {
        let count = verdicts[verdict as usize];
        let _ = writeln!(text, "egret_flows_total{{verdict=\"{verdict}\"}} {count}");
    }
    let _ = writeln!(text, "# TYPE egret_observed_flows_total counter");
    for verdict in VERDICTS {
        let count = would[verdict as usize];
        let _ = writeln!(text, "egret_observed_flows_total{{verdict=\"{verdict}\"}} {count}");
    }
    let _ = writeln!(
        text,
        "# TYPE egret_open_connections gauge\negret_open_connections {open}"
    );
    let _ = writeln!(
        text,
        "# TYPE egret_access_log_dropped_total counter\negret_access_log_dropped_total {dropped}"
    );
    let _ = writeln!(
        text,
        "# TYPE egret_flows_dropped_total counter\negret_flows_dropped_total {dropped_flows}"
    );
    text
}

fn counter<T>(text: &mut String, name: &str, all: &BTreeMap<String, T>, value: impl Fn(&T) -> u64) {
    let _ = writeln!(text, "# TYPE {name} counter");
    for (labels, own) in all {
        let _ = writeln!(text, "{name}{{{labels}}} {}", value(own));
    }
}

fn histogram<T>(text: &mut String, name: &str, all: &BTreeMap<String, T>, value: impl Fn(&T) -> &Histogram) {
    let _ = writeln!(text, "# TYPE {name} histogram");
    for (labels, own) in all {
        value(own).write(text, name, labels);
    }
}

/// Istio's labels at the source reporter. Host headers of unknown destinations are the callers' own text: as a label
/// each would be a new time series, so they are `unknown`.
fn labels(host: &str, namespace: &str, series: &Series, workload: &FlowWorkload) -> String {
    let or_unknown = |text: &str| escape(if host.is_empty() { "unknown" } else { text });
    let (protocol, code) = match series.status {
        Some(status) => (
            if series.grpc { "grpc" } else { "http" },
            format!(",response_code=\"{status}\""),
        ),
        None => ("tcp", String::new()),
    };
    format!(
        "reporter=\"source\",source_workload=\"{}\",source_workload_namespace=\"{}\",destination_service=\"{}\",destination_service_name=\"{}\",destination_service_namespace=\"{}\",request_protocol=\"{protocol}\"{code},response_flags=\"{}\"",
        escape(&workload.name),
        escape(&workload.namespace),
        or_unknown(host),
        series.special.map_or_else(|| or_unknown(host), str::to_string),
        or_unknown(namespace),
        series.flags,
    )
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_value_up_to_its_bound() {
        let mut histogram = Histogram::default();
        for value in [0.5, 0.6, 5.0, 4_000_000.0] {
            histogram.add(value);
        }
        let mut text = String::new();
        histogram.write(&mut text, "h", "a=\"b\"");
        for line in [
            "h_bucket{a=\"b\",le=\"0.5\"} 1",
            "h_bucket{a=\"b\",le=\"1\"} 2",
            "h_bucket{a=\"b\",le=\"5\"} 3",
            "h_bucket{a=\"b\",le=\"3600000\"} 3",
            "h_bucket{a=\"b\",le=\"+Inf\"} 4",
            "h_sum{a=\"b\"} 4000006.1",
            "h_count{a=\"b\"} 4",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in {text}");
        }
    }
}
