//! A captured connection: read what the listener needs to know, decide, hand over to HTTP or to a tunnel.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{io::AsyncReadExt, net::TcpStream, time};

use super::{Open, Worker, http, stream};
use crate::{
    net,
    policy::{Action, Claims, Facts, HttpClaims, HttpVersion, Layer, Snapshot, decide},
    sniff::{self, Sniffed},
};

/// How long a connection that will be cut may take to say its name on a port that nothing declares. Istio cuts at once
/// and logs no name; Egret names what it blocks.
const NAMING: Duration = Duration::from_millis(200);

/// How long a connection may keep silent where policy is only watched: its server may be the one that speaks first. Istio
/// waits for as long as the client does.
const WATCHING: Duration = Duration::from_secs(1);

/// What is known of a connection when it is handed on.
pub(super) struct Accepted {
    pub client: TcpStream,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Bytes read so far.
    pub first: Bytes,
    pub sniffed: Sniffed,
    /// What was drawn for the decision.
    pub draw: u32,
}

/// Handles one redirected connection from accept to record.
pub async fn captured(worker: Rc<Worker>, client: TcpStream, source: SocketAddr) {
    let Some(destination) = net::original_destination(&client) else {
        // Not redirected: somebody dialled the capture port. Envoy's black hole, which has no access log.
        net::reset(client);
        return;
    };
    connection(worker, client, BytesMut::new(), source, destination).await;
}

/// Handles one connection to a socket that a Sidecar asks for: it is for the listener of that address.
pub async fn opened(worker: Rc<Worker>, client: TcpStream, source: SocketAddr) {
    let called = client.local_addr().map(net::canonical);
    let snapshot = worker.snapshot.load_full();
    let destination = called.ok().and_then(|called| snapshot.listened(called));
    drop(snapshot);
    match destination {
        Some(destination) => connection(worker, client, BytesMut::new(), source, destination).await,
        // The policy has changed meanwhile, and the socket is about to close.
        None => net::reset(client),
    }
}

/// Handles a connection whose destination is known, and of which `first` was read.
pub(super) async fn connection(
    worker: Rc<Worker>,
    mut client: TcpStream,
    mut first: BytesMut,
    source: SocketAddr,
    destination: SocketAddr,
) {
    let _open = Open::new(&worker);
    let snapshot = worker.snapshot.load_full();
    let needs = snapshot.sniff_needs(destination);
    let mut sniffed = Sniffed::NeedMore;
    if needs.tls || needs.http || speaks_http(&snapshot, destination) {
        let patience = match worker.observes() {
            true => Some(needs.timeout.unwrap_or(WATCHING).min(WATCHING)),
            false => needs.timeout,
        };
        match inspect(&mut client, &mut first, patience).await {
            Some(found) => sniffed = found,
            // The client left without a word.
            None => return,
        }
    } else if !worker.observes()
        && matches!(
            decide(&snapshot, &facts(destination, &Sniffed::Other, 0), &mut ()).action,
            Action::Cut { .. }
        )
    {
        // Nothing depends on the name but the record: a silent client is cut all the same.
        if let Some(found) = time::timeout(NAMING, inspect(&mut client, &mut first, None))
            .await
            .ok()
            .flatten()
        {
            sniffed = found;
        }
    }
    let draw = worker.draw() as u32;
    let decision = decide(&snapshot, &facts(destination, &sniffed, draw), &mut ());
    let layer = decision.layer;
    let (decision, would) = worker.carry_out(&snapshot, decision);
    let accepted = Accepted {
        client,
        source,
        destination,
        first: first.freeze(),
        sniffed,
        draw,
    };
    match (layer, &accepted.sniffed) {
        // In a box of its own: it is large, and connections that speak something else need not be.
        (Layer::Http, Sniffed::Http2) => {
            // Each request is decided by the policy of its own time; this one's may be large, and the connection may stay.
            drop(snapshot);
            Box::pin(http::serve_streams(worker, accepted, destination)).await;
        }
        // Policy would not let a tunnel be asked for, but there may be a proxy that gives one.
        (Layer::Http, Sniffed::Http1(head)) if !(worker.observes() && head.method == "CONNECT") => {
            drop(snapshot);
            http::serve(worker, accepted, Some(destination)).await;
        }
        _ => stream::forward(&worker, &snapshot, decision, would, accepted).await,
    }
}

