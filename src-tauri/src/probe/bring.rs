//! Bringing curl to where a request shall start: one thing at a time, step by step, until it is ready, fails, or the person
//! has waited enough.

use std::{
    sync::{
        Mutex, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use proxy_core::model::{Object, WorkloadManifest};

use crate::{
    cluster::{Cluster, Feature, PROBE, Stands},
    dto::{ProbeRow, ProbeStep, ProbeWays},
    events::{Event, Events},
    fault::{Fault, Result},
    session::View,
    settings::{DEFAULT_PROBE_IMAGE, Settings},
};

/// Longest that an image may take to come.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// Longest name of a namespace.
const MAX_NAMESPACE: usize = 63;

/// The one thing that is being brought, if any.
#[derive(Debug)]
pub struct Bringing {
    events: Events,
    busy: Mutex<()>,
    stop: AtomicBool,
}

impl Bringing {
    pub fn new(events: Events) -> Self {
        Self {
            events,
            busy: Mutex::new(()),
            stop: AtomicBool::new(false),
        }
    }

    /// Adds a container of `image` to a pod of `workload` and waits for it. Gives the pod's name.
    pub fn container(&self, cluster: &Cluster, workload: &str, image: &str) -> Result<String> {
        self.alone(|| {
            let place = cluster.place(workload)?;
            let name = cluster.add_container(&place, image)?;
            let left = format!(
                "{name} of {} cannot be taken away; it ends by itself or with its pod.",
                place.pod
            );
            self.wait(|| cluster.added_container(&place, &name))
                .map_err(|fault| fault.also(&left))?;
            Ok(place.pod)
        })
    }

    /// Deploys Egret's probe to `namespace` and waits for it. Gives the workload to send from. What does not come up is taken
    /// away again.
    pub fn deployment(&self, cluster: &Cluster, namespace: &str, image: &str) -> Result<String> {
        check_namespace(namespace)?;
        self.alone(|| {
            cluster.deploy_probe(namespace, image)?;
            self.wait(|| cluster.probe(namespace)).map_err(|fault| {
                let left = match cluster.remove_probe(namespace) {
                    Ok(()) => "The probe was taken away again.".to_string(),
                    Err(own) => format!("The probe is still there: {}", own.message),
                };
                fault.also(&left)
            })?;
            Ok(format!("{namespace}/{PROBE}"))
        })
    }

    /// Takes Egret's probe out of `namespace`.
    pub fn remove(&self, cluster: &Cluster, namespace: &str) -> Result<()> {
        check_namespace(namespace)?;
        self.alone(|| cluster.remove_probe(namespace))
    }

    /// Ends the waiting.
    pub fn cancel(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn alone<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _alone = match self.busy.try_lock() {
            Ok(alone) => alone,
            // What failed before guards nothing that could be half done.
            Err(TryLockError::Poisoned(alone)) => alone.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(
                    Fault::new("busy", "Something is being brought already.").hint("Wait for it, or stop waiting.")
                );
            }
        };
        self.stop.store(false, Ordering::Relaxed);
        let done = work();
        self.say(None);
        done
    }

    fn wait(&self, look: impl Fn() -> Result<Stands>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut said = None;
        loop {
            let what = match look()? {
                Stands::Ready => return Ok(()),
                Stands::Failed(words) => {
                    return Err(Fault::new("probe", format!("It does not come up: {words}"))
                        .hint("Name an image with curl and sleep that the cluster's nodes can fetch."));
                }
                Stands::Waiting(what) => what,
            };
            if self.stop.load(Ordering::Relaxed) {
                return Err(Fault::new("stopped", format!("You stopped waiting for {what}.")));
            }
            if Instant::now() > until {
                return Err(
                    Fault::new("slow", format!("Waited {} s for {what}.", PATIENCE.as_secs()))
                        .hint("Name an image of a registry that is nearer to the cluster's nodes."),
                );
            }
            if said.as_ref() != Some(&what) {
                self.say(Some(format!("Waiting for {what}…")));
                said = Some(what);
            }
            thread::sleep(LOOK);
        }
    }

    fn say(&self, step: Option<String>) {
        self.events.send(Event::ProbeChanged(ProbeStep { step }));
    }
}

/// A DNS label: anything else would be part of a path of the API server's.
fn check_namespace(namespace: &str) -> Result<()> {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if namespace.is_empty() || namespace.len() > MAX_NAMESPACE || !namespace.chars().all(plain) {
        return Err(Fault::input(format!("{namespace:?} is no name of a namespace.")));
    }
    Ok(())
}

/// What can be done for `workload`, and what is missing for it.
pub fn ways(cluster: &Cluster, settings: &Settings, workload: &str) -> Result<ProbeWays> {
    let namespace = workload.split('/').next().unwrap_or_default();
    check_namespace(namespace)?;
    let missing = |feature| -> Result<Option<String>> {
        for feature in [feature, Feature::SendRequests] {
            if let Some(missing) = cluster.missing(feature, namespace)? {
                return Ok(Some(missing.reason));
            }
        }
        Ok(None)
    };
    Ok(ProbeWays {
        image: settings.probe_image(),
        default_image: DEFAULT_PROBE_IMAGE.into(),
        container_missing: missing(Feature::EphemeralContainers)?,
        deployment_missing: missing(Feature::DeployProbe)?,
    })
}

/// Egret's probes that stand in the open cluster.
pub fn probes(view: &View) -> Vec<ProbeRow> {
    if view.origin.cluster().is_none() {
        return Vec::new();
    }
    let own = view.world().workloads.iter().filter(|object| is_probe(object));
    own.map(|object| ProbeRow {
        namespace: object.meta.namespace.to_string(),
        workload: format!("{}/{PROBE}", object.meta.namespace),
        since: object.meta.created.and_then(|created| {
            let format = &time::format_description::well_known::Rfc3339;
            created.format(format).ok()
        }),
    })
    .collect()
}

fn is_probe(object: &Object<WorkloadManifest>) -> bool {
    let by = object.meta.labels.get("app.kubernetes.io/managed-by");
    &*object.meta.name == PROBE && object.spec.kind == "Deployment" && by.is_some_and(|by| by == "egret")
}
