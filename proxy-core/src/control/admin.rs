//! The admin server: readiness, metrics, configuration, the stream of flows, and the way in for a pushed policy; and the
//! health server, which has the first two of these for whoever watches over the workload from outside.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::TcpListener,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use socket2::SockRef;
use tokio::{
    runtime,
    sync::{mpsc, watch},
    task::{self, AbortHandle},
};

use super::{
    BesideState, PolicyState,
    beside::Comparing,
    hold::{HOLDERS, Holds},
    policy::Policy,
    push,
    token::Token,
};
use crate::{
    flow::{EjectedHost, Ejections, Hosts},
    net,
    record::{FLOW_READERS, FlowStream, Recorder},
};

/// What `/ready` says of a sidecar that has its policy and takes connections.
pub const LIVE: &str = "LIVE";

/// Connections at a time; a scraper, a probe and the app need a few.
const CONNECTIONS: usize = 64;

/// Bytes that a connection holds of what its reader does not take; the queue of `/flows` comes on top, once for all readers.
const WRITE_BUFFER: usize = 16 * 1024;

/// How long a reader may take nothing at all of what is sent to it: one whose port-forward hangs never comes back, and holds
/// one of the connections.
const STALLED: Duration = Duration::from_secs(5 * 60);

/// How long a caller may take to its next request; scrapers come once a minute.
const HEAD: Duration = Duration::from_secs(90);

/// Which server a connection comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Everything; on loopback.
    Admin,
    /// Readiness and metrics.
    Health,
}

/// Serves all `doors` until the process ends.
pub(super) fn run(doors: Vec<(TcpListener, Door)>, admin: Admin) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let admin = Arc::new(admin);
    runtime.block_on(async {
        let mut serving = task::JoinSet::new();
        for (listener, door) in doors {
            serving.spawn(serve(tokio::net::TcpListener::from_std(listener)?, door, admin.clone()));
        }
        while serving.join_next().await.is_some() {}
        Ok(())
    })
}

