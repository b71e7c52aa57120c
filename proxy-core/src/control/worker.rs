//! One data thread: its own runtime, pool and counters; nothing shared with the others but the snapshot, the counters of
//! circuit breakers, what is known of endpoints that are chosen among, and the names that could not be resolved.

use std::{
    collections::HashMap,
    future::{self, Future},
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime,
    sync::watch,
    task::{self, AbortHandle, JoinSet, LocalSet},
    time,
};

use super::opened::Opened;
use crate::{
    flow::{self, Worker},
    net::{self, Dialer, Forwarder, Originator, Resolver, Unresolved},
    record::Recorder,
};

/// What a worker is made of.
pub(super) struct Parts {
    pub policy: flow::InForce,
    pub dialer: Dialer,
    pub originator: Originator,
    pub hosts: Arc<HashMap<String, Vec<std::net::IpAddr>>>,
    pub forwarder: Option<Forwarder>,
    pub unresolved: Unresolved,
    pub recorder: Arc<Recorder>,
    pub shared: flow::Shared,
    pub outbound: Vec<TcpListener>,
    pub explicit: Option<TcpListener>,
    pub opened_rx: watch::Receiver<Opened>,
    pub drain_rx: watch::Receiver<bool>,
    pub drain: Duration,
    pub seed: u64,
}

/// Runs a worker until it has drained.
pub(super) fn run(parts: Parts) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(parts))
}

async fn serve(parts: Parts) -> io::Result<()> {
    let worker = Worker::new(
        parts.policy,
        parts.dialer,
        Resolver::new(parts.hosts, parts.unresolved).through(parts.forwarder),
        parts.originator,
        parts.recorder.worker(),
        parts.shared,
        parts.seed,
    );
    let mut accepting = Vec::new();
    for listener in parts.outbound {
        accepting.push(task::spawn_local(accept(
            worker.clone(),
            net::listen(listener)?,
            flow::captured,
        )));
    }
    if let Some(listener) = parts.explicit {
        accepting.push(task::spawn_local(accept(
            worker.clone(),
            net::listen(listener)?,
            flow::explicit,
        )));
    }
    accepting.push(task::spawn_local(follow(worker.clone(), parts.opened_rx)));
    let mut drain_rx = parts.drain_rx;
    // The sender lives as long as the sidecar; when it is gone the worker ends too.
    let _ = drain_rx.wait_for(|draining| *draining).await;
    accepting.iter().for_each(task::JoinHandle::abort);
    worker.drain();
    let emptied = async {
        while worker.open() > 0 {
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    // What is still open after the deadline is cut.
    let _ = time::timeout(parts.drain, emptied).await;
    Ok(())
}

/// Accepts on the sockets that a Sidecar asks for, whichever these are by now. Whoever ends this ends that too.
async fn follow(worker: Rc<Worker>, mut opened_rx: watch::Receiver<Opened>) {
    let mut accepting = JoinSet::new();
    let mut known: HashMap<SocketAddr, (Arc<TcpListener>, AbortHandle)> = HashMap::new();
    loop {
        let opened = opened_rx.borrow_and_update().clone();
        known.retain(|address, (socket, accepts)| {
            let stays = opened.get(address).is_some_and(|now| Arc::ptr_eq(now, socket));
            if !stays {
                accepts.abort();
            }
            stays
        });
        for (address, socket) in opened.iter() {
            if known.contains_key(address) {
                continue;
            }
            match socket.try_clone().and_then(net::listen) {
                Ok(listener) => {
                    let accepts = accepting.spawn_local(accept(worker.clone(), listener, flow::opened));
                    known.insert(*address, (socket.clone(), accepts));
                }
                Err(error) => tracing::error!(%address, %error, "cannot accept connections there"),
            }
        }
        // The map of before would keep sockets open that are in it no more.
        drop(opened);
        while accepting.try_join_next().is_some() {}
        if opened_rx.changed().await.is_err() {
            // No policy comes any more; what is open stays.
            future::pending::<()>().await;
        }
    }
}

async fn accept<F, Served>(worker: Rc<Worker>, listener: tokio::net::TcpListener, serve: F)
where
    F: Fn(Rc<Worker>, TcpStream, SocketAddr) -> Served,
    Served: Future<Output = ()> + 'static,
{
    loop {
        let (stream, source) = net::accept(&listener).await;
        task::spawn_local(serve(worker.clone(), stream, net::canonical(source)));
    }
}
