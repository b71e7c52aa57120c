//! Byte streams: TLS passthrough, TCP, and the black hole.

use std::{
    cell::Cell,
    future::pending,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time;

use super::{
    Worker,
    connection::{Accepted, facts},
    upstream::{self, Stream},
};
use crate::{
    net::{self, Ended, Side, tunnel},
    policy::{Action, Decision, FirstBytes, Snapshot, StreamSettings, Verdict},
    record::{Flow, Name},
    sniff::{self, Sniffed},
};

/// Envoy's limit for streams on which nothing passes, which Istio leaves as it is.
const IDLE: Duration = Duration::from_secs(3600);

/// Limit for connecting where policy says nothing: Istio's default.
const BYPASS_TIMEOUT: Duration = Duration::from_secs(10);

/// Forwards or cuts a byte stream, and records it when it has ended.
/// `would` is the verdict that policy would have given, where it is only watched.
pub(super) async fn forward(
    worker: &Worker,
    snapshot: &Snapshot,
    decision: Decision<'_>,
    would: Option<Verdict>,
    accepted: Accepted,
) {
    let Accepted {
        mut client,
        source,
        destination,
        first,
        sniffed,
        draw,
    } = accepted;
    let mut row = Row::new(worker, begin(snapshot, &decision, &sniffed, source, destination));
    let flow = &mut row.flow;
    flow.would = would;
    let compare = |sniffed: &Sniffed| {
        let first_bytes = match sniffed {
            Sniffed::NeedMore => FirstBytes::Unread,
            _ => FirstBytes::Read,
        };
        let facts = facts(destination, sniffed, draw);
        worker.beside.compare(snapshot, &facts, first_bytes)
    };
    flow.other = compare(&sniffed);
    match decision.action {
        Action::Forward(forward) => {
            flow.cluster = forward.cluster.name.to_string();
            flow.service_host = forward.cluster.host.to_string();
            flow.service_namespace = forward.cluster.namespace().to_string();
            worker.recorder.stream_opened(flow);
            let name = flow.sni.clone();
            match upstream::connect(worker, forward.cluster, source, destination, &name, forward.stream).await {
                Ok(mut connected) => {
                    flow.upstream = Some(connected.address);
                    flow.upstream_local = connected.local;
                    let mut naming = Naming::new(&sniffed, &first);
                    let passed = Cell::new(time::Instant::now());
                    let over = over(forward.stream, &passed);
                    let seen = || passed.set(time::Instant::now());
                    let watch = |bytes: &[u8]| {
                        let more = naming.watch(bytes);
                        if let Some(found) = naming.found.take() {
                            name_flow(flow, &found, false);
                            flow.other = compare(&found);
                        }
                        more
                    };
                    let passing = async {
                        match &mut connected.stream {
                            Stream::Plain(stream) => {
                                tunnel(&mut client, stream.split(), &first, &mut row.ended, seen, watch).await;
                            }
                            Stream::Tls(stream) => {
                                let upstream = tokio::io::split(stream);
                                // Boxed: few streams need its room, and each would have it.
                                Box::pin(tunnel(&mut client, upstream, &first, &mut row.ended, seen, watch)).await;
                            }
                        }
                    };
                    let cut = tokio::select! {
                        () = passing => None,
                        why = over => Some(why),
                    };
                    if let Some(Over::Old) = cut {
                        flow.flags = "DT";
                    }
                    // Envoy: who is reset takes the other side along.
                    match row.ended.was_reset() {
                        Some(Side::Upstream) => {
                            flow.flags = "UR";
                            net::reset(client);
                        }
                        Some(Side::Client) => net::reset(connected.stream.into_inner()),
                        None => {}
                    }
                }
                Err(failed) => {
                    flow.upstream = failed.address;
                    flow.flags = failed.stream_flags();
                    flow.transport_failure = failed.transport_failure();
                    net::reset(client);
                }
            }
        }
        Action::Cut { cluster, flags } => {
            flow.cluster = cluster.unwrap_or_default().to_string();
            flow.flags = flags;
            worker.recorder.stream_opened(flow);
            net::reset(client);
        }
        // The interception rules lag behind the policy for a moment, and an explicit proxy has none: what policy does
        // not capture goes straight and is not ours to record.
        Action::Bypass => {
            row.silent = true;
            if let Ok(mut direct) = worker.dialer.dial(destination, BYPASS_TIMEOUT).await {
                tunnel(&mut client, direct.split(), &first, &mut row.ended, || {}, |_| false).await;
            }
        }
        // Only HTTP is answered.
        Action::Reply(_) => net::reset(client),
    }
}

/// Why a stream that could go on is ended.
enum Over {
    /// Nothing has passed for too long. Envoy has no flag for it.
    Idle,
    /// It is as old as it may become.
    Old,
}

/// Ends when a stream must.
async fn over(settings: Option<&StreamSettings>, passed: &Cell<time::Instant>) -> Over {
    let idle = settings.and_then(|settings| settings.idle_timeout).unwrap_or(IDLE);
    let oldest = settings.and_then(|settings| settings.max_duration);
    let oldest = oldest.map(|limit| time::Instant::now() + limit);
    loop {
        let quiet = (!idle.is_zero()).then(|| passed.get() + idle);
        let now = time::Instant::now();
        if oldest.is_some_and(|oldest| oldest <= now) {
            return Over::Old;
        }
        if quiet.is_some_and(|quiet| quiet <= now) {
            return Over::Idle;
        }
        match quiet.into_iter().chain(oldest).min() {
            Some(next) => time::sleep_until(next).await,
            None => pending().await,
        }
    }
}

/// The row of a stream, written when this is dropped: at the stream's end, or when a drain's deadline cuts it.
struct Row<'w> {
    worker: &'w Worker,
    flow: Flow,
    started: Instant,
    ended: Ended,
    silent: bool,
}