async fn serve(listener: tokio::net::TcpListener, door: Door, admin: Arc<Admin>) {
    let mut seats = Seats::default();
    loop {
        let (stream, _) = net::accept(&listener).await;
        // Without it a connection is no worse than it was.
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED));
        let admin = admin.clone();
        seats.take(|stays| {
            task::spawn(async move {
                let service = service_fn(move |request| {
                    let (admin, stays) = (admin.clone(), stays.clone());
                    async move {
                        let response = admin.answer(door, request).await;
                        if matches!(response.body(), Either::Right(Lines { .. })) {
                            stays.store(true, Ordering::Relaxed);
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                // A reader that goes away needs no report.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .max_buf_size(WRITE_BUFFER)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            })
        });
    }
}

/// The connections of one server, as they came. Where there are as many as there may be, the one that has been there for the
/// longest makes room: whoever holds connections open without a word, which on the health server anyone in the cluster can,
/// must not keep probes and scrapers out. Those that are told line by line stay, since rules are held by them; neither these
/// nor who reads flows can take them all ([`HOLDERS`], [`FLOW_READERS`]).
#[derive(Debug, Default)]
struct Seats(VecDeque<Seat>);

#[derive(Debug)]
struct Seat {
    /// It is told line by line.
    stays: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Seats {
    /// Starts one more connection; where none makes room it ends at once.
    fn take(&mut self, start: impl FnOnce(Arc<AtomicBool>) -> task::JoinHandle<()>) {
        self.0.retain(|seat| !seat.task.is_finished());
        if self.0.len() >= CONNECTIONS {
            let mut seats = self.0.iter();
            let Some(leaves) = seats.position(|seat| !seat.stays.load(Ordering::Relaxed)) else {
                return;
            };
            if let Some(seat) = self.0.remove(leaves) {
                seat.task.abort();
            }
        }
        let stays = Arc::<AtomicBool>::default();
        let task = start(stays.clone()).abort_handle();
        self.0.push_back(Seat { stays, task });
    }
}

/// What the servers tell of.
pub(super) struct Admin {
    pub policy: Arc<Policy>,
    pub comparing: Arc<Comparing>,
    /// Who pushes a policy, or ends the sidecar, must know it.
    pub token: Token,
    pub holds: Holds,
    pub recorder: Arc<Recorder>,
    pub hosts: Arc<Hosts>,
    pub drain_rx: watch::Receiver<bool>,
}

pub(super) type AdminBody = Either<Full<Bytes>, Lines>;

impl Admin {
    async fn answer(&self, door: Door, request: Request<Incoming>) -> Response<AdminBody> {
        // A web page that the user visits must not read this through a name that points to loopback. Whoever comes from
        // outside comes to the health server, under any name.
        if door == Door::Admin && !local_host(&request) {
            return text(StatusCode::FORBIDDEN, "ask for 127.0.0.1 or localhost\n".into());
        }
        if (door, request.method(), request.uri().path()) == (Door::Admin, &Method::PUT, "/policy") {
            return push::answer(&self.policy, &self.token, request).await;
        }
        if (door, request.method(), request.uri().path()) == (Door::Admin, &Method::POST, "/end") {
            return match self.token.check(&request) {
                Ok(()) => {
                    self.holds.end();
                    text(StatusCode::ACCEPTED, "ENDING\n".into())
                }
                Err((status, message)) => text(status, message + "\n"),
            };
        }
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET is served here\n".into());
        }
        match (request.uri().path(), door) {
            ("/ready", _) if *self.drain_rx.borrow() => text(StatusCode::SERVICE_UNAVAILABLE, "DRAINING\n".into()),
            ("/ready", _) => text(StatusCode::OK, format!("{LIVE}\n")),
            ("/metrics", _) => {
                let state = self.policy.state();
                let mut metrics = self.recorder.metrics();
                metrics.push_str(&format!(
                    "# TYPE egret_policy_objects gauge\negret_policy_objects {}\n# TYPE egret_policy_errors gauge\negret_policy_errors {}\n# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes {}\n",
                    state.objects,
                    state.errors.len(),
                    resident_bytes()
                ));
                self.ejections(&mut metrics);
                text(StatusCode::OK, metrics)
            }
            ("/config", Door::Admin) => {
                let configuration = Configuration {
                    policy: self.policy.state(),
                    compared: self.comparing.state(),
                    ejected: self.hosts.ejected(),
                };
                json(StatusCode::OK, &configuration)
            }
            ("/flows", Door::Admin) => {
                let Some(flows) = self.recorder.subscribe() else {
                    let message = format!("{FLOW_READERS} read the flows already: one of them has to end first\n");
                    return text(StatusCode::SERVICE_UNAVAILABLE, message);
                };
                let mut response = Response::new(Either::Right(Lines::flows(flows)));
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
                response
            }
            ("/hold", Door::Admin) => match self.holds.hold() {
                Some(line_rx) => Response::new(Either::Right(Lines { line_rx })),
                None => {
                    let message = format!("{HOLDERS} hold rules already: one of them has to end first\n");
                    text(StatusCode::SERVICE_UNAVAILABLE, message)
                }
            },
            (_, Door::Admin) => text(
                StatusCode::NOT_FOUND,
                "/ready, /metrics, /config, /flows and /hold are served here\n".into(),
            ),
            (_, Door::Health) => text(StatusCode::NOT_FOUND, "/ready and /metrics are served here\n".into()),
        }
    }
}

impl Admin {
    /// What outlier detection did, under Envoy's names.
    fn ejections(&self, metrics: &mut String) {
        let clusters = self.hosts.ejections();
        let mut family = |name: &str, kind: &str, value: &dyn Fn(&Ejections) -> u64| {
            metrics.push_str(&format!("# TYPE {name} {kind}\n"));
            for cluster in &clusters {
                // Names of clusters are host names, which hold nothing that would need escaping.
                let value = value(cluster);
                metrics.push_str(&format!("{name}{{cluster_name=\"{}\"}} {value}\n", cluster.cluster));
            }
        };
        family(
            "envoy_cluster_outlier_detection_ejections_active",
            "gauge",
            &|cluster| cluster.active as u64,
        );
        family(
            "envoy_cluster_outlier_detection_ejections_enforced_total",
            "counter",
            &|cluster| cluster.total,
        );
    }
}

/// What `/config` says: the policy in force, and what came of it.
#[derive(Serialize)]
struct Configuration {
    #[serde(flatten)]
    policy: PolicyState,
    /// Another one that is compared with.
    compared: Option<BesideState>,
    /// Endpoints that outlier detection leaves out now.
    ejected: Vec<EjectedHost>,
}

/// Resident memory of this process; 0 where the system does not tell.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or_default() * rustix::param::page_size()
}

fn local_host(request: &Request<Incoming>) -> bool {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// A document as an answer.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response<AdminBody> {
    let mut json = serde_json::to_string_pretty(document).unwrap_or_default();
    json.push('\n');
    let mut response = text(status, json);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, text: String) -> Response<AdminBody> {
    let mut response = Response::new(Either::Left(Full::new(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// A body line by line, as they come.
pub(super) struct Lines {
    line_rx: mpsc::Receiver<Bytes>,
}

impl Lines {
    /// Records as they happen. A reader that is too slow is told how many it missed.
    fn flows(mut flows: FlowStream) -> Self {
        let (line_tx, line_rx) = mpsc::channel(1);
        task::spawn(async move {
            // Records are taken from their queue once there is room for them: what waits, waits there.
            while let Ok(room) = line_tx.reserve().await {
                tokio::select! {
                    lines = flows.next() => room.send(lines.into()),
                    () = line_tx.closed() => return,
                }
            }
        });
        Self { line_rx }
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.line_rx
            .poll_recv(cx)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}
