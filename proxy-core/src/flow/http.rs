//! HTTP/1.1: each request on a connection is decided, forwarded and recorded on its own.

use std::{mem, net::SocketAddr, pin::pin, rc::Rc, time::Duration};

use hyper::{
    HeaderMap, Method, Request, Response,
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{
    Worker,
    body::{Progress, RequestBody, ResponseBody},
    connection::Accepted,
    explicit, headers, reply,
};
use crate::{
    net::Prefixed,
    policy::{Action, Claims, Facts, Forward, HttpClaims, HttpVersion, Reply, decide},
    record::HttpPart,
};

mod cors;
mod edits;
mod exchange;
mod fault;
mod finish;
mod forward;
mod mirror;

use cors::Crossing;
use edits::{Asked, Sent};
pub(super) use finish::Finish;
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
            // As with Envoy, who says no more has left: what waits for an answer ends then.
            .half_close(false)
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
    request: Request<Incoming>,
    source: SocketAddr,
    fixed: Option<SocketAddr>,
) -> Result<Response<ResponseBody>, Cut> {
    let progress = Rc::<Progress>::default();
    let mut request = request.map(|body| RequestBody::new(body, progress.clone()));
    let authority = authority(&request);
    let is_connect = request.method() == Method::CONNECT;
    let sent_path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_string();
    let path = match sent_path.starts_with('/') {
        true => headers::normalise(&sent_path).or_else(|| worker.observes().then(|| sent_path.clone())),
        false => Some(sent_path.clone()),
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
    finish.progress = Some(progress);
    finish.endless = is_connect;
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
    let (decision, would) = worker.carry_out(&snapshot, decide(&snapshot, &facts, &mut ()));
    finish.decided(&decision);
    finish.flow.would = would;
    let action = match decision.action {
        // Whoever names the destination to a proxy has no other way there; like any bypass it is not ours to record.
        Action::Bypass if fixed.is_none() => {
            finish.silent = true;
            Action::Forward(snapshot.as_asked())
        }
        action => action,
    };
    let asked = Asked {
        treatment: decision.treatment,
        destination: match action {
            Action::Forward(forward) => forward.edits,
            _ => None,
        },
        hostname: &worker.hostname,
    };
    let (finish, crossing) = match intervene(&worker, &asked, &mut request, &path, finish).await {
        Ok(left) => left,
        Err(response) => return Ok(closing(&worker, *response)),
    };
    let response = match action {
        Action::Reply(answer) => {
            let shown = answer
                .redirect
                .map_or((&*path).into(), |redirect| reply::rewritten(redirect, &path));
            let sent = asked.remember(request.headers(), &shown);
            let response = answered(finish, &answer, authority.as_deref().unwrap_or_default(), &path);
            treated(response, &asked, &sent, crossing)
        }
        Action::Forward(forward) => {
            let call = Call {
                forward,
                asked,
                destination,
                authority: authority.as_deref(),
                path: &path,
            };
            forwarded(&worker, call, request, finish, crossing).await
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

/// What a route does before its action: a fault, and the answer to a preflight. Without these the request goes on, with what
/// its response will carry.
async fn intervene(
    worker: &Worker,
    asked: &Asked<'_>,
    request: &mut Request<RequestBody>,
    path: &str,
    mut finish: Box<Finish>,
) -> Result<(Box<Finish>, Crossing), Box<Response<ResponseBody>>> {
    let Some(treatment) = asked.treatment else {
        return Ok((finish, Crossing::None));
    };
    if let Some(fault) = &treatment.fault
        && let Some(status) = fault::inject(worker, fault, &mut finish, request.body_mut()).await
    {
        let sent = asked.remember(request.headers(), path);
        let response = finish.reply(status, "FI", "fault_filter_abort", "fault filter abort");
        return Err(Box::new(treated(response, asked, &sent, Crossing::None)));
    }
    let cors = treatment.cors.as_ref();
    match cors.map_or(Crossing::None, |cors| Crossing::of(cors, request)) {
        Crossing::Preflight(headers) => {
            let mut response = finish.reply(200, "", "cors_response", "");
            response.headers_mut().extend(headers);
            Err(Box::new(response))
        }
        crossing => Ok((finish, crossing)),
    }
}

/// A request that policy sends to a cluster.
struct Call<'c> {
    forward: Forward<'c>,
    asked: Asked<'c>,
    destination: SocketAddr,
    authority: Option<&'c str>,
    path: &'c str,
}

async fn forwarded(
    worker: &Rc<Worker>,
    call: Call<'_>,
    mut request: Request<RequestBody>,
    mut finish: Box<Finish>,
    crossing: Crossing,
) -> Response<ResponseBody> {
    let Call {
        forward, destination, ..
    } = call;
    finish.endless = false;
    let websocket = match forward::upgrade(&request) {
        Upgrade::None => false,
        Upgrade::WebSocket => true,
        Upgrade::Refused if worker.observes() => true,
        Upgrade::Refused => {
            return reply::close(finish.reply(403, "", "upgrade_failed", ""));
        }
    };
    let on_upgrade = websocket.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, mut body) = request.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers, websocket);
    let id = finish.http_part().request_id.clone();
    let expected = forward::expected(&forward, Duration::ZERO);
    headers::prepare_request(&mut parts.headers, &id, forward.operation, expected);
    // Whatever the caller speaks, upstreams are spoken to in HTTP/1.1.
    parts.version = hyper::Version::HTTP_11;
    if let Ok(uri) = call.path.parse() {
        parts.uri = uri;
    }
    if let Some(host) = call.authority.and_then(|host| HeaderValue::from_str(host).ok()) {
        parts.headers.insert(header::HOST, host);
    }
    let asked = call.asked;
    if asked.is_nothing() {
        return forward::forward(worker, forward, destination, parts, body, finish, on_upgrade).await;
    }
    asked.edit_request(&mut parts, call.path, &finish.flow);
    finish.sent_as(&parts.headers);
    let sent = asked.remember(
        &parts.headers,
        parts.uri.path_and_query().map_or("", |path| path.as_str()),
    );
    if let Some(treatment) = asked.treatment.filter(|_| !websocket) {
        let original = mirror::Original {
            parts: &parts,
            authority: &finish.http_part().authority.clone(),
            destination,
            source: finish.flow.source,
            timeout: forward.timeout,
        };
        mirror::send(worker, &treatment.mirrors, &original, &mut body);
    }
    let response = forward::forward(worker, forward, destination, parts, body, finish, on_upgrade).await;
    treated(response, &asked, &sent, crossing)
}

/// An answer of policy's own.
fn answered(finish: Box<Finish>, answer: &Reply<'_>, authority: &str, path: &str) -> Response<ResponseBody> {
    let target = answer
        .redirect
        .map(|redirect| reply::location(redirect, authority, path));
    let mut response = finish.reply(answer.status, flags(answer.flags), answer.details, answer.body);
    if let Some(value) = target.and_then(|target| HeaderValue::from_str(&target).ok()) {
        // Envoy's order.
        let others = mem::take(response.headers_mut());
        response.headers_mut().insert(header::LOCATION, value);
        response.headers_mut().extend(others);
    }
    response
}

/// What the route asks for of a response, whoever gave it. Envoy: its edits first, then the headers of cross-origin
/// requests.
fn treated(
    response: Response<ResponseBody>,
    asked: &Asked<'_>,
    sent: &Sent,
    crossing: Crossing,
) -> Response<ResponseBody> {
    if asked.is_nothing() {
        return response;
    }
    let (mut head, body) = response.into_parts();
    if let Some(flow) = body.flow() {
        asked.edit_response(&mut head, sent, flow);
    }
    if let Crossing::Actual(headers) = crossing {
        replace(&mut head.headers, headers);
    }
    Response::from_parts(head, body)
}

fn replace(headers: &mut HeaderMap, lines: HeaderMap) {
    for (name, value) in lines {
        // Each of these has one line.
        if let Some(name) = name {
            headers.insert(name, value);
        }
    }
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
fn authority(request: &Request<RequestBody>) -> Option<String> {
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
