//! HTTP: each request on a connection is decided, forwarded and recorded on its own.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, Version,
    body::Incoming,
    header::{self, HeaderValue},
};
use tokio::sync::Notify;

use super::{
    Worker,
    body::{Progress, RequestBody, ResponseBody},
    grpc, headers, reply,
};
use crate::{
    policy::{Action, Claims, Facts, FirstBytes, Forward, HttpClaims, HttpVersion, decide, rewritten},
    record::HttpPart,
};

mod answer;
mod authority;
mod cors;
mod edits;
mod exchange;
mod fault;
mod finish;
mod forward;
mod grpc_web;
mod hashing;
mod heads;
mod http1;
mod http2;
mod idle;
mod interim;
mod mirror;
mod multiplex;
mod speak;
mod upgrade;

#[cfg(fuzzing)]
pub use heads::pieces::assert_heads_read_the_same;

use answer::{answered, treated};
use authority::{authority, named_destination, names_path};
use cors::Crossing;
use edits::Asked;
pub(super) use finish::Finish;
use grpc_web::Web;
pub(super) use http1::serve;
use http2::Streams;
pub(super) use http2::serve as serve_streams;
use idle::Idle;
use interim::Interims;
pub(super) use multiplex::Connections;
use upgrade::Upgrade;

/// Who sends requests over a connection, and where to.
pub(super) struct Caller {
    source: SocketAddr,
    /// Without one each request names its own (explicit proxy).
    destination: Option<SocketAddr>,
    /// Where the connection speaks HTTP/2.
    streams: Option<Rc<Streams>>,
    /// Where it speaks HTTP/1.1.
    interims: Option<Arc<Interims>>,
    /// Ends that connection, whatever is on its way.
    ends: Option<Rc<Notify>>,
    idle: Rc<Idle>,
}

impl Caller {
    fn version(&self) -> HttpVersion {
        match self.streams {
            Some(_) => HttpVersion::H2c,
            None => HttpVersion::Http11,
        }
    }

    /// Ends the connection: that of HTTP/1.1 with its request, that of HTTP/2 with its last one.
    fn cut(&self) -> Cut {
        if let Some(streams) = &self.streams {
            streams.unwanted();
        }
        Cut
    }
}

/// The connection must end: policy cuts what it carries.
#[derive(Debug, thiserror::Error)]
#[error("cut by policy")]
struct Cut;

