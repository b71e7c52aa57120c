//! HTTP/1.1: each request on a connection is decided, forwarded and recorded on its own.

use std::{net::SocketAddr, pin::pin, rc::Rc, time::Instant};

use hyper::{
    Method, Request, Response,
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{
    Worker,
    body::{Broken, Progress, RequestBody, ResponseBody},
    connection::Accepted,
    explicit, headers, reply,
};
use crate::{
    net::Prefixed,
    policy::{Action, Claims, Decision, Facts, Forward, HttpClaims, HttpVersion, Snapshot, decide},
    record::{Flow, HttpPart},
};

mod forward;

use forward::Upgrade;

/// Largest request head, as Envoy's default of 60 KiB.
const MAX_HEAD: usize = 64 * 1024;

/// Serves a connection that speaks HTTP/1.1. Without a destination each request names its own (explicit proxy).
pub(super) async fn serve(worker: Rc<Worker>, accepted: Accepted, destination: Option<SocketAddr>) {
    let Accepted {
        client, source, first, ..
    } = accepted;
    let io = TokioIo::new(Prefixed::new(first, client));
    let shared = worker.clone();
    let service = service_fn(move |request| {
        let worker = shared.clone();
        async move { handle(worker, request, source, destination).await }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .half_close(true)
            .auto_date_header(false)
            .max_buf_size(MAX_HEAD)
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .serve_connection(io, service)
            .with_upgrades()
    );
    // What went wrong inside a request is in its record; a caller that breaks the connection off needs no second row.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = worker.drain_begun() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The connection must end: policy cuts what it carries.
#[derive(Debug, thiserror::Error)]
#[error("cut by policy")]
struct Cut;

async fn handle(
    worker: Rc<Worker>,
    mut request: Request<Incoming>,
    source: SocketAddr,
    fixed: Option<SocketAddr>,
) -> Result<Response<ResponseBody>, Cut> {
    let authority = authority(&request);
    let is_connect = request.method() == Method::CONNECT;
    let sent_path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_string();
    let path = if sent_path.starts_with('/') {
        headers::normalise(&sent_path)
    } else {
        Some(sent_path.clone())
    };
    let http = HttpPart {
        method: request.method().to_string(),
        path: if is_connect {
            String::new()
        } else {
            path.clone().unwrap_or(sent_path)
        },
        version: "HTTP/1.1",
        forwarded_for: headers::text(
            request.headers(),
            "x-forwarded-for".parse().unwrap_or(header::FORWARDED),
        ),
        user_agent: headers::text(request.headers(), header::USER_AGENT),
        request_id: headers::request_id(request.headers(), || worker.draw()),
        authority: authority.clone().unwrap_or_default(),
        ..HttpPart::default()
    };
    let snapshot = worker.snapshot.load_full();
    let destination = match fixed {
        Some(destination) => Some(destination),
        None => named_destination(&worker, authority.as_deref()).await,
    };
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut finish = Box::new(Finish::new(
        worker.clone(),
        &snapshot,
        http,
        source,
        destination.unwrap_or(unknown),
    ));
    // CONNECT has no end.
    finish.unread = is_connect || !request.body().is_end_stream();
    if is_connect && !authority.as_deref().is_some_and(names_port) {
        // To Envoy's parser this is no request at all, and so it has nothing of it.
        *finish.http_part() = HttpPart {
            version: "HTTP/1.1",
            ..HttpPart::default()
        };
        return Ok(finish.reply(400, "DPE", "http1.invalid_url", "Bad Request"));
    }
    let Some(destination) = destination else {
        return Ok(finish.reply(502, "DF", "dns_resolution_failure", "DNS resolution failure"));
    };
    let Some(path) = path else {
        return Ok(finish.reply(400, "", "path_normalization_failed", ""));
    };
    let claims = HttpClaims {
        version: HttpVersion::Http11,
        method: &finish.http_part().method.clone(),
        authority: authority.as_deref(),
        path: &path,
        headers: &headers::Lines(request.headers()),
    };
    let facts = Facts {
        destination,
        claims: Claims::Http(claims),
        draw: worker.draw() as u32,
    };
    let decision = decide(&snapshot, &facts, &mut ());
    finish.decided(&decision);
    let action = match decision.action {
        // Whoever names the destination to a proxy has no other way there; like any bypass it is not ours to record.
        Action::Bypass if fixed.is_none() => {
            finish.silent = true;
            Action::Forward(snapshot.as_asked())
        }
        action => action,
    };
    let response = match action {
        Action::Reply(answer) => {
            let target = answer
                .redirect
                .map(|redirect| reply::location(redirect, authority.as_deref().unwrap_or_default(), &path));
            let mut response = finish.reply(answer.status, flags(answer.flags), answer.details, answer.body);
            if let Some(value) = target.and_then(|target| HeaderValue::from_str(&target).ok()) {
                response.headers_mut().insert(header::LOCATION, value);
            }
            response
        }
        Action::Forward(forward) => {
            finish.unread = false;
            let progress = Rc::<Progress>::default();
            finish.progress = Some(progress.clone());
            let websocket = match forward::upgrade(&request) {
                Upgrade::None => false,
                Upgrade::WebSocket => true,
                Upgrade::Refused => {
                    return Ok(reply::close(finish.reply(403, "", "upgrade_failed", "")));
                }
            };
            let on_upgrade = websocket.then(|| hyper::upgrade::on(&mut request));
            let (mut parts, body) = request.into_parts();
            headers::strip_hop_by_hop(&mut parts.headers, websocket);
            let id = finish.http_part().request_id.clone();
            headers::prepare_request(&mut parts.headers, &id, forward.operation, forward.timeout);
            // Whatever the caller speaks, upstreams are spoken to in HTTP/1.1.
            parts.version = hyper::Version::HTTP_11;
            if let Ok(uri) = path.parse() {
                parts.uri = uri;
            }
            if let Some(host) = authority.as_deref().and_then(|host| HeaderValue::from_str(host).ok()) {
                parts.headers.insert(header::HOST, host);
            }
            let body = RequestBody::new(body, progress);
            forward::forward(&worker, forward, destination, parts, body, finish, on_upgrade).await
        }
        Action::Cut { cluster, flags } => {
            finish.cut(cluster, flags);
            return Err(Cut);
        }
        // Nothing captures this any more: the caller's next connection goes straight.
        Action::Bypass => return Err(Cut),
    };
    Ok(closing(&worker, response))
}

/// While draining, callers are asked to come back on a new connection.
fn closing(worker: &Worker, response: Response<ResponseBody>) -> Response<ResponseBody> {
    if worker.draining.get() {
        reply::close(response)
    } else {
        response
    }
}

/// True for `host:port`.
fn names_port(authority: &str) -> bool {
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

/// The authority of an absolute target, else the Host lines; two lines become one with a comma, as in Envoy.
fn authority(request: &Request<Incoming>) -> Option<String> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.to_string());
    }
    let lines: Vec<&str> = request
        .headers()
        .get_all(header::HOST)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

async fn named_destination(worker: &Worker, authority: Option<&str>) -> Option<SocketAddr> {
    let authority = authority?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 80),
    };
    explicit::resolve(worker, host, port).await
}

