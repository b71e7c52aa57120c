//! Requests that ask their connection to become something else.

use hyper::{Request, Response, header, http::response::Parts, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{io, task};

use super::{Finish, exchange::Lease};
use crate::{
    flow::{
        Open,
        body::{RequestBody, ResponseBody},
        headers, reply,
        reset::Reset,
    },
    net::{self, Side},
};

/// What a request asks its connection to become.
pub(super) enum Upgrade {
    /// Nothing; also HTTP/2 in the clear, whose upgrade headers Envoy drops.
    None,
    /// The one upgrade that Istio's sidecars allow.
    WebSocket,
    /// Anything else.
    Refused,
}

/// Reads the upgrade headers. `Upgrade` counts only where `Connection` names it, and as a whole: Envoy takes no one of
/// several protocols.
pub(super) fn asked(request: &Request<RequestBody>) -> Upgrade {
    let headers = request.headers();
    if !headers::tokens(headers, header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Upgrade::None;
    }
    let mut lines = headers.get_all(header::UPGRADE).iter();
    match lines.find_map(|value| value.to_str().ok()).map(str::trim) {
        Some(protocol) if protocol.eq_ignore_ascii_case("websocket") => Upgrade::WebSocket,
        Some(protocol) if protocol.eq_ignore_ascii_case("h2c") => Upgrade::None,
        Some(_) => Upgrade::Refused,
        None => Upgrade::None,
    }
}

/// Passes the bytes of an upgraded connection in both directions; the flow ends with it, and who of the two ends it is told
/// as Envoy does.
pub(super) fn switch(
    client: OnUpgrade,
    upstream: OnUpgrade,
    head: Response<()>,
    lease: Lease,
    mut finish: Box<Finish>,
) -> Response<ResponseBody> {
    let (head, ()) = head.into_parts();
    let worker = finish.worker.clone();
    let mut response = reply::local(101, b"", Box::new(finish.silent()));
    *response.headers_mut() = head.headers;
    headers::prepare_response(response.headers_mut(), None);
    finish.progress = None;
    task::spawn_local(async move {
        let _open = Open::new(&worker);
        // Its endpoint has a request for as long.
        let _lease = lease;
        let (Ok(client), Ok(upstream)) = (client.await, upstream.await) else {
            finish.left();
            return finish.complete();
        };
        let (client, upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let counts = (&mut finish.flow.received, &mut finish.flow.sent);
        match net::until_end(io::split(client), io::split(upstream), counts).await {
            Side::Client => finish.left(),
            Side::Upstream => finish.cut_off(Reset::Termination),
        }
        finish.complete();
    });
    response
}

/// An answer which is no failure, and not the upgrade that was asked for either: its status and headers are passed on, without
/// its body. Seen with Envoy 1.40.
pub(super) fn declined(head: Parts, mut finish: Box<Finish>) -> Response<ResponseBody> {
    finish.flow.details = "websocket_handshake_unsuccessful".into();
    let mut headers = head.headers;
    headers.remove(header::CONTENT_TYPE);
    headers.remove(header::CONTENT_LENGTH);
    let mut response = reply::local(head.status.as_u16(), b"", finish);
    // A line that both have is the upstream's, but for who answers.
    headers.remove(header::SERVER);
    for name in headers.keys() {
        response.headers_mut().remove(name);
    }
    response.headers_mut().extend(headers);
    reply::close(response)
}
