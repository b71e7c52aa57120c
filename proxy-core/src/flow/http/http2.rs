//! Callers that speak HTTP/2 with prior knowledge: each stream is one request.

use std::{cell::Cell, net::SocketAddr, pin::pin, rc::Rc};

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

use super::{Caller, Cut, Finish, handle, idle::Idle, speak::Local};
use crate::{
    flow::{Worker, connection::Accepted},
    net::Prefixed,
    record::HttpPart,
};

/// Requests at once on one connection: Envoy's default.
const STREAMS: u32 = 1024;

/// Largest head, and Envoy's default: what it measures in HTTP/2 is the fields with 32 bytes for each. It also bounds how
/// many frames a head may be continued in.
pub(super) const MAX_HEAD: u32 = 60 * 1024;

/// How much of one body may wait to be passed on: 10 MiB a second at 100 ms of distance. Envoy's is 16 MiB.
pub(super) const STREAM_WINDOW: u32 = 1024 * 1024;

/// How much of all bodies on a connection may wait, which bounds its memory. Envoy's is 24 MiB.
pub(super) const WINDOW: u32 = 16 * 1024 * 1024;

/// How much of one body may wait for the socket.
pub(super) const STREAM_BUFFER: usize = 64 * 1024;

/// Streams that may be reset before they were looked at, and those that we may reset for what was wrong with them: more is
/// an attack (CVE-2023-44487), and ends the connection. These are the library's own bounds.
const RESET_EARLY: usize = 20;
const RESET_FOR_ERRORS: usize = 1024;

/// A connection as its streams see it.
#[derive(Debug, Default)]
pub struct Streams {
    /// It has ended: what ends now was not reset by its caller.
    pub ended: Cell<bool>,
    violated: Notify,
    unwanted: Notify,
}

impl Streams {
    /// What arrived is no request, and its connection ends. Envoy has nothing of it.
    pub fn violated(&self, mut finish: Box<Finish>) -> Cut {
        *finish.http_part() = HttpPart {
            version: "HTTP/2",
            ..HttpPart::default()
        };
        finish.flow.flags = "DPE";
        finish.flow.details = "http2.violation.of.messaging.rule".into();
        finish.complete();
        self.violated.notify_one();
        Cut
    }

    /// Policy wants no more of it: the streams that there are end as they will.
    pub fn unwanted(&self) {
        self.unwanted.notify_one();
    }
}

/// Serves a connection that speaks HTTP/2.
pub async fn serve(worker: Rc<Worker>, accepted: Accepted, destination: SocketAddr) {
    let Accepted {
        client, source, first, ..
    } = accepted;
    let io = TokioIo::new(Prefixed::new(first, client));
    let (streams, idle) = (Rc::<Streams>::default(), Rc::<Idle>::default());
    let shared = worker.clone();
    let caller = Rc::new(Caller {
        source,
        destination: Some(destination),
        streams: Some(streams.clone()),
        interims: None,
        ends: None,
        idle: idle.clone(),
    });
    let service = service_fn(move |request| {
        let (worker, caller) = (shared.clone(), caller.clone());
        async move { handle(worker, request, &caller).await }
    });
    let mut connection = pin!(
        http2::Builder::new(Local)
            .auto_date_header(false)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(MAX_HEAD)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(STREAM_BUFFER)
            .max_pending_accept_reset_streams(RESET_EARLY)
            .max_local_error_reset_streams(RESET_FOR_ERRORS)
            .serve_connection(io, service)
    );
    let mut leaving = false;
    // What went wrong inside a request is in its record; a caller that breaks the connection off needs no second row.
    loop {
        tokio::select! {
            _ = connection.as_mut() => break,
            () = streams.violated.notified() => break,
            () = worker.drain_begun(), if !leaving => leaving = true,
            () = streams.unwanted.notified(), if !leaving => leaving = true,
            () = idle.over(), if !leaving => leaving = true,
        }
        // GOAWAY: what was begun goes on.
        connection.as_mut().graceful_shutdown();
    }
    streams.ended.set(true);
}