fn flags(flags: &'static str) -> &'static str {
    if flags == "-" { "" } else { flags }
}

/// A flow in the making; recorded once, when the response has ended.
#[derive(Debug)]
pub(super) struct Finish {
    worker: Rc<Worker>,
    flow: Flow,
    started: Instant,
    progress: Option<Rc<Progress>>,
    /// Given back to the pool when the response ended well.
    lease: Option<forward::Lease>,
    /// True while nobody reads the rest of the request: a reply that comes meanwhile ends the connection, as Envoy's does.
    unread: bool,
    /// True once recorded, or where another records.
    silent: bool,
}

impl Finish {
    fn new(
        worker: Rc<Worker>,
        snapshot: &Snapshot,
        http: HttpPart,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        let flow = Flow {
            protocol: "http",
            http: Some(http),
            ..Flow::begin(crate::policy::Verdict::Blocked, source, destination, snapshot.hash())
        };
        Self {
            worker,
            flow,
            started: Instant::now(),
            progress: None,
            lease: None,
            unread: false,
            silent: false,
        }
    }

    fn decided(&mut self, decision: &Decision<'_>) {
        self.flow.verdict = decision.verdict;
        self.flow.route = decision.route.unwrap_or_default().to_string();
        if let Action::Forward(Forward { cluster, .. }) = decision.action {
            self.flow.cluster = cluster.name.to_string();
            self.flow.service_host = cluster.host.to_string();
            self.flow.service_namespace = cluster.namespace.to_string();
        }
    }

    /// The HTTP part; this flow always has one.
    fn http_part(&mut self) -> &mut HttpPart {
        self.flow.http.get_or_insert_default()
    }

    /// Answers here.
    fn reply(
        mut self: Box<Self>,
        status: u16,
        flags: &'static str,
        details: &str,
        body: &str,
    ) -> Response<ResponseBody> {
        self.http_part().status = status;
        self.flow.flags = flags;
        self.flow.details = details.to_string();
        let unread = self.unread;
        let response = reply::local(status, body, self);
        if unread { reply::close(response) } else { response }
    }

    fn cut(mut self: Box<Self>, cluster: Option<&str>, flags: &'static str) {
        self.flow.http = None;
        self.flow.cluster = cluster.unwrap_or_default().to_string();
        self.flow.flags = flags;
        self.complete();
    }

    /// Counts bytes to the caller.
    pub fn sent(&mut self, bytes: usize) {
        self.flow.sent += bytes as u64;
    }

    /// The response broke off after its head.
    pub fn broken(&mut self, broken: &Broken) {
        self.lease = None;
        match broken {
            Broken::TimedOut => {
                self.flow.flags = "UT";
                self.flow.details = "response_timeout".into();
            }
            Broken::Upstream(_) => {
                self.flow.flags = "UC";
                self.flow.details = "upstream_reset_after_response_started{connection_termination}".into();
            }
        }
    }

    /// The caller went away before the end.
    pub fn left(&mut self) {
        self.lease = None;
        self.flow.flags = "DC";
        self.flow.details = "downstream_remote_disconnect".into();
    }

    /// A stand-in that records nothing: for the head of an upgraded connection, whose flow goes on.
    fn silent(&self) -> Self {
        Self {
            worker: self.worker.clone(),
            flow: self.flow.clone(),
            started: self.started,
            progress: None,
            lease: None,
            unread: false,
            silent: true,
        }
    }

    /// Records the flow and gives the upstream connection back.
    pub fn complete(mut self: Box<Self>) {
        self.record();
        if let Some(lease) = self.lease.take() {
            lease.give_back(&self.worker);
        }
    }

    fn record(&mut self) {
        if std::mem::replace(&mut self.silent, true) {
            return;
        }
        if let Some(progress) = &self.progress {
            self.flow.received = progress.bytes.get();
        }
        self.flow.duration = self.started.elapsed();
        self.worker.recorder.record(&self.flow);
    }
}

/// A request that ends without any response still has its row: the caller left, or a drain's deadline cut it.
impl Drop for Finish {
    fn drop(&mut self) {
        if !self.silent {
            self.flow.flags = "DC";
            self.flow.details = if self.worker.draining.get() {
                "downstream_local_disconnect".into()
            } else {
                "downstream_remote_disconnect".into()
            };
            self.record();
        }
    }
}
