//! Requests that ask their connection to become something else.

use hyper::{Request, Response, header, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::task;

use super::Finish;
use crate::flow::{
    Open,
    body::{RequestBody, ResponseBody},
    reply,
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

/// Reads the upgrade headers. `Upgrade` counts only where `Connection` names it.
pub(super) fn asked(request: &Request<RequestBody>) -> Upgrade {
    let lines = |name| {
        let values = request.headers().get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
    };
    if !lines(header::CONNECTION).any(|token| token.trim().eq_ignore_ascii_case("upgrade")) {
        return Upgrade::None;
    }
    match lines(header::UPGRADE).next().map(str::trim) {
        Some(protocol) if protocol.eq_ignore_ascii_case("websocket") => Upgrade::WebSocket,
        Some(protocol) if protocol.eq_ignore_ascii_case("h2c") => Upgrade::None,
        Some(_) => Upgrade::Refused,
        None => Upgrade::None,
    }
}

/// Passes the bytes of an upgraded connection in both directions; the flow ends with it.
pub(super) fn switch(
    client: OnUpgrade,
    upstream: OnUpgrade,
    head: Response<()>,
    mut finish: Box<Finish>,
) -> Response<ResponseBody> {
    let (head, ()) = head.into_parts();
    let worker = finish.worker.clone();
    let mut response = reply::local(101, b"", Box::new(finish.silent()));
    *response.headers_mut() = head.headers;
    task::spawn_local(async move {
        let _open = Open::new(&worker);
        if let (Ok(client), Ok(upstream)) = (client.await, upstream.await) {
            let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
            if let Ok((received, sent)) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await {
                finish.flow.received = received;
                finish.flow.sent = sent;
            }
        }
        finish.progress = None;
        finish.complete();
    });
    response
}
