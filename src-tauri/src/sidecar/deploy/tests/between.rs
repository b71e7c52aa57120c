//! The moments of a deployment's life at which something may come between, and how a test gets exactly there: whoever does
//! a step tells of it, and goes on only when the window has taken that.

use std::sync::{Arc, Mutex, mpsc};

use egret_tests::mesh::Api;
use serde_json::Value;

use super::super::{Deployment, Prepared};
use crate::{
    cluster::Cluster,
    dto::{DeployPhase, DeployPlace, DeployState},
    events::{Event, Events},
};

/// What has just been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The ConfigMap is written.
    Policy,
    /// The copy is made, the workload has the sidecar, or the pod.
    Put,
    /// Pods are waited for.
    Waits,
    Runs,
    /// Another policy is in the cluster.
    Changed,
    /// Stop was clicked; nothing is removed.
    Stops,
    /// The copy is deleted, or the sidecar is out of the workload; the policy is left.
    Out,
    /// The policy is deleted too.
    Gone,
}

impl Moment {
    /// True when a window that is told `state` is told of this.
    pub fn has_come(self, state: &DeployState) -> bool {
        let last = state.log.last().map_or("", String::as_str);
        let says = |words: &[&str]| words.iter().any(|words| last.contains(words));
        match self {
            Self::Policy => says(&["made ConfigMap"]),
            Self::Put => says(&["made Deployment", "applied to Deployment", "added egret-proxy"]),
            Self::Waits => says(&["waits for"]),
            Self::Runs => state.phase == DeployPhase::Running,
            Self::Changed => says(&["policy 2 of"]),
            Self::Stops => state.phase == DeployPhase::Stopping,
            Self::Out => says(&["deleted Deployment", "took it out of"]),
            Self::Gone => says(&["deleted what session"]),
        }
    }

    /// True where the sidecar has been running.
    pub fn is_after_start(self) -> bool {
        !matches!(self, Self::Policy | Self::Put | Self::Waits)
    }
}

/// Holds a deployment up at a moment.
pub struct Halt {
    at: Arc<Mutex<Option<Moment>>>,
    reached_rx: mpsc::Receiver<()>,
    go_on_tx: mpsc::Sender<()>,
}

impl Halt {
    /// Where a deployment tells of its steps, and what holds it up there.
    pub fn events() -> (Events, Self) {
        let (reached_tx, reached_rx) = mpsc::channel();
        let (go_on_tx, go_on_rx) = mpsc::channel();
        let at = Arc::<Mutex<Option<Moment>>>::default();
        let (wanted, go_on_rx) = (at.clone(), Mutex::new(go_on_rx));
        let events = Events::new(move |event| {
            let Event::DeployChanged(state) = event else { return };
            let has_come = wanted
                .lock()
                .unwrap()
                .take_if(|moment| moment.has_come(&state))
                .is_some();
            if has_come && reached_tx.send(()).is_ok() {
                // A test that failed lets go of everything.
                let _ = go_on_rx.lock().unwrap().recv();
            }
        });
        let halt = Self {
            at,
            reached_rx,
            go_on_tx,
        };
        (events, halt)
    }

    /// Holds it up there when it comes there next.
    pub fn at(&self, moment: Moment) {
        *self.at.lock().unwrap() = Some(moment);
    }

    /// Waits until it is there.
    pub fn reached(&self) {
        self.reached_rx.recv().unwrap();
    }

    pub fn goes_on(&self) {
        self.go_on_tx.send(()).unwrap();
    }
}

/// Puts it there, and goes on as if one of its pods had answered.
pub fn runs(deployment: &Deployment, cluster: &Arc<Cluster>, prepared: &Arc<Prepared>) {
    deployment.begins(prepared);
    let uid = deployment.puts(cluster, prepared).unwrap();
    deployment.follow(cluster, prepared, uid);
    deployment.runs();
}

/// Everything of a namespace that a deployment could touch, with who set which field; without what the API server counts
/// and dates, and what an added container leaves in its pod for good.
pub fn everything(api: &Api, space: &str) -> Vec<Value> {
    const KINDS: &str = "deployments,replicasets,statefulsets,daemonsets,pods,configmaps,secrets,services,serviceaccounts,\
                         roles,rolebindings,networkpolicies,serviceentries";
    let words = ["get", KINDS, "-n", space, "-o", "json", "--show-managed-fields"];
    let all: Value = serde_json::from_str(&api.text(&words)).unwrap();
    let mut all = all["items"].as_array().unwrap().clone();
    for each in &mut all {
        let metadata = each["metadata"].as_object_mut().unwrap();
        metadata.remove("resourceVersion");
        metadata.remove("generation");
        let managers = metadata.get_mut("managedFields").and_then(Value::as_array_mut);
        let managers = managers.unwrap();
        managers.retain(|entry| entry["subresource"] != "ephemeralcontainers" && entry["subresource"] != "status");
        for entry in managers {
            entry.as_object_mut().unwrap().remove("time");
        }
        for field in ["ephemeralContainers", "ephemeralContainerStatuses"] {
            each["spec"].as_object_mut().map(|spec| spec.remove(field));
            each["status"].as_object_mut().map(|status| status.remove(field));
        }
    }
    all
}

/// As people call it.
pub fn named(place: DeployPlace) -> &'static str {
    match place {
        DeployPlace::Copy => "copy",
        DeployPlace::Workload => "workload",
        DeployPlace::Pod => "pod",
    }
}
