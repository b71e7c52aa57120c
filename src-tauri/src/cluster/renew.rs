//! A client that renews itself: when the API server no longer takes the credentials, the kubeconfig is read again, with
//! its token file or plugin, and the same request is sent once more. Whoever holds the client notices nothing of it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode};
use kube::{Client, client::Body};
use tokio::sync;

use super::{connect::connect, kubeconfigs::Target};
use crate::fault::{Fault, Result};

/// How long credentials that are refused anew rest before they are read again; doubled each time.
const FIRST_REST: Duration = Duration::from_secs(1);
/// A plugin may open a browser each time: it is not run more often than this for ever.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The credentials in use.
#[derive(Debug)]
pub(super) struct Credentials {
    target: Target,
    server: String,
    current: Mutex<Current>,
    /// Held while they are read anew: once for all who ask.
    renewing: sync::Mutex<Rest>,
    /// Why they could not be read anew the last time.
    why: Mutex<Option<Fault>>,
}

struct Current {
    client: Client,
    /// Counts clients.
    number: u64,
    /// What the kubeconfig said when it was made.
    entry: u64,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Current")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Rest {
    long: Duration,
    until: Instant,
}

/// Connects to `target`: a client that renews itself, and what it does that with. Must be called where its tasks may run.
pub(super) async fn open(target: &Target) -> Result<(Client, Arc<Credentials>)> {
    let now = target.now()?;
    let (client, server) = connect(&now).await?;
    let namespace = client.default_namespace().to_string();
    let credentials = Arc::new(Credentials {
        target: target.clone(),
        server,
        current: Mutex::new(Current {
            client,
            number: 0,
            entry: now.context.entry,
        }),
        renewing: sync::Mutex::new(Rest {
            long: FIRST_REST,
            until: Instant::now(),
        }),
        why: Mutex::default(),
    });
    let own = credentials.clone();
    let service = tower::service_fn(move |request| own.clone().send(request));
    Ok((Client::new(service, namespace), credentials))
}

impl Credentials {
    /// The API server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The client in use, which renews nothing by itself.
    pub fn client(&self) -> Client {
        self.lock().client.clone()
    }

    /// Whether the kubeconfig says something else of this context now than what is in use.
    pub fn is_outdated(&self) -> bool {
        let now = self.target.now().map(|target| target.context.entry);
        now.is_ok_and(|entry| entry != self.lock().entry)
    }

    /// The file and context that they are of.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Why credentials that are refused could not be read anew.
    pub fn why(&self) -> Option<Fault> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn send(self: Arc<Self>, request: Request<Body>) -> kube::Result<Response<Body>> {
        let (client, number) = {
            let current = self.lock();
            (current.client.clone(), current.number)
        };
        let (parts, body) = request.into_parts();
        let again = body.try_clone().map(|body| Request::from_parts(parts.clone(), body));
        let answer = client.send(Request::from_parts(parts, body)).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // A task of its own: who asked may give up before a program has answered, and its answer must not be lost.
        let renewed = tokio::spawn(async move { self.renewed(number).await });
        match (again, renewed.await.ok().flatten()) {
            (Some(again), Some(client)) => client.send(again).await,
            _ => Ok(answer),
        }
    }

    /// A client that is newer than `number`; `None` while there can be none.
    async fn renewed(&self, number: u64) -> Option<Client> {
        let mut rest = self.renewing.lock().await;
        {
            let current = self.lock();
            if current.number != number {
                return Some(current.client.clone());
            }
        }
        let now = Instant::now();
        if now < rest.until {
            return None;
        }
        // Credentials that held for a while were good ones.
        rest.long = match now > rest.until + LONGEST_REST {
            true => FIRST_REST,
            false => (rest.long * 2).min(LONGEST_REST),
        };
        let made = self.made().await;
        rest.until = Instant::now() + rest.long;
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = made.as_ref().err().cloned();
        let (client, entry) = made.ok()?;
        let mut current = self.lock();
        *current = Current {
            client: client.clone(),
            number: number + 1,
            entry,
        };
        Some(client)
    }

    async fn made(&self) -> Result<(Client, u64)> {
        let now = self.target.now()?;
        let (client, server) = connect(&now).await?;
        // What is mirrored, staged and journalled is that of one cluster.
        if server != self.server {
            return Err(Fault::new("changed", "The kubeconfig names another API server now.")
                .hint("Reconnect in the menu at the top left."));
        }
        Ok((client, now.context.entry))
    }

    // What is guarded is replaced whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