async fn handle(
    worker: Rc<Worker>,
    request: Request<Incoming>,
    caller: &Caller,
) -> Result<Response<ResponseBody>, Cut> {
    let fixed = caller.destination;
    let streams = caller.streams.as_deref();
    if let Some(interims) = &caller.interims {
        interims.begin(&request);
    }
    let knows_interims = request.version() == Version::HTTP_11;
    let progress = Rc::<Progress>::default();
    let mut request = request.map(|body| RequestBody::new(body, caller.version(), progress.clone()));
    let authority = authority(&request);
    let is_connect = request.method() == Method::CONNECT;
    let sent_path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_string();
    let snapshot = worker.snapshot.load_full();
    let path = snapshot.normalised(&sent_path);
    let http = HttpPart {
        method: request.method().to_string(),
        path: if is_connect { String::new() } else { path.to_string() },
        version: written(streams),
        source: headers::named_source(request.headers()),
        forwarded_for: headers::text(request.headers(), headers::FORWARDED_FOR),
        user_agent: headers::text(request.headers(), header::USER_AGENT),
        request_id: headers::request_id(request.headers(), || worker.draw()),
        authority: authority.clone().unwrap_or_default(),
        grpc: grpc::is_grpc(request.headers()),
        ..HttpPart::default()
    };
    let destination = match fixed {
        Some(destination) => Some(destination),
        None => named_destination(&worker, authority.as_deref()).await,
    };
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut finish = Box::new(Finish::new(
        worker.clone(),
        &snapshot,
        http,
        caller,
        destination.unwrap_or(unknown),
    ));
    finish.progress = Some(progress);
    finish.interims = caller.interims.clone().filter(|_| knows_interims);
    let upgrade = upgrade::asked(&request);
    finish.endless = is_connect || !matches!(upgrade, Upgrade::None);
    if let Some(streams) = streams
        && (authority.is_none() || !is_connect && !names_path(request.uri().path()))
    {
        return Err(streams.violated(finish));
    }
    if let (Some(refused), None) = (heads::refused(&request), streams) {
        // To Envoy's parser this is no request at all, and so it has nothing of it.
        *finish.http_part() = HttpPart {
            version: "HTTP/1.1",
            ..HttpPart::default()
        };
        let (status, details, text) = refused.answer();
        return Ok(reply::close(finish.reply(status, "DPE", details, text)));
    }
    let Some(destination) = destination else {
        return Ok(finish.reply(502, "DF", "dns_resolution_failure", "DNS resolution failure"));
    };
    let claims = HttpClaims {
        version: finish.version,
        method: &finish.http_part().method.clone(),
        authority: authority.as_deref(),
        path: &path,
        headers: &headers::Lines(request.headers()),
    };
    finish.http_part().scheme = claims.scheme();
    let facts = Facts {
        destination,
        claims: Claims::Http(claims),
        draw: worker.draw() as u32,
    };
    let (decision, would) = worker.carry_out(&snapshot, decide(&snapshot, &facts, &mut ()));
    finish.decided(&decision);
    finish.flow.would = would;
    finish.flow.other = worker.beside.compare(&snapshot, &facts, FirstBytes::Read);
    let web = match decision.grpc_web {
        true => Web::take(&mut request, &mut finish),
        false => None,
    };
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
    // Before anything that a route does.
    let is_answered = matches!(action, Action::Reply(_) | Action::Forward(_));
    if is_answered && matches!(upgrade, Upgrade::Refused) && !worker.observes() {
        let sent = asked.remember(request.headers(), &path);
        let response = finish.reply(403, "", "upgrade_failed", "");
        return Ok(treated(response, &asked, &sent, Crossing::None));
    }
    let (finish, crossing) = match intervene(&worker, &asked, &mut request, &path, finish).await {
        Ok(left) => left,
        Err(response) => return Ok(closing(&worker, grpc_web::answered(web, *response).await)),
    };
    let response = match action {
        Action::Reply(answer) => {
            let shown = answer
                .redirect
                .map_or((&*path).into(), |redirect| rewritten(redirect, &path));
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
            // Room that is needed while a request is under way only: hyper keeps that of this function for as long as the
            // connection lasts. It is there before what goes into it, which else were made elsewhere and copied: 10 KB.
            let room = Box::new_uninit();
            let made = Box::write(room, forwarded(&worker, call, request, finish, crossing));
            Box::into_pin(made).await
        }
        Action::Cut { cluster, flags } => {
            finish.cut(cluster, flags);
            return Err(caller.cut());
        }
        // Nothing captures this any more: the caller's next connection goes straight.
        Action::Bypass => return Err(caller.cut()),
    };
    Ok(closing(&worker, grpc_web::answered(web, response).await))
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
        && let Some(abort) = fault::inject(worker, fault, &mut finish, request.body_mut()).await
    {
        let sent = asked.remember(request.headers(), path);
        let grpc = abort.grpc.unwrap_or_else(|| grpc::status_for(abort.status));
        let response = finish.reply_as(abort.status, grpc, "FI", "fault_filter_abort", "fault filter abort");
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
        mut forward,
        destination,
        ..
    } = call;
    if finish.http_part().grpc {
        forward.timeout = grpc::timeout(request.headers(), forward.timeout);
    }
    // Of those that are refused only who watches lets any come so far.
    let websocket = !matches!(upgrade::asked(&request), Upgrade::None);
    finish.endless = websocket;
    let on_upgrade = websocket.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, mut body) = request.into_parts();
    headers::strip_request(&mut parts.headers, websocket);
    if finish.version == HttpVersion::H2c {
        headers::join_cookies(&mut parts.headers);
    }
    let id = finish.http_part().request_id.clone();
    let expected = forward::expected(&forward, Duration::ZERO);
    headers::prepare_request(&mut parts.headers, &id, forward.operation, expected);
    // As HTTP/1.1 writes it, until it is known what the upstream is spoken to in.
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
            scheme: finish.http_part().scheme,
            destination,
            source: finish.flow.source,
            timeout: forward.timeout,
            caller: finish.version,
        };
        mirror::send(worker, &treatment.mirrors, &original, &mut body);
    }
    let response = forward::forward(worker, forward, destination, parts, body, finish, on_upgrade).await;
    treated(response, &asked, &sent, crossing)
}

/// While draining, callers are asked to come back on a new connection.
fn closing(worker: &Worker, response: Response<ResponseBody>) -> Response<ResponseBody> {
    if worker.draining.get() {
        reply::close(response)
    } else {
        response
    }
}

/// The version as logs write it.
fn written(streams: Option<&Streams>) -> &'static str {
    if streams.is_some() { "HTTP/2" } else { "HTTP/1.1" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what handles a request.
    fn size<'c, F>(_: fn(Rc<Worker>, Request<Incoming>, &'c Caller) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_has_no_more_than_three_kib_of_room_for_a_request() {
        assert!(size(handle) <= 3 * 1024, "{}", size(handle));
    }
}
