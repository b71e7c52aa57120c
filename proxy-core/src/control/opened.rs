//! The sockets that a Sidecar asks for (`captureMode: NONE`): opened as the policy in force says, and closed when it no
//! longer does. What cannot be opened is told and tried again until it can be or the policy asks for it no more, and
//! everything else goes on. Envoy: listeners with `bind_to_port`; it tries again with the next configuration only.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::Duration,
};

use tokio::sync::watch;

use crate::policy::Snapshot;

/// How long an address that cannot be had is left alone at first, and at most: who holds it is often about to end.
const REST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The sockets that are open, which all workers accept on.
pub(super) type Opened = Arc<HashMap<SocketAddr, Arc<TcpListener>>>;

/// Opens and closes them; the workers follow.
#[derive(Debug)]
pub(super) struct Opener(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    wanted: Mutex<Wanted>,
    /// opener --what is open--> workers
    opened_tx: watch::Sender<Opened>,
}

#[derive(Debug, Default)]
struct Wanted {
    addresses: Vec<SocketAddr>,
    /// Those that cannot be opened, and why.
    failed: HashMap<SocketAddr, String>,
    /// A thread tries them again.
    retries: bool,
}

impl Opener {
    pub fn new() -> (Self, watch::Receiver<Opened>) {
        let (opened_tx, opened_rx) = watch::channel(Opened::default());
        let wanted = Mutex::default();
        (Self(Arc::new(Shared { wanted, opened_tx })), opened_rx)
    }

    /// Has open what `snapshot` asks for and nothing else, as far as it can be had.
    pub fn follow(&self, snapshot: &Snapshot) {
        let mut wanted = self.0.wanted();
        wanted.addresses = snapshot.sockets().to_vec();
        self.0.open(&mut wanted);
        if !wanted.failed.is_empty() && !wanted.retries {
            let shared = Arc::downgrade(&self.0);
            let thread = thread::Builder::new().name("sockets".into());
            wanted.retries = thread
                .spawn(move || retry(&shared))
                .inspect_err(|error| tracing::error!(%error, "these sockets are tried again with the next policy only"))
                .is_ok();
        }
    }

    /// Which sockets cannot be had, and why.
    pub fn failed(&self) -> Vec<String> {
        let wanted = self.0.wanted();
        let reasons = wanted.addresses.iter().filter_map(|address| {
            let reason = wanted.failed.get(address)?;
            Some(format!(
                "{address}, which a Sidecar wants to listen on (captureMode NONE): {reason}; it is tried again"
            ))
        });
        reasons.collect()
    }
}

/// Tries again, more and more seldom, until nothing is left to try.
fn retry(shared: &Weak<Shared>) {
    let (mut rest, longest) = REST;
    loop {
        thread::sleep(rest);
        rest = longest.min(rest * 2);
        let Some(shared) = shared.upgrade() else { return };
        let mut wanted = shared.wanted();
        shared.open(&mut wanted);
        if wanted.failed.is_empty() {
            wanted.retries = false;
            return;
        }
    }
}

impl Shared {
    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens what is wanted and not open, and closes the rest.
    fn open(&self, wanted: &mut Wanted) {
        let before = self.opened_tx.borrow().clone();
        let (mut opened, mut failed) = (HashMap::new(), HashMap::new());
        for address in &wanted.addresses {
            let socket = before.get(address).cloned().map_or_else(|| open(*address), Ok);
            match socket {
                Ok(socket) => drop(opened.insert(*address, socket)),
                Err(error) => drop(failed.insert(*address, error.to_string())),
            }
        }
        for (address, reason) in &failed {
            // Said once, not at each try.
            if wanted.failed.get(address) != Some(reason) {
                tracing::error!(
                    "{address}, which a Sidecar wants to listen on (captureMode NONE): {reason}; calls to it are not served \
                     until it can be opened"
                );
            }
        }
        wanted.failed = failed;
        self.opened_tx.send_replace(Arc::new(opened));
    }
}

fn open(address: SocketAddr) -> io::Result<Arc<TcpListener>> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    tracing::info!(%address, "listening, as a Sidecar says");
    Ok(Arc::new(socket))
}
