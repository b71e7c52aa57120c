//! A new upstream connection: dialled, encrypted where policy says so, and spoken over.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
};

use hyper::{
    client::conn::{http1, http2},
    rt::{Executor, Read, Write},
};
use hyper_util::rt::TokioIo;
use tokio::{task, time};

use super::http2::{MAX_HEAD, STREAM_BUFFER, STREAM_WINDOW, WINDOW};
use crate::{
    flow::{
        Worker,
        body::RequestBody,
        breaker::ConnectionShare,
        pool::Key,
        upstream::{self, Failed, Why},
    },
    net::{Alpn, DialError},
    policy::Cluster,
};

/// An open connection.
#[derive(Debug)]
pub(super) struct Opened<S> {
    pub sender: S,
    /// The sidecar's own address.
    pub local: Option<SocketAddr>,
}

/// A version of HTTP that is spoken over a connection.
pub(super) trait Speak {
    type Sender;
    const ALPN: Alpn;

    /// Begins to speak, and has the connection live in a task of its own. Its end is seen by the requests that wait on it;
    /// there is nothing else to tell.
    async fn over<S>(self, stream: S) -> hyper::Result<Self::Sender>
    where
        S: Read + Write + Unpin + Send + 'static;
}

/// Sends many requests over one connection.
#[derive(Debug, Clone)]
pub(super) struct ManySender {
    pub requests: http2::SendRequest<RequestBody>,
    /// How many the upstream takes at once, as it has said so far.
    pub takes: Rc<Cell<usize>>,
}

/// HTTP/1.1, with the connection's share of its cluster's limit.
pub(super) struct Http1(pub Option<ConnectionShare>);

/// HTTP/2. It takes the share only when the connection is there: should who opens it leave, another one goes on.
pub(super) struct Http2<'s>(pub &'s RefCell<Option<ConnectionShare>>);

impl Speak for Http1 {
    type Sender = http1::SendRequest<RequestBody>;
    const ALPN: Alpn = Alpn::Http11;

    async fn over<S>(self, stream: S) -> hyper::Result<Self::Sender>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            // As with Envoy, what is folded is one line.
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(stream)
            .await?;
        task::spawn_local(async move {
            let _ = connection.with_upgrades().await;
            drop(self.0);
        });
        Ok(sender)
    }
}

impl Speak for Http2<'_> {
    type Sender = ManySender;
    const ALPN: Alpn = Alpn::Http2;

    async fn over<S>(self, stream: S) -> hyper::Result<Self::Sender>
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let (requests, mut connection) = http2::Builder::new(Local)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(STREAM_BUFFER)
            .max_header_list_size(MAX_HEAD)
            .handshake(stream)
            .await?;
        let takes = Rc::new(Cell::new(connection.current_max_send_streams()));
        let (told, share) = (takes.clone(), self.0.take());
        task::spawn_local(async move {
            let _ = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                told.set(connection.current_max_send_streams());
                polled
            })
            .await;
            drop(share);
        });
        Ok(ManySender { requests, takes })
    }
}

/// Runs what belongs to a connection on the worker's own thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local;

impl<F> Executor<F> for Local
where
    F: Future<Output: 'static> + 'static,
{
    fn execute(&self, future: F) {
        task::spawn_local(future);
    }
}

/// Opens a connection for `key`; the limit covers TLS too.
pub(super) async fn open<S: Speak>(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    key: &Key,
    speaker: S,
) -> Result<Opened<S::Sender>, Failed> {
    let (address, limit) = (key.address, cluster.settings.connect_timeout);
    let opening = async {
        let stream = upstream::dial(worker, cluster, address, key.header.as_deref()).await?;
        let local = stream.local_addr().ok();
        let spoken = match &key.server {
            None => speaker.over(TokioIo::new(stream)).await,
            Some(server) => {
                let stream = worker.originator.originate(stream, server, Some(S::ALPN)).await;
                speaker.over(TokioIo::new(stream.map_err(DialError::Tls)?)).await
            }
        };
        let sender = spoken.map_err(|error| DialError::Refused(std::io::Error::other(error)))?;
        Ok(Opened { sender, local })
    };
    let opened = time::timeout(limit, opening)
        .await
        .unwrap_or(Err(DialError::TimedOut(limit)));
    opened.map_err(|error| Failed {
        address: Some(address),
        why: Why::Dial(error),
    })
}
