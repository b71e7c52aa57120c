//! `GET /hold` and `POST /end`: how interception rules and the sidecar that they lead to end together, in that order.
//!
//! Who holds the rules keeps `/hold` open. A sidecar that is told to end says so there first, and goes on until the rules
//! are gone; one that is killed says it by the end of the connection. So no connection is led to where nobody listens for
//! longer than the kernel needs to close a socket.

use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::{Signal, raise};
use tokio::{
    sync::{mpsc, watch},
    task, time,
};

/// The line that says that the rules are wanted, and the one that says that they are not any more.
pub const HOLD: &str = "hold";
/// See [`HOLD`].
pub const END: &str = "end";

/// How many may hold rules at a time; a pod has one who does. Each stays in the admin server's room for as long as it wants.
pub(super) const HOLDERS: usize = 8;

/// Longest that a sidecar that ends waits for the rules to go.
const PATIENCE: Duration = Duration::from_secs(5);
/// The answer that says that it ends has to leave first.
const ANSWER: Duration = Duration::from_millis(100);

/// Whether the sidecar ends, and how many hold rules for it.
#[derive(Debug)]
pub(super) struct Holds {
    ending_tx: watch::Sender<bool>,
    held_tx: watch::Sender<usize>,
    drain_rx: watch::Receiver<bool>,
}

impl Holds {
    pub fn new(drain_rx: watch::Receiver<bool>) -> Self {
        Self {
            ending_tx: watch::Sender::new(false),
            held_tx: watch::Sender::new(0),
            drain_rx,
        }
    }

    /// Lines for one who holds rules; `None` where as many do as may.
    pub fn hold(&self) -> Option<mpsc::Receiver<Bytes>> {
        let held = Held::new(self.held_tx.clone())?;
        let (line_tx, line_rx) = mpsc::channel(2);
        let (mut ending_rx, mut drain_rx) = (self.ending_tx.subscribe(), self.drain_rx.clone());
        task::spawn(async move {
            let _held = held;
            let _ = line_tx.send(format!("{HOLD}\n").into()).await;
            // Senders that are gone are the end as well.
            tokio::select! {
                _ = ending_rx.wait_for(|ending| *ending) => {}
                _ = drain_rx.wait_for(|draining| *draining) => {}
                () = line_tx.closed() => return,
            }
            let _ = line_tx.send(format!("{END}\n").into()).await;
            line_tx.closed().await;
        });
        Some(line_rx)
    }

    /// Tells those who hold rules, and ends the process as SIGTERM does once they are gone.
    pub fn end(&self) {
        self.ending_tx.send_replace(true);
        let mut held_rx = self.held_tx.subscribe();
        task::spawn(async move {
            let _ = time::timeout(PATIENCE, held_rx.wait_for(|held| *held == 0)).await;
            time::sleep(ANSWER).await;
            // A process may always signal itself.
            let _ = raise(Signal::SIGTERM);
        });
    }
}

/// Counts for as long as it lives.
struct Held(watch::Sender<usize>);

impl Held {
    fn new(held_tx: watch::Sender<usize>) -> Option<Self> {
        let counted = held_tx.send_if_modified(|held| {
            let room = *held < HOLDERS;
            *held += usize::from(room);
            room
        });
        // Only one who is counted is there to be counted out.
        counted.then(|| Self(held_tx))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}