impl<'w> Row<'w> {
    fn new(worker: &'w Worker, flow: Flow) -> Self {
        Self {
            worker,
            flow,
            started: Instant::now(),
            ended: Ended::default(),
            silent: false,
        }
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        if self.silent {
            return;
        }
        self.flow.received = self.ended.received;
        self.flow.sent = self.ended.sent;
        self.flow.duration = self.started.elapsed();
        self.worker.recorder.record(&self.flow);
    }
}

fn begin(
    snapshot: &Snapshot,
    decision: &Decision<'_>,
    sniffed: &Sniffed,
    source: SocketAddr,
    destination: SocketAddr,
) -> Flow {
    let mut flow = Flow::begin(decision.verdict, source, destination, snapshot.hash());
    name_flow(&mut flow, sniffed, snapshot.sniff_needs(destination).tls);
    flow
}

/// Notes protocol and name. Istio's own log shows an SNI only where its inspector runs.
fn name_flow(flow: &mut Flow, sniffed: &Sniffed, inspected: bool) {
    match sniffed {
        Sniffed::Tls { sni } => {
            flow.protocol = "tls";
            match sni {
                Some(sni) if inspected => flow.sni = sni.clone(),
                Some(sni) => flow.name = Some(Name::Sni(sni.clone())),
                None => {}
            }
        }
        Sniffed::Http1(head) => {
            flow.protocol = "http";
            flow.name = head.host.clone().map(Name::Host);
        }
        Sniffed::Http2 => flow.protocol = "http2",
        Sniffed::Other | Sniffed::NeedMore => {}
    }
}

/// Learns the name of a stream from its first bytes as they pass, where no inspector held it up.
struct Naming {
    bytes: Vec<u8>,
    found: Option<Sniffed>,
    wanted: bool,
}

/// A name that is not in the first bytes is not waited for.
const NAMING_BYTES: usize = 4096;

impl Naming {
    fn new(sniffed: &Sniffed, first: &[u8]) -> Self {
        Self {
            bytes: first.to_vec(),
            found: None,
            wanted: *sniffed == Sniffed::NeedMore,
        }
    }

    fn watch(&mut self, bytes: &[u8]) -> bool {
        if !self.wanted {
            return false;
        }
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(NAMING_BYTES)]);
        match sniff::sniff(&self.bytes) {
            Sniffed::NeedMore => self.wanted = self.bytes.len() < NAMING_BYTES,
            found => {
                self.found = Some(found);
                self.wanted = false;
            }
        }
        self.wanted
    }
}