/// Whether a listener that asks nothing of the first bytes is for HTTP alone: a Sidecar's own. It waits for a request.
fn speaks_http(snapshot: &Snapshot, destination: SocketAddr) -> bool {
    decide(snapshot, &facts(destination, &Sniffed::Other, 0), &mut ()).layer == Layer::Http
}

/// Reads until the protocol is known; `None` when the client left first. After `timeout` it counts as unknown.
pub(super) async fn inspect(
    client: &mut TcpStream,
    first: &mut BytesMut,
    timeout: Option<Duration>,
) -> Option<Sniffed> {
    let read = async {
        loop {
            match sniff::sniff(first) {
                Sniffed::NeedMore => {}
                found => return Some(found),
            }
            match client.read_buf(first).await {
                Ok(0) if first.is_empty() => return None,
                // Half a ClientHello and then the end: what was sent is passed on as it is.
                Ok(0) => return Some(Sniffed::Other),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    };
    match timeout {
        None => read.await,
        Some(timeout) => time::timeout(timeout, read).await.unwrap_or(Some(Sniffed::Other)),
    }
}

/// The facts of a connection as far as they are sniffed.
pub(super) fn facts(destination: SocketAddr, sniffed: &Sniffed, draw: u32) -> Facts<'_> {
    let claims = match sniffed {
        Sniffed::Tls { sni } => Claims::Tls { sni: sni.as_deref() },
        Sniffed::Http1(head) => Claims::Http(HttpClaims {
            version: if head.version_11 {
                HttpVersion::Http11
            } else {
                HttpVersion::Http10
            },
            method: &head.method,
            authority: head.host.as_deref(),
            path: &head.target,
            headers: &(),
        }),
        // The authority comes with the first request; whether it is HTTP does not depend on it.
        Sniffed::Http2 => Claims::Http(HttpClaims {
            version: HttpVersion::H2c,
            method: "GET",
            authority: Some(""),
            path: "/",
            headers: &(),
        }),
        Sniffed::Other | Sniffed::NeedMore => Claims::Tcp,
    };
    Facts {
        destination,
        claims,
        draw,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arc_swap::ArcSwap;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        task::{LocalSet, spawn_local},
    };

    use super::*;
    use crate::{
        flow::{Beside, Enforcement, InForce, Shared},
        net::{Dialer, Originator, Resolver, Unresolved},
        policy::compile,
        record::{AccessLogFormat, AccessLogTarget, FlowWorkload, Recorder},
        source,
    };

    const POLICY: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec: {hosts: [a.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
";

    #[tokio::test]
    async fn a_connection_that_stays_holds_no_policy_of_before() {
        let compiled = || {
            let reading = source::read_texts([("a.yaml", POLICY.as_bytes())]);
            Arc::new(compile(&reading.world, &Default::default()))
        };
        let snapshot = Arc::new(ArcSwap::new(compiled()));
        let policy = InForce {
            snapshot: snapshot.clone(),
            enforcement: Enforcement::default(),
            beside: Beside::default(),
        };
        let recorder = Recorder::open(
            &AccessLogTarget::Off,
            AccessLogFormat::default(),
            FlowWorkload::default(),
        );
        let worker = Worker::new(
            policy,
            Dialer::new([]),
            Resolver::new(Arc::default(), Unresolved::default()),
            Originator::default(),
            recorder.unwrap().worker(),
            Shared::default(),
            1,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            for preface in [
                "GET / HTTP/1.1\r\nhost: b.com\r\n\r\n",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            ] {
                let mut caller = TcpStream::connect(address).await.unwrap();
                let (client, source) = listener.accept().await.unwrap();
                let destination = "198.18.0.10:80".parse().unwrap();
                spawn_local(connection(worker.clone(), client, BytesMut::new(), source, destination));
                caller.write_all(preface.as_bytes()).await.unwrap();
                // It is being served, and stays.
                caller.read_u8().await.unwrap();
                let before = Arc::downgrade(&snapshot.swap(compiled()));
                assert_eq!(before.strong_count(), 0, "{preface}");
                drop(caller);
            }
        };
        LocalSet::new().run_until(serving).await;
    }
}
