//! Takes a sidecar out of the cluster, and looks whether anything is left.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    containers::ADMIN_PORT,
    life::{Deployment, LOOK, Live},
    names,
    prepare::Prepared,
};
use crate::{
    cluster::Cluster,
    dto::{DeployPhase, DeployPlace},
    fault::{Fault, Result},
};

/// Longest that what was deleted may take to be gone: a workload's pods are replaced one after the other.
const GONE: Duration = Duration::from_secs(300);

/// The code of a fault that says what is left.
pub(super) const LEFT: &str = "left";

/// What could not be removed, and why.
#[derive(Debug)]
pub(super) enum Unremoved {
    /// The sidecar stands as before.
    Sidecar(Fault),
    /// The sidecar is out of its pods, or they were told to go; what was made for it is not.
    Rest(Fault),
}

impl Unremoved {
    fn fault(self) -> Fault {
        let (Self::Sidecar(fault) | Self::Rest(fault)) = self;
        fault
    }
}

impl Deployment {
    /// Takes what stands out of the hands of everything else.
    pub(super) fn lets_go(&self) -> Option<Live> {
        let mut inner = self.inner();
        let live = inner.live.take()?;
        inner.state.phase = DeployPhase::Stopping;
        drop(inner);
        self.told();
        Some(live)
    }

    /// It could not be taken away: it is there as before, and its policy is kept up.
    pub(super) fn runs_on(&self, live: Live, fault: Fault) {
        self.change(|inner| {
            inner.state.phase = DeployPhase::Running;
            inner.state.fault = Some(fault);
            inner.live = Some(live);
        });
        // What changed meanwhile is brought to it now.
        self.source_changed();
    }

    /// Removes everything and looks whether it is gone. Gives what a person wants to know of it.
    pub(super) fn take_away(&self, cluster: &Cluster, prepared: &Prepared) -> Result<String> {
        self.inner().live = None;
        let same = self.remove(cluster, prepared).map_err(Unremoved::fault)?;
        self.await_gone(cluster, prepared, same)
    }

    /// Waits until what was removed is gone, unless somebody waits for this to end: it was all told to go.
    pub(super) fn await_gone(&self, cluster: &Cluster, prepared: &Prepared, same: Option<bool>) -> Result<String> {
        let (namespace, id) = (&prepared.options.target.namespace, &prepared.id);
        let until = Instant::now() + GONE;
        loop {
            let left = self.patiently(|| cluster.session_objects(namespace, id))?;
            if left.is_empty() {
                break;
            }
            if Instant::now() > until || self.is_leaving() {
                return Err(Fault::new(LEFT, format!("Not gone yet: {}.", left.join(", ")))
                    .hint("It was told to end. What is left is listed when the cluster is opened again."));
            }
            thread::sleep(LOOK);
        }
        self.log("everything is gone".to_string());
        let target = &prepared.options.target;
        let who = format!("{} {}", target.kind, target.workload());
        Ok(match (prepared.options.place, same) {
            (DeployPlace::Copy, _) => {
                format!("The copy of {who} and its policy are gone; nothing of {who} was changed.")
            }
            (DeployPlace::Workload, Some(true)) => {
                format!("{who} is what it was before: its pod template is the same.")
            }
            (DeployPlace::Workload, Some(false)) => {
                format!(
                    "Nothing of Egret is in {who} any more. Its pod template differs from before: another hand changed it."
                )
            }
            (DeployPlace::Workload, None) => format!("{who} is gone, and nothing of Egret is left."),
            (DeployPlace::Pod, _) => format!(
                "Nothing of Egret runs in {} any more, and nothing is redirected there. The two containers that have ended \
                 stay in its spec until the pod is replaced.",
                prepared.pod.as_deref().unwrap_or_default()
            ),
        })
    }

    /// Removes everything, the sidecar first; true where the workload's pod template is what it was before.
    pub(super) fn remove(&self, cluster: &Cluster, prepared: &Prepared) -> Result<Option<bool>, Unremoved> {
        let namespace = &prepared.options.target.namespace;
        let same = self.take_out(cluster, prepared).map_err(Unremoved::Sidecar)?;
        let deleted = self.patiently(|| cluster.delete_session(namespace, &prepared.id));
        deleted.map_err(|fault| Unremoved::Rest(rest(&fault, prepared)))?;
        self.log(format!("deleted what session {} made", prepared.id));
        Ok(same)
    }

    /// Takes the sidecar out of the pods that it is in, or those pods away.
    fn take_out(&self, cluster: &Cluster, prepared: &Prepared) -> Result<Option<bool>> {
        let target = &prepared.options.target;
        let (kind, name) = prepared.stands_in();
        match prepared.options.place {
            DeployPlace::Copy => {
                self.patiently(|| cluster.delete_copy(&target.namespace, &prepared.id))?;
                self.log(format!("deleted {kind} {name}"));
                Ok(None)
            }
            DeployPlace::Pod => {
                let pod = prepared.pod.as_deref().unwrap_or_default();
                self.patiently(|| cluster.detach(&target.namespace, pod, &prepared.id, ADMIN_PORT))?;
                self.log(format!("ended what was added to Pod {pod}"));
                Ok(None)
            }
            DeployPlace::Workload => {
                let left = self.patiently(|| cluster.eject(&kind, &target.namespace, &name))?;
                self.log(format!("took it out of {kind} {name}"));
                let template = |data: &Value| data["spec"]["template"].clone();
                Ok(left.map(|left| template(&left.data) == template(&prepared.live.data)))
            }
        }
    }
}

/// The sidecar is removed, and `fault` kept its policy from being deleted.
fn rest(fault: &Fault, prepared: &Prepared) -> Fault {
    let map = names::config_map(&prepared.id);
    let why = fault.told();
    Fault::new(
        LEFT,
        format!("The sidecar was removed; its policy, ConfigMap {map}, could not be deleted: {why}"),
    )
    .hint("It is listed with what is left in the cluster, and can be removed there.")
}

/// What became of what was there already, put behind the advice.
pub(super) fn also(fault: Fault, left: Result<String>) -> Fault {
    let left = match left {
        Ok(_) => "Everything was taken away again.".to_string(),
        Err(own) => format!("It could not be taken away: {}", own.told()),
    };
    fault.also(&left)
}
