//! The sockets that a Sidecar asks for (`captureMode: NONE`): opened as the policy in force says, and closed when it no
//! longer does. What cannot be opened is told, and everything else goes on. Envoy: listeners with `bind_to_port`.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use tokio::sync::watch;

use crate::policy::Snapshot;

/// The sockets that are open, which all workers accept on.
pub(super) type Opened = Arc<HashMap<SocketAddr, Arc<TcpListener>>>;

/// Opens and closes them; the workers follow.
#[derive(Debug)]
pub(super) struct Opener {
    /// opener --what is open--> workers
    opened_tx: watch::Sender<Opened>,
}

impl Opener {
    pub fn new() -> (Self, watch::Receiver<Opened>) {
        let (opened_tx, opened_rx) = watch::channel(Opened::default());
        (Self { opened_tx }, opened_rx)
    }

    /// Has open what `snapshot` asks for and nothing else; says which sockets cannot be had, and why.
    pub fn follow(&self, snapshot: &Snapshot) -> Vec<String> {
        let before = self.opened_tx.borrow().clone();
        let (mut opened, mut failed) = (HashMap::new(), Vec::new());
        for address in snapshot.sockets() {
            let socket = before.get(address).cloned().map_or_else(|| open(*address), Ok);
            match socket {
                Ok(socket) => drop(opened.insert(*address, socket)),
                Err(error) => failed.push(format!(
                    "{address}, which a Sidecar wants to listen on (captureMode NONE): {error}"
                )),
            }
        }
        for reason in &failed {
            tracing::error!("{reason}; calls to it are not served");
        }
        self.opened_tx.send_replace(Arc::new(opened));
        failed
    }
}

fn open(address: SocketAddr) -> io::Result<Arc<TcpListener>> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    tracing::info!(%address, "listening, as a Sidecar says");
    Ok(Arc::new(socket))
}
