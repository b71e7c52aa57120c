//! One watch a kind keeps the mirror up. Whatever breaks it, it comes back: first soon, then ever later, and at once when
//! the API server can be reached again. It lists what is there page by page, never from the API server's cache as a whole.

use std::{
    collections::HashSet,
    io,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use tokio::time;

use super::{
    connect::{EXPIRED, UNREACHABLE, told},
    kinds::Kind,
    mirror::{Mirror, Watch, file_of},
    pulse::{LATE, Pulse, silent},
    seen::Seen,
};
use crate::fault::Fault;

/// Objects in one answer of a list: bounds what is held at once.
const PAGE: u32 = 500;
/// How often an API server that cannot be reached is tried.
const PROBE: Duration = Duration::from_secs(1);
/// How often one that refuses the credentials is.
const PROBE_REFUSED: Duration = Duration::from_secs(5);

/// Where objects of a kind are kept up.
pub(super) trait Sink: Send + Sync {
    /// Takes a version of an object.
    fn put(&self, object: &DynamicObject, resource: &ApiResource) -> io::Result<()>;
    /// Forgets the object of `file`.
    fn remove(&self, file: &str) -> io::Result<()>;
    /// Forgets the objects of `kind` whose files are not among `seen`.
    fn keep(&self, kind: &str, seen: &HashSet<String>) -> io::Result<()>;
}

/// Follows `kind` into `sink` until it is dropped. `changed` is called when the watch is lost, is back, or has listed everything.
pub(super) async fn follow(
    mirror: Arc<Mirror>,
    sink: Arc<dyn Sink>,
    client: Client,
    kind: Kind,
    mut pulse: Pulse,
    changed: impl Fn(),
) {
    let resource = &kind.resource;
    let api: Api<Seen> = match kind.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    // Measured with 20,000 objects: a watch that begins with all of them takes the API server three times as long.
    let settings = watcher::Config::default().page_size(PAGE);
    let mut watch = Watch::default();
    mirror.note(&resource.kind, watch.clone());
    loop {
        let mut events = pin!(watcher::watcher(api.clone(), settings.clone()).default_backoff());
        let mut seen = HashSet::new();
        loop {
            // A watch that comes back in silence says nothing of it: a new one lists everything, and that does.
            let event = tokio::select! {
                event = events.next() => event,
                () = back(&client, &watch) => break,
                since = pulse.missed() => {
                    if watch.lost.is_none() {
                        watch.lost = Some((silent(), since));
                        mirror.note(&resource.kind, watch.clone());
                        changed();
                    }
                    continue;
                }
            };
            let Some(event) = event else { break };
            let before = (watch.synced, watch.lost.is_some());
            match take(&*sink, &kind, event, &mut seen, &mut watch.synced) {
                Ok(()) => {
                    watch.listed = seen.len();
                    watch.lost = None;
                }
                Err(fault) => {
                    let since = watch.lost.map_or_else(Instant::now, |(_, since)| since);
                    watch.lost = Some((fault, since));
                }
            }
            mirror.note(&resource.kind, watch.clone());
            if before != (watch.synced, watch.lost.is_some()) {
                changed();
            }
        }
    }
}

/// Returns when an API server that could not be reached can be, or takes the credentials again; for any other watch, never.
async fn back(client: &Client, watch: &Watch) {
    let rest = match watch.lost.as_ref().map(|(fault, _)| fault.code.as_str()) {
        Some(UNREACHABLE) => PROBE,
        Some(EXPIRED) => PROBE_REFUSED,
        _ => return std::future::pending().await,
    };
    loop {
        time::sleep(rest).await;
        if let Ok(Ok(_)) = time::timeout(LATE, client.apiserver_version()).await {
            return;
        }
    }
}

fn take(
    sink: &dyn Sink,
    kind: &Kind,
    event: watcher::Result<Event<Seen>>,
    seen: &mut HashSet<String>,
    synced: &mut bool,
) -> Result<(), Fault> {
    let resource = &kind.resource;
    let unwritten =
        |error: io::Error| Fault::new("mirror", format!("The {} cannot be kept: {error}.", resource.plural));
    match event.map_err(|error| fault(&error))? {
        Event::Init => {
            seen.clear();
            Ok(())
        }
        Event::InitApply(Seen(object)) => {
            seen.insert(file_of(&object, resource));
            sink.put(&object, resource).map_err(unwritten)
        }
        Event::InitDone => {
            *synced = true;
            sink.keep(&resource.kind, seen).map_err(unwritten)
        }
        Event::Apply(Seen(object)) => sink.put(&object, resource).map_err(unwritten),
        Event::Delete(Seen(object)) => sink.remove(&file_of(&object, resource)).map_err(unwritten),
    }
}

fn fault(error: &watcher::Error) -> Fault {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => told(error),
        watcher::Error::WatchError(status) => told(&kube::Error::Api(status.clone())),
        watcher::Error::NoResourceVersion => Fault::new("cluster", "The API server gives no versions of its objects."),
    }
}
