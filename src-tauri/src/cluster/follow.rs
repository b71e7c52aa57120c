//! One watch a kind keeps the mirror up. Whatever breaks it, it comes back: first soon, then ever later, and at once when
//! the API server can be reached again. Where the server can, the watch begins with all objects one by one; else they are
//! listed page by page. Neither is held at once.

use std::{
    collections::HashSet,
    io,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use k8s_openapi::apimachinery::pkg::version::Info;
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

/// How a watch learns what is there when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// The watch itself says it (streaming lists).
    Streamed,
    /// A list does, page by page.
    Paged,
}

impl Beginning {
    /// What a server of this version is asked for. Kubernetes: a server before 1.27 takes no notice of the question and
    /// would never say where the beginning ends.
    pub fn of(server: &Info) -> Self {
        let number = |text: &str| {
            text.trim_end_matches(|end: char| !end.is_ascii_digit())
                .parse()
                .unwrap_or(0)
        };
        let version: (u32, u32) = (number(&server.major), number(&server.minor));
        if version >= (1, 27) {
            Self::Streamed
        } else {
            Self::Paged
        }
    }

    fn settings(self) -> watcher::Config {
        let settings = watcher::Config::default();
        match self {
            Self::Streamed => settings.streaming_lists(),
            Self::Paged => settings.page_size(PAGE),
        }
    }

    /// Whether the server refused the way of asking. Kubernetes: with the feature switched off, `sendInitialEvents` is an
    /// invalid parameter.
    fn is_refused(self, error: &watcher::Error) -> bool {
        let refusal = matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if [400, 422].contains(&status.code));
        self == Self::Streamed && refusal
    }
}

/// Follows `kind` into `sink` until it is dropped. `changed` is called when the watch is lost, is back, or has listed everything.
pub(super) async fn follow(
    mirror: Arc<Mirror>,
    sink: Arc<dyn Sink>,
    client: Client,
    kind: Kind,
    mut beginning: Beginning,
    mut pulse: Pulse,
    changed: impl Fn(),
) {
    let resource = &kind.resource;
    let api: Api<Seen> = match kind.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let mut watch = Watch::default();
    mirror.note(&resource.kind, watch.clone());
    loop {
        let mut events = pin!(watcher::watcher(api.clone(), beginning.settings()).default_backoff());
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
            if event.as_ref().is_err_and(|error| beginning.is_refused(error)) {
                beginning = Beginning::Paged;
                break;
            }
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

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_server_is_asked_for_what_it_can_and_once_more_where_it_refuses() {
        for (major, minor, wanted) in [
            ("1", "36", Beginning::Streamed),
            ("1", "27+", Beginning::Streamed),
            ("1", "26", Beginning::Paged),
            ("1", "9", Beginning::Paged),
            ("", "", Beginning::Paged),
        ] {
            let server = Info {
                major: major.into(),
                minor: minor.into(),
                ..Info::default()
            };
            assert_eq!(Beginning::of(&server), wanted, "{major}.{minor}");
        }
        let answer = |code| {
            let status = Status::failure("sendInitialEvents", "Invalid").with_code(code);
            watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed()))
        };
        assert!(Beginning::Streamed.is_refused(&answer(422)));
        assert!(
            !Beginning::Streamed.is_refused(&answer(403)),
            "that is no matter of how one asks"
        );
        assert!(!Beginning::Paged.is_refused(&answer(422)));
    }
}
