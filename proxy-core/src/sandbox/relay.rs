//! What policy does not capture goes straight: a plain relay that knows no policy, counts, and records each connection
//! as Bypassed in a log of its own.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use time::OffsetDateTime;
use tokio::{net::TcpStream, runtime, task};

use crate::{
    flow::Beside,
    net::{self, Dialer, Ended, tunnel},
    policy::{Claims, Facts, FirstBytes, Happened, Other, Snapshot, Verdict},
    record::{FlowRecord, FlowWorkload, Timestamp},
};

/// Limit for connecting, as the system's callers would have it at most.
const CONNECT: Duration = Duration::from_secs(30);

/// Connections at the same time; beyond that new ones wait in the listener's queue.
const AT_ONCE: usize = 4096;

/// What the relay works with.
pub struct Relay {
    /// Opens connections, with `--map`.
    pub dialer: Dialer,
    /// The policy in force, and another that is compared with.
    pub policy: (Arc<ArcSwap<Snapshot>>, Beside),
    /// Who calls.
    pub workload: Arc<FlowWorkload>,
    /// Where records go, a line of JSON each.
    pub log: Mutex<Box<dyn Write + Send>>,
    /// Connections so far.
    pub count: AtomicU64,
    /// Connections open now.
    pub open: AtomicU64,
}

/// Relays until the process ends; blocks its thread.
pub fn serve(listener: TcpListener, relay: Arc<Relay>) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let slots = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        loop {
            // The semaphore is never closed.
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return Ok(());
            };
            let (stream, source) = net::accept(&listener).await;
            let relay = relay.clone();
            relay.open.fetch_add(1, Ordering::SeqCst);
            task::spawn(async move {
                relay.connection(stream, source).await;
                relay.open.fetch_sub(1, Ordering::SeqCst);
                drop(slot);
            });
        }
    })
}

impl Relay {
    /// Waits until every connection has its record, `limit` at most: the command has ended, so they end by themselves.
    pub fn finish(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while self.open.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the other policy would have made of it; nothing has been read here of what it may want to know.
    fn other(&self, destination: SocketAddr, flags: &str, duration_ms: u64) -> Option<Other> {
        let (in_force, beside) = &self.policy;
        let facts = Facts {
            destination,
            claims: Claims::Tcp,
            draw: 0,
        };
        let compared = beside.compare(&in_force.load(), &facts, FirstBytes::Unread)?;
        Some(compared.conclude(&Happened {
            status: 0,
            flags,
            duration_ms,
            upstream_ms: None,
            grpc: false,
        }))
    }

    async fn connection(&self, mut client: TcpStream, source: SocketAddr) {
        let Some(destination) = net::original_destination(&client) else {
            return;
        };
        self.count.fetch_add(1, Ordering::Relaxed);
        let (start, started) = (OffsetDateTime::now_utc(), Instant::now());
        let (mut sent, mut received, mut flags) = (0, 0, "-");
        match self.dialer.dial(destination, CONNECT).await {
            Ok(mut upstream) => {
                let mut ended = Ended::default();
                tunnel(&mut client, upstream.split(), &[], &mut ended, || {}, |_| false).await;
                (sent, received) = (ended.sent, ended.received);
            }
            Err(_) => {
                flags = "UF";
                net::reset(client);
            }
        }
        let duration_ms = started.elapsed().as_millis() as u64;
        let other = self.other(destination, flags, duration_ms).map(Box::new);
        let record = FlowRecord {
            time: Timestamp(start).to_string(),
            workload: self.workload.clone(),
            source,
            destination,
            protocol: "tcp".into(),
            host: None,
            sni: None,
            method: None,
            path: None,
            verdict: Verdict::Bypassed,
            would: None,
            other,
            cluster: None,
            route: None,
            upstream: Some(destination),
            status: 0,
            flags: flags.into(),
            details: "-".into(),
            bytes_sent: sent,
            bytes_received: received,
            duration_ms,
            upstream_ms: None,
            request_id: None,
            policy_hash: String::new(),
            line: String::new(),
        };
        if let Ok(mut line) = serde_json::to_string(&record) {
            line.push('\n');
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            // A log that cannot be written does not stop the connection it is about.
            let _ = log.write_all(line.as_bytes()).and_then(|()| log.flush());
        }
    }
}
