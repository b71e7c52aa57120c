//! One watch a kind keeps the mirror up; where its objects may not be listed as a whole, one a namespace. Whatever breaks
//! it, it comes back: first soon, then ever later, and at once when the API server can be reached again. It lists what is
//! there page by page, never from the API server's cache as a whole.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
    runtime::watcher::{self, Event},
};
use tokio::{sync::watch, task::JoinHandle, time};

use super::{
    connect::{EXPIRED, MISSING, UNREACHABLE, told},
    kinds::{self, Kind, NAMESPACE, Scope, namespace_of},
    mirror::{Mirror, file_of},
    pulse::{LATE, Pulse, answered, silent},
    seen::Seen,
    spaces::Spaces,
    standing::Watch,
};
use crate::fault::Fault;

/// Objects in one answer of a list: bounds what is held at once.
const PAGE: u32 = 500;
/// How long a watch that failed rests; doubled each time until it succeeds.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// How often an API server that cannot be reached is tried.
const PROBE: Duration = Duration::from_secs(1);
/// How often one that refuses the credentials is.
const PROBE_REFUSED: Duration = Duration::from_secs(5);
/// How often a single namespace is looked at by who may not list namespaces: a Role can allow to get it, and nothing
/// allows to watch it alone.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Where objects of a kind are kept up.
pub(super) trait Sink: Send + Sync {
    /// Takes a version of an object.
    fn put(&self, object: &DynamicObject, resource: &ApiResource) -> io::Result<()>;
    /// Forgets the object of `file`.
    fn remove(&self, file: &str) -> io::Result<()>;
    /// Forgets the objects of `kind` whose files are not wanted.
    fn keep(&self, kind: &str, wanted: &dyn Fn(&str) -> bool) -> io::Result<()>;
    /// Hears that all objects were listed, or those of one namespace.
    fn listed(&self, _namespace: Option<&str>) {}
}

/// Follows one kind.
pub(super) struct Follower<F> {
    pub kind: Kind,
    pub sink: Arc<dyn Sink>,
    pub mirror: Arc<Mirror>,
    pub client: Client,
    pub pulse: Pulse,
    pub spaces: Arc<Spaces>,
    /// Called when a watch is lost, is back, or has listed everything.
    pub changed: F,
}

