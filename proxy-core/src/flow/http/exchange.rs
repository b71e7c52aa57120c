//! One request over one upstream connection: choose an address, take or open a connection, send, wait for the head.

use std::{mem, net::SocketAddr, pin::pin, rc::Rc, time::Duration};

use hyper::{
    HeaderMap, Request, Response, Uri, Version,
    body::Incoming,
    client::conn::{TrySendError, http1::SendRequest},
    header::{self, HeaderValue},
};
use tokio::time::Instant;

use super::{
    heads,
    multiplex::{self, Stream},
    speak::{self, Http1},
};
use crate::{
    flow::{
        Worker,
        body::{Deadline, RequestBody},
        breaker::{Breaker, Overflow, Share},
        choice::Wish,
        grpc,
        hosts::Busy,
        outlier::Outcome,
        pool::{self, IdleLimits, Key},
        proxy_header::ProxyHeader,
        reset::Reset,
        upstream::{self, Failed},
    },
    policy::{Cluster, Endpoints, HttpVersion},
};

/// An upstream connection in use.
#[derive(Debug)]
pub struct Lease {
    line: Line,
    pub local: Option<SocketAddr>,
    /// The request's share of its cluster's limits.
    request: Option<Share>,
}

/// What a request is sent over.
#[derive(Debug)]
enum Line {
    /// A connection that it has for itself: HTTP/1.1.
    Whole {
        sender: SendRequest<RequestBody>,
        key: Key,
        /// Requests that it has served, with this one.
        served: u32,
        /// How many it may serve.
        serves: Option<u32>,
        /// How long it may be kept.
        limits: IdleLimits,
    },
    /// One that it shares: HTTP/2.
    Shared(Stream),
}

impl Lease {
    /// For the next request.
    pub fn give_back(self, worker: &Rc<Worker>) {
        match self.line {
            Line::Whole {
                sender,
                key,
                served,
                serves,
                limits,
            } => {
                if serves.is_none_or(|serves| served < serves) {
                    worker.pool.borrow_mut().put(key, sender, self.local, served, limits);
                    pool::sweep(worker, limits.end(Instant::now()));
                }
            }
            Line::Shared(stream) => drop(stream),
        }
        // Only now, so that who waits finds the connection.
        drop(self.request);
    }

    /// The version that is spoken.
    pub fn version(&self) -> HttpVersion {
        match self.line {
            Line::Whole { .. } => HttpVersion::Http11,
            Line::Shared(_) => HttpVersion::H2c,
        }
    }

    async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match &mut self.line {
            Line::Whole { sender, served, .. } => {
                *served += 1;
                sender.try_send_request(request).await
            }
            Line::Shared(stream) => stream.send(request).await,
        }
    }
}

/// Why an attempt gave no response.
pub enum Lost {
    /// No connection.
    Connect(Failed),
    /// It ended before a response.
    Reset(Reset),
    /// The attempt took too long.
    PerTry,
    /// The cluster has as much to do as it may.
    Overflow,
}

impl From<Failed> for Lost {
    fn from(failed: Failed) -> Self {
        Self::Connect(failed)
    }
}

impl From<Overflow> for Lost {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
}

/// Whom a request is for.
pub struct Target<'t> {
    pub worker: &'t Rc<Worker>,
    pub cluster: &'t Cluster,
    /// Who has called and waits; nobody waits for a copy.
    pub source: Option<SocketAddr>,
    pub destination: SocketAddr,
    /// The Host that is sent: for TLS, and where it is resolved.
    pub authority: &'t str,
    /// `http` or `https`, as the caller says it.
    pub scheme: &'static str,
    /// What counts for the choice of an endpoint.
    pub wish: Wish<'t>,
    /// What the caller speaks.
    pub caller: HttpVersion,
    /// How long an answer may take, once there is a connection for the request.
    pub limit: Option<Duration>,
}

/// Addresses of an exchange, noted as soon as they are known.
pub struct Reached<'r> {
    pub upstream: &'r mut Option<SocketAddr>,
    pub local: &'r mut Option<SocketAddr>,
    /// The endpoint is busy with the exchange.
    pub busy: &'r mut Option<Busy>,
}

