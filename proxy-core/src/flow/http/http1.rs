//! Callers that speak HTTP/1.1: one request after another.

use std::{net::SocketAddr, pin::pin, rc::Rc, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;

use super::{
    Caller, handle,
    heads::Heads,
    idle::Idle,
    interim::{Interims, Told},
};
use crate::{
    flow::{Worker, connection::Accepted},
    net::Prefixed,
};

/// How much is read at once: there is room for the largest head.
const BUFFER: usize = 64 * 1024;

/// Serves a connection that speaks HTTP/1.1. Without a destination each request names its own (explicit proxy).
pub async fn serve(worker: Rc<Worker>, accepted: Accepted, destination: Option<SocketAddr>) {
    let Accepted {
        client, source, first, ..
    } = accepted;
    let interims = Arc::<Interims>::default();
    let heads = Heads::new(Prefixed::new(first, client), worker.observes());
    let io = Told::new(TokioIo::new(heads), interims.clone());
    let (ends, idle) = (Rc::<Notify>::default(), Rc::<Idle>::default());
    let shared = worker.clone();
    let caller = Rc::new(Caller {
        source,
        destination,
        streams: None,
        interims: Some(interims),
        ends: Some(ends.clone()),
        idle: idle.clone(),
    });
    let service = service_fn(move |request| {
        let (worker, caller) = (shared.clone(), caller.clone());
        async move { handle(worker, request, &caller).await }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // As with Envoy, who says no more has left: what waits for an answer ends then.
            .half_close(false)
            .auto_date_header(false)
            .max_buf_size(BUFFER)
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .serve_connection(io, service)
            .with_upgrades()
    );
    // What went wrong inside a request is in its record; a caller that breaks the connection off needs no second row.
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = ends.notified() => return,
        () = worker.drain_begun() => {}
        () = idle.over() => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = ends.notified() => {}
    }
}