/// A task that ends when it is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<F: Fn() + Send + Sync + 'static> Follower<F> {
    /// Follows the kind until it is dropped.
    pub async fn follow(self) {
        let own = Arc::new(self);
        let (refused_tx, refused_rx) = watch::channel(false);
        match own.kind.is_divisible() {
            true => tokio::join!(own.watch(None, &refused_tx), own.clone().singly(refused_rx)).0,
            false => own.watch(None, &refused_tx).await,
        }
    }

    /// Keeps a watch a namespace, while the watch of everything is refused.
    async fn singly(self: Arc<Self>, mut refused: watch::Receiver<bool>) {
        let mut grants = self.spaces.grants();
        let mut running: BTreeMap<String, Task> = BTreeMap::new();
        loop {
            let is_refused = *refused.borrow_and_update();
            let wanted = grants
                .borrow_and_update()
                .as_ref()
                .filter(|_| is_refused)
                .map(|grants| {
                    let namespaces = grants.namespaces.get(&self.kind.resource.kind);
                    namespaces.cloned().unwrap_or_default()
                });
            match wanted {
                Some(wanted) => self.turn_to(&mut running, &wanted),
                None => running.clear(),
            }
            let more = tokio::select! {
                more = refused.changed() => more,
                more = grants.changed() => more,
            };
            if more.is_err() {
                // The connection is being closed.
                return;
            }
        }
    }

    fn turn_to(self: &Arc<Self>, running: &mut BTreeMap<String, Task>, wanted: &BTreeSet<String>) {
        let kind = &self.kind.resource.kind;
        if !running.is_empty() || !wanted.is_empty() {
            running.retain(|namespace, _| wanted.contains(namespace));
            // What is not followed any more is not known any more. What cannot be deleted stays: the folder that cannot
            // be written is told of by the watches.
            let _ = self.sink.keep(kind, &|file| wanted.contains(namespace_of(file)));
        }
        self.mirror.note(kind, |standing| {
            let singly = standing.singly.get_or_insert_default();
            singly.retain(|namespace, _| wanted.contains(namespace));
            for namespace in wanted {
                singly.entry(namespace.clone()).or_default();
            }
        });
        for namespace in wanted {
            running.entry(namespace.clone()).or_insert_with(|| {
                let (own, namespace) = (self.clone(), namespace.clone());
                Task(tokio::spawn(async move {
                    match own.kind.resource.kind.as_str() {
                        NAMESPACE => own.look_at(&namespace).await,
                        _ => own.watch(Some(&namespace), &watch::channel(false).0).await,
                    }
                }))
            });
        }
        (self.changed)();
    }

    /// Watches everything, or one namespace, until it is dropped. `refused` hears whether that is forbidden.
    async fn watch(&self, place: Option<&str>, refused: &watch::Sender<bool>) {
        let resource = &self.kind.resource;
        let api: Api<Seen> = match (place, &self.kind.scope) {
            (Some(namespace), _) => Api::namespaced_with(self.client.clone(), namespace, resource),
            (None, Scope::Only(namespace)) => Api::namespaced_with(self.client.clone(), namespace, resource),
            (None, _) => Api::all_with(self.client.clone(), resource),
        };
        // Measured with 20,000 objects: a watch that begins with all of them takes the API server three times as long.
        let settings = watcher::Config::default().page_size(PAGE);
        let (mut pulse, mut watch, mut rest) = (self.pulse.clone(), Watch::default(), FIRST_REST);
        self.note(place, &watch);
        loop {
            let mut events = pin!(watcher::watcher(api.clone(), settings.clone()));
            let (mut seen, mut ready) = (HashSet::new(), time::Instant::now());
            loop {
                let next = async {
                    time::sleep_until(ready).await;
                    events.next().await
                };
                // A watch that comes back in silence says nothing of it: a new one lists everything, and that does.
                let event = tokio::select! {
                    event = next => event,
                    () = back(&self.client, &watch) => break,
                    since = pulse.missed() => {
                        if watch.lost.is_none() {
                            watch.lost = Some((silent(), since));
                            self.note(place, &watch);
                            (self.changed)();
                        }
                        continue;
                    }
                };
                let Some(event) = event else { break };
                let before = standing(&watch);
                // Before it has asked it says that it is about to: that it succeeds is not known then.
                let asks = matches!(event, Ok(Event::Init));
                match self.take(place, event, &mut seen, &mut watch.synced) {
                    Ok(()) if asks => {}
                    Ok(()) => {
                        watch.listed = seen.len();
                        watch.lost = None;
                        rest = FIRST_REST;
                    }
                    Err(fault) => {
                        let known = watch.lost.take().filter(|(known, _)| known.code == fault.code);
                        let since = known.map_or_else(Instant::now, |(_, since)| since);
                        watch.lost = Some((fault, since));
                        ready = time::Instant::now() + rest;
                        rest = (rest * 2).min(LONGEST_REST);
                    }
                }
                self.note(place, &watch);
                if before != standing(&watch) {
                    (self.changed)();
                    self.tell(&watch, refused);
                }
                // Its next list has still to be answered where it only says that it asks.
                if watch.is_refused() && !asks {
                    // What was not allowed begins anew: what a watch has missed meanwhile, only a list says.
                    time::sleep_until(ready).await;
                    break;
                }
            }
        }
    }

    /// Looks at one namespace now and then, until it is dropped.
    async fn look_at(&self, namespace: &str) {
        let api: Api<Seen> = Api::all_with(self.client.clone(), &self.kind.resource);
        let mut watch = Watch::default();
        loop {
            let before = standing(&watch);
            let unwritten = |error: io::Error| self.unwritten(&error);
            let looked = match answered(api.get(namespace)).await {
                Ok(Seen(object)) => self.sink.put(&object, &self.kind.resource).map_err(unwritten),
                Err(fault) if fault.code == MISSING => {
                    let file = kinds::file(NAMESPACE, "", namespace);
                    self.sink.remove(&file).map_err(unwritten)
                }
                Err(fault) => Err(fault),
            };
            watch.synced |= looked.is_ok();
            watch.lost = looked.err().map(|fault| (fault, Instant::now()));
            self.note(Some(namespace), &watch);
            if before != standing(&watch) {
                (self.changed)();
            }
            tokio::select! {
                () = time::sleep(LOOK_AGAIN) => {}
                () = back(&self.client, &watch) => {}
            }
        }
    }

    fn note(&self, place: Option<&str>, watch: &Watch) {
        self.mirror.note(&self.kind.label(), |standing| match place {
            Some(namespace) => standing.note_single(namespace, watch),
            None if self.kind.is_divisible() => standing.note_whole(watch),
            None => standing.whole = watch.clone(),
        });
    }

    /// Says whether everything is refused, and asks for what may be followed instead.
    fn tell(&self, watch: &Watch, refused: &watch::Sender<bool>) {
        let newly = refused.send_if_modified(|known| {
            let is_seen = watch.synced && watch.lost.is_none();
            let is_refused = watch.is_refused() || *known && !is_seen;
            std::mem::replace(known, is_refused) != is_refused
        });
        // Which namespaces there are may be known only now.
        if newly || self.kind.resource.kind == NAMESPACE {
            self.spaces.stir();
        }
    }

    fn take(
        &self,
        place: Option<&str>,
        event: watcher::Result<Event<Seen>>,
        seen: &mut HashSet<String>,
        synced: &mut bool,
    ) -> Result<(), Fault> {
        let (sink, resource) = (&self.sink, &self.kind.resource);
        let taken = match event.map_err(|error| fault(&error))? {
            Event::Init => {
                seen.clear();
                Ok(())
            }
            Event::InitApply(Seen(object)) => {
                seen.insert(file_of(&object, resource));
                sink.put(&object, resource)
            }
            Event::InitDone => {
                *synced = true;
                sink.listed(place);
                let place = match &self.kind.scope {
                    Scope::Only(namespace) => Some(namespace.as_str()),
                    _ => place,
                };
                let elsewhere = |file: &str| place.is_some_and(|place| namespace_of(file) != place);
                sink.keep(&resource.kind, &|file| seen.contains(file) || elsewhere(file))
            }
            Event::Apply(Seen(object)) => sink.put(&object, resource),
            Event::Delete(Seen(object)) => sink.remove(&file_of(&object, resource)),
        };
        taken.map_err(|error| self.unwritten(&error))
    }

    fn unwritten(&self, error: &io::Error) -> Fault {
        let what = &self.kind.resource.plural;
        Fault::new("mirror", format!("The {what} cannot be kept: {error}."))
    }
}

/// What of a watch a window shows.
fn standing(watch: &Watch) -> (bool, Option<String>) {
    let lost = watch.lost.as_ref().map(|(fault, _)| fault.code.clone());
    (watch.synced, lost)
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

fn fault(error: &watcher::Error) -> Fault {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => told(error),
        watcher::Error::WatchError(status) => told(&kube::Error::Api(status.clone())),
        watcher::Error::NoResourceVersion => Fault::new("cluster", "The API server gives no versions of its objects."),
    }
}
