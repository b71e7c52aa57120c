//! Copies of requests that go to other places, and whose responses nobody waits for.

use std::{borrow::Cow, net::SocketAddr, rc::Rc, time::Duration};

use http_body_util::BodyExt;
use hyper::{
    Request,
    header::{self, HeaderName, HeaderValue},
    http::request::Parts,
};
use tokio::{task, time};

use super::{
    Worker,
    exchange::{Reached, Target, exchange},
    headers,
};
use crate::{
    flow::{body::RequestBody, choice::Wish},
    policy::{Endpoints, HttpVersion, Mirror},
};

const INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");

/// What all copies of a request share.
pub struct Original<'o> {
    pub parts: &'o Parts,
    pub authority: &'o str,
    /// `http` or `https`.
    pub scheme: &'static str,
    pub destination: SocketAddr,
    /// The pod's own address, which the copies name as theirs.
    pub source: SocketAddr,
    pub timeout: Option<Duration>,
    /// What the caller speaks.
    pub caller: HttpVersion,
}

/// Sends a copy to each of `mirrors` that the draw says so of. They read the body as the original is sent; one that falls
/// behind is given up, so that nobody waits for it.
pub fn send(worker: &Rc<Worker>, mirrors: &[Mirror], original: &Original<'_>, body: &mut RequestBody) {
    for mirror in mirrors.iter().filter(|mirror| mirror.percentage.takes(worker.draw())) {
        let Some(cluster) = mirror.cluster().cloned() else {
            continue;
        };
        // Envoy: a copy belongs to no connection, so it has no original destination to go to.
        if matches!(cluster.endpoints, Endpoints::OriginalDst(_)) {
            continue;
        }
        let mut parts = original.parts.clone();
        mark(&mut parts, original.source);
        let authority = mirror.authority(original.authority);
        if let Cow::Owned(authority) = &authority
            && let Ok(host) = HeaderValue::from_str(authority)
        {
            parts.headers.insert(header::HOST, host);
        }
        let request = Request::from_parts(parts, body.copy());
        let (worker, authority) = (worker.clone(), authority.into_owned());
        let (destination, scheme) = (original.destination, original.scheme);
        let (timeout, caller) = (original.timeout, original.caller);
        task::spawn_local(async move {
            let target = Target {
                worker: &worker,
                cluster: &cluster,
                source: None,
                destination,
                authority: &authority,
                scheme,
                wish: Wish::default(),
                caller,
                limit: None,
            };
            let (mut upstream, mut local, mut busy) = (None, None, None);
            let reached = Reached {
                upstream: &mut upstream,
                local: &mut local,
                busy: &mut busy,
            };
            let answered = async {
                let (response, lease) = exchange(&target, request, reached).await.ok()?;
                let mut body = response.into_body();
                while let Some(frame) = body.frame().await {
                    frame.ok()?;
                }
                Some(lease)
            };
            let lease = match timeout {
                Some(timeout) => time::timeout(timeout, answered).await.ok().flatten(),
                None => answered.await,
            };
            // Its end is nobody's concern; a connection that is whole serves again.
            if let Some(lease) = lease {
                lease.give_back(&worker);
            }
        });
    }
}

/// The marks of a copy.
fn mark(parts: &mut Parts, source: SocketAddr) {
    parts.headers.insert(INTERNAL, HeaderValue::from_static("true"));
    let before = headers::text(&parts.headers, headers::FORWARDED_FOR);
    let own = source.ip();
    let way = match before.is_empty() {
        true => own.to_string(),
        false => format!("{before},{own}"),
    };
    if let Ok(way) = HeaderValue::from_str(&way) {
        parts.headers.insert(headers::FORWARDED_FOR, way);
    }
}
