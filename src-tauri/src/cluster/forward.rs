//! Lets sidecars outside the cluster reach its Services: a listener on loopback that answers what `proxy_core::net::Forwarder`
//! asks. Other users of this computer can connect to it and know no token.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::JoinSet,
    time,
};

use super::{
    Cluster,
    reach::{Forwarded, Way},
};
use crate::{
    fault::{Fault, Result},
    random,
};

/// Connections at the same time: each is a port-forward of its own.
const AT_ONCE: usize = 256;
/// Connections that have not asked anything yet: any program of this computer may open them.
const UNASKED: usize = 64;
/// How long the listener rests when no connection can be taken, as where the process has no descriptor left.
const REST: Duration = Duration::from_millis(100);
/// Bytes of the token.
const TOKEN: usize = 16;
/// Longest question.
const MAX_QUESTION: u64 = 1024;
/// Longest that a question may take: a sidecar asks at once, and strangers who say nothing keep others waiting.
const ASKS: Duration = Duration::from_secs(5);
/// Longest that the way to a pod may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long an answer may go on once the caller has said its last word: a forwarded port ends both directions together.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// A forwarder; dropping it ends it and what goes through it.
pub struct Forwarder {
    address: SocketAddr,
    token: String,
    counts: Arc<Counts>,
    _end_tx: oneshot::Sender<()>,
}

/// What went through.
#[derive(Default)]
struct Counts {
    total: AtomicU64,
    open: AtomicU64,
    fault: Mutex<Option<Fault>>,
}

/// How a forwarder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarding {
    /// Connections to Services so far, and now.
    pub total: u64,
    pub open: u64,
    /// Why the last one failed that did, unless one has succeeded since.
    pub fault: Option<Fault>,
}

