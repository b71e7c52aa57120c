//! Whether the API server still answers. A network that goes away without a word, as under a suspended laptop or a lost
//! VPN, closes nothing: who only listens would listen for ever. So the server is asked now and then, and whoever listens
//! is told when it does not answer.

use std::time::{Duration, Instant};

use kube::Client;
use tokio::{sync::watch, time};

use super::connect::{CREDENTIALS, UNREACHABLE, told};
use crate::fault::{Fault, Result};

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(8);
/// How often it is asked where credentials cannot be had: a program that gives them may open a browser each time.
const SELDOM: Duration = Duration::from_secs(300);
/// Longest that its answer may take: longer than a busy server has a client wait (`patient`). One that is given up takes
/// its connection with it, so that the next question goes over another one.
pub(super) const LATE: Duration = Duration::from_secs(12);

/// Feels the pulse; dropped with the last who does. A clone is told of what is missed after it was made: what listens anew
/// has lost nothing of what was missed before.
#[derive(Debug)]
pub(super) struct Pulse(watch::Receiver<Instant>);

impl Clone for Pulse {
    fn clone(&self) -> Self {
        let mut own = self.0.clone();
        own.mark_unchanged();
        Self(own)
    }
}

impl Pulse {
    /// The pulse of a server, and what has it felt for as long as it runs. `client` gives the client to ask with, which
    /// renews nothing: credentials that are refused are for those to renew who want something.
    pub fn of(client: impl Fn() -> Client) -> (Self, impl Future<Output = ()>) {
        let (missed_tx, missed_rx) = watch::channel(Instant::now());
        (Self(missed_rx), feel(client, missed_tx))
    }

    /// Returns once the server has not answered: since when it is not heard of.
    pub async fn missed(&mut self) -> Instant {
        match self.0.changed().await {
            Ok(()) => *self.0.borrow_and_update(),
            // Nobody feels it any more: the connection is being closed.
            Err(_) => std::future::pending().await,
        }
    }
}

/// What a watch says that waits in vain.
pub(super) fn silent() -> Fault {
    Fault::new(UNREACHABLE, "The API server does not answer.").hint("Is the VPN up, and the cluster running?")
}

/// What the server answers; a fault once that takes too long.
pub(super) async fn answered<T>(asked: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match time::timeout(LATE, asked).await {
        Ok(answer) => answer.map_err(|error| told(&error)),
        Err(_) => Err(silent()),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Answer,
    /// It could not even be asked.
    NotAsked,
    /// The connection was refused, or broke off.
    Refusal,
    /// Nothing at all: what else was opened over that network waits in vain too.
    Nothing,
}

async fn heard(client: &Client) -> Heard {
    match time::timeout(LATE, client.apiserver_version()).await {
        Ok(Ok(_)) => Heard::Answer,
        Ok(Err(error)) => match told(&error).code.as_str() {
            UNREACHABLE => Heard::Refusal,
            CREDENTIALS => Heard::NotAsked,
            _ => Heard::Answer,
        },
        Err(_) => Heard::Nothing,
    }
}

async fn feel(client: impl Fn() -> Client, missed: watch::Sender<Instant>) {
    let (mut last, mut rest) = (Instant::now(), EVERY);
    loop {
        time::sleep(rest).await;
        let mut now = heard(&client()).await;
        if now == Heard::Refusal {
            // One of several servers may be starting anew, and nobody's connection is the worse for it.
            now = heard(&client()).await;
        }
        rest = if now == Heard::NotAsked { SELDOM } else { EVERY };
        match now {
            Heard::Answer => last = Instant::now(),
            Heard::NotAsked => {}
            Heard::Refusal | Heard::Nothing => {
                missed.send_replace(last);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::Value;
    use tokio::{runtime::Builder, sync::mpsc, task};

    use super::*;

    /// A client of a server that answers so many questions with `object` and none after them, and the paths of all.
    pub fn falls_silent(after: usize, object: &Value) -> (Client, mpsc::UnboundedReceiver<String>) {
        let (asked_tx, asked_rx) = mpsc::unbounded_channel();
        let body = object.to_string();
        let mut answers = vec![body; after];
        let server = tower::service_fn(move |request: Request<Body>| {
            // Who does not look at the questions has let their end go.
            let _ = asked_tx.send(request.uri().path().to_string());
            let answer = answers.pop();
            async move {
                match answer {
                    Some(body) => Ok::<_, kube::Error>(Response::new(Body::from(body.into_bytes()))),
                    None => std::future::pending().await,
                }
            }
        });
        (Client::new(server, "default"), asked_rx)
    }

    #[test]
    fn who_listens_anew_is_told_of_what_is_missed_from_then_on_alone() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (missed, first) = watch::channel(Instant::now());
            let first = Pulse(first);
            missed.send_replace(Instant::now());
            let mut anew = first.clone();
            let told = tokio::spawn(async move { anew.missed().await });
            task::yield_now().await;
            assert!(!told.is_finished());
            let since = Instant::now();
            missed.send_replace(since);
            assert_eq!(told.await.unwrap(), since);
        });
    }
}