/// Sends a request and waits for the head of the response. On failure the body comes back where nothing of it was sent.
pub async fn exchange(
    target: &Target<'_>,
    mut request: Request<RequestBody>,
    reached: Reached<'_>,
) -> Result<(Response<Incoming>, Lease), (Lost, Option<RequestBody>)> {
    let Target {
        worker,
        cluster,
        source,
        destination,
        authority,
        scheme,
        wish,
        caller,
        limit,
    } = *target;
    let breaker = worker.breaking.of(cluster);
    let mut share = match breaker.as_ref().map(Breaker::request).transpose() {
        Ok(share) => share,
        Err(overflow) => return Err((overflow.into(), Some(request.into_body()))),
    };
    // An attempt before is over.
    *reached.busy = None;
    let finding = pin!(upstream::endpoint(worker, cluster, destination, authority, wish));
    let found = match &cluster.endpoints {
        Endpoints::DynamicDns(_) => request.body_mut().while_reading(finding).await,
        // What policy names Envoy knows beforehand.
        _ => finding.await,
    };
    let address = match found {
        Ok((address, busy)) => {
            *reached.busy = busy;
            address
        }
        Err(failed) => return Err((failed.into(), Some(request.into_body()))),
    };
    let report = |outcome| {
        if let Some(busy) = reached.busy.as_ref() {
            busy.report(outcome);
        }
    };
    *reached.upstream = Some(address);
    let tls = cluster.settings.tls.as_ref();
    let key = Key {
        address,
        server: tls.map(|tls| upstream::server(tls, Some(authority)).into()),
        header: ProxyHeader::of(cluster, source, destination).map(Box::new),
    };
    // An upgrade takes a connection of its own.
    let spoken = match cluster.settings.http.spoken(caller) {
        HttpVersion::H2c if !request.headers().contains_key(header::UPGRADE) => HttpVersion::H2c,
        _ => HttpVersion::Http11,
    };
    match (caller, spoken) {
        (_, HttpVersion::H2c) => {
            address_stream(&mut request, scheme);
            request.body_mut().stream(caller);
        }
        (HttpVersion::H2c, _) => begin_with_host(request.headers_mut()),
        _ => {}
    }
    let progress = request.body().progress();
    let is_grpc = grpc::is_grpc(request.headers());
    loop {
        let opening = pin!(connection(worker, cluster, breaker.as_ref(), &key, spoken));
        let (mut lease, was_reused) = match request.body_mut().while_reading(opening).await {
            Ok(found) => found,
            Err(lost) => {
                if let Lost::Connect(_) = &lost {
                    report(Outcome::Failed);
                }
                return Err((lost, Some(request.into_body())));
            }
        };
        if progress.broken.get() {
            // Given up by its caller meanwhile: nobody is asked, and the connection serves another one.
            lease.give_back(worker);
            return Err((Lost::Reset(Reset::Termination), None));
        }
        lease.request = share.take();
        *reached.local = lease.local;
        if let Some(busy) = reached.busy.as_ref() {
            busy.ask();
        }
        // Envoy: an attempt's time begins with its place on a connection, or with the end of its request where that is later.
        let sent = match limit {
            None => lease.send(request).await,
            Some(limit) => tokio::select! {
                biased;
                sent = lease.send(request) => sent,
                () = Deadline::new(limit, progress.clone()) => return Err((Lost::PerTry, None)),
            },
        };
        match sent {
            Ok(response) if spoken == HttpVersion::Http11 && heads::contradicts_itself(&response) => {
                report(Outcome::Failed);
                return Err((Lost::Reset(Reset::Protocol), None));
            }
            Ok(response) => {
                // Envoy's router: what ends a call in the head of its answer counts for the status of HTTP.
                let status = grpc::status(response.headers())
                    .filter(|_| is_grpc)
                    .map(grpc::http_status);
                report(Outcome::Answered(status.unwrap_or(response.status().as_u16())));
                return Ok((response, lease));
            }
            Err(mut error) => match error.take_message() {
                // An idle connection that the upstream had closed: nothing was sent, a fresh one serves.
                Some(unsent) if was_reused => {
                    request = unsent;
                    share = lease.request.take();
                }
                unsent => {
                    // That its caller broke it off says nothing of the endpoint.
                    if !progress.broken.get() {
                        report(Outcome::Failed);
                    }
                    let reset = Reset::of(error.error());
                    return Err((Lost::Reset(reset), unsent.map(Request::into_body)));
                }
            },
        }
    }
}