impl Cluster {
    /// Starts a forwarder; `told` is called when a connection fails for a new reason.
    pub fn forwarder(self: &Arc<Self>, told: impl Fn() + Send + Sync + 'static) -> Result<Forwarder> {
        let unable = |error: io::Error| Fault::new("port", format!("No port of loopback can be had: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(unable)?;
        listener.set_nonblocking(true).map_err(unable)?;
        let address = listener.local_addr().map_err(unable)?;
        let token = random::hexadecimal(TOKEN)?;
        let counts = Arc::<Counts>::default();
        let serving = Arc::new(Serving {
            way: Way::new(self),
            token: token.clone(),
            counts: counts.clone(),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            unasked: Arc::new(Semaphore::new(UNASKED)),
            told: Box::new(told),
        });
        let (end_tx, end_rx) = oneshot::channel();
        self.spawn(serving.serve(listener, end_rx));
        Ok(Forwarder {
            address,
            token,
            counts,
            _end_tx: end_tx,
        })
    }
}

impl Forwarder {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a question begins with.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// As a sidecar is told of it.
    pub fn variable(&self) -> String {
        format!("{} {}", self.address, self.token)
    }

    /// How it stands.
    pub fn state(&self) -> Forwarding {
        let fault = self.counts.fault.lock().unwrap_or_else(PoisonError::into_inner);
        Forwarding {
            total: self.counts.total.load(Ordering::Relaxed),
            open: self.counts.open.load(Ordering::Relaxed),
            fault: fault.clone(),
        }
    }
}

struct Serving {
    way: Way,
    token: String,
    counts: Arc<Counts>,
    slots: Arc<Semaphore>,
    unasked: Arc<Semaphore>,
    told: Box<dyn Fn() + Send + Sync>,
}

/// What to say, and what goes on after it.
enum Answer {
    Line(String),
    /// Its slot is held for as long as it is open.
    Stream(Forwarded, u16, OwnedSemaphorePermit),
}

impl Serving {
    async fn serve(self: Arc<Self>, listener: TcpListener, mut end_rx: oneshot::Receiver<()>) {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        // Dropped with the loop, and what runs with it.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                _ = &mut end_rx => return,
                accepted = self.accepted(&listener) => match accepted {
                    Ok((stream, unasked)) => drop(connections.spawn(self.clone().answer(stream, unasked))),
                    Err(_) => time::sleep(REST).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// The next connection, once not too many have not asked yet.
    async fn accepted(&self, listener: &tokio::net::TcpListener) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
        let unasked = self.unasked.clone().acquire_owned().await.map_err(io::Error::other)?;
        let (stream, _) = listener.accept().await?;
        Ok((stream, unasked))
    }

    async fn answer(self: Arc<Self>, stream: TcpStream, unasked: OwnedSemaphorePermit) {
        let mut stream = BufReader::new(stream);
        let Some(question) = self.question(&mut stream).await else {
            return;
        };
        drop(unasked);
        let late = |_| {
            Fault::new(
                "slow",
                format!("The way into the cluster was not open within {PATIENCE:?}."),
            )
        };
        let answer = time::timeout(PATIENCE, self.answer_to(&question))
            .await
            .map_err(late)
            .flatten();
        let asks_for_stream = question.starts_with("connect ");
        let (line, forwarded) = match answer {
            Ok(Answer::Line(line)) => (line, None),
            Ok(Answer::Stream(forwarded, port, slot)) => ("ok".into(), Some((forwarded, port, slot))),
            Err(fault) => {
                let line = format!("error {}", fault.told().replace(['\n', '\r'], " "));
                if asks_for_stream {
                    self.note(Some(fault));
                }
                (line, None)
            }
        };
        // Who asked may be gone.
        if stream.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            return;
        }
        if let Some((forwarded, port, _slot)) = forwarded {
            self.carry(stream, forwarded, port).await;
        }
    }

    /// The question without its token; `None` where that is wrong.
    async fn question(&self, stream: &mut BufReader<TcpStream>) -> Option<String> {
        let mut line = String::new();
        let mut limited = stream.take(MAX_QUESTION);
        time::timeout(ASKS, limited.read_line(&mut line)).await.ok()?.ok()?;
        let (token, question) = line.strip_suffix('\n')?.split_once(' ')?;
        verify_slices_are_equal(token.as_bytes(), self.token.as_bytes()).ok()?;
        Some(question.to_string())
    }

    async fn answer_to(&self, question: &str) -> Result<Answer> {
        let none = || Answer::Line("none".into());
        let words: Vec<&str> = question.split(' ').collect();
        match words.as_slice() {
            ["resolve", host, namespace] => {
                let found = self.way.resolve(host, namespace).await?;
                let line = |all: Vec<_>| all.iter().fold("ok".to_string(), |line, each| format!("{line} {each}"));
                Ok(found.map_or_else(none, |all| Answer::Line(line(all))))
            }
            ["connect", address] => {
                let address = address.parse().map_err(|_| Fault::input("No address to connect to."))?;
                let slot = self.slots.clone().try_acquire_owned().map_err(|_| busy())?;
                let found = self.way.connect(address).await?;
                Ok(found.map_or_else(none, |(forwarded, port)| Answer::Stream(forwarded, port, slot)))
            }
            _ => Err(Fault::input("Neither resolve nor connect was asked.")),
        }
    }

    /// Carries bytes both ways until either end has said everything.
    async fn carry(&self, caller: BufReader<TcpStream>, mut forwarded: Forwarded, port: u16) {
        let (Some(pod), Some(error)) = (forwarded.take_stream(port), forwarded.take_error(port)) else {
            return;
        };
        self.counts.total.fetch_add(1, Ordering::Relaxed);
        self.counts.open.fetch_add(1, Ordering::Relaxed);
        let (mut from_caller, mut to_caller) = tokio::io::split(caller);
        let (mut from_pod, mut to_pod) = tokio::io::split(pod);
        let there = async {
            let copied = tokio::io::copy(&mut from_caller, &mut to_pod).await;
            // Closing would end the answer too.
            if copied.is_ok() {
                time::sleep(LAST_WORDS).await;
            }
        };
        tokio::select! {
            () = there => {}
            copied = tokio::io::copy(&mut from_pod, &mut to_caller) => {
                if copied.is_ok_and(|bytes| bytes > 0) {
                    self.note(None);
                }
            }
            Some(why) = error => self.note(Some(Fault::new("forward", format!("The pod does not take the connection: {}", why.trim())))),
        }
        // Where the caller has gone already there is nothing to close.
        let _ = to_caller.shutdown().await;
        forwarded.abort();
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Keeps why a connection failed, or that one did not.
    fn note(&self, fault: Option<Fault>) {
        let mut last = self.counts.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != fault {
            *last = fault;
            drop(last);
            (self.told)();
        }
    }
}

fn busy() -> Fault {
    Fault::new("busy", format!("{AT_ONCE} connections into the cluster are open.")).hint("Close some of them.")
}