/// Names the authority as HTTP/2 does. Envoy: the scheme is the caller's, which no TLS of the sidecar's own changes.
fn address_stream(request: &mut Request<RequestBody>, scheme: &str) {
    *request.version_mut() = Version::HTTP_2;
    let Some(host) = request.headers().get(header::HOST) else {
        return;
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let named = Uri::builder()
        .scheme(scheme)
        .authority(host.as_bytes())
        .path_and_query(path);
    // A Host that is no authority stays a header, which stands for one.
    if let Ok(uri) = named.build() {
        *request.uri_mut() = uri;
        take_host(request.headers_mut());
    }
}

/// Takes the Host out; the other lines keep their order, which they would not if it were only removed.
fn take_host(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let mut host = None;
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    let mut last = None;
    for (name, value) in mem::take(headers) {
        // A further line of a name comes without it.
        last = name.or(last);
        match &last {
            Some(header::HOST) => host = Some(value),
            Some(name) => drop(kept.append(name, value)),
            None => {}
        }
    }
    *headers = kept;
    host
}

/// Has the Host come first, where HTTP/1.1 has it and HTTP/2 its authority.
fn begin_with_host(headers: &mut HeaderMap) {
    if let Some(host) = take_host(headers) {
        let others = mem::take(headers);
        headers.insert(header::HOST, host);
        headers.extend(others);
    }
}

/// A connection for a request, and whether it served before: an idle one, or a new one as soon as the cluster's limits allow
/// it.
async fn connection(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    breaker: Option<&Breaker>,
    key: &Key,
    spoken: HttpVersion,
) -> Result<(Lease, bool), Lost> {
    if spoken == HttpVersion::H2c {
        // In boxes, here and where a connection is opened: every connection of a caller has room for its largest request.
        let (stream, was_open) = Box::pin(multiplex::stream(worker, cluster, breaker, key)).await?;
        let lease = Lease {
            local: stream.local,
            line: Line::Shared(stream),
            request: None,
        };
        return Ok((lease, was_open));
    }
    let serves = cluster.settings.limits.requests_per_connection;
    if let Some(lease) = idle(worker, key, serves) {
        return Ok((lease, true));
    }
    let open = async |share| {
        let opened = Box::pin(speak::open(worker, cluster, key, Http1(share))).await?;
        let limits = IdleLimits::of(cluster, Instant::now());
        Ok((whole(opened.sender, key, opened.local, (0, serves), limits), false))
    };
    let Some(breaker) = breaker else {
        return open(None).await;
    };
    let _waiting = breaker.pending()?;
    loop {
        let mut freed = pin!(breaker.freed());
        // From here on nothing that is freed is missed.
        freed.as_mut().enable();
        if let Some(lease) = idle(worker, key, serves) {
            return Ok((lease, true));
        }
        match breaker.connection(key) {
            Ok(share) => return open(Some(share)).await,
            Err(Overflow) => freed.await,
        }
    }
}

fn idle(worker: &Worker, key: &Key, serves: Option<u32>) -> Option<Lease> {
    let idle = worker.pool.borrow_mut().take(key)?;
    let limits = idle.limits;
    Some(whole(idle.sender, key, idle.local, (idle.served, serves), limits))
}

fn whole(
    sender: SendRequest<RequestBody>,
    key: &Key,
    local: Option<SocketAddr>,
    (served, serves): (u32, Option<u32>),
    limits: IdleLimits,
) -> Lease {
    let line = Line::Whole {
        sender,
        key: key.clone(),
        served,
        serves,
        limits,
    };
    Lease {
        line,
        local,
        request: None,
    }
}
