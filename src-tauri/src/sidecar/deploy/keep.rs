//! Keeps the policy of what runs up with the source and with what is staged.

use std::{
    mem,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use super::{
    containers::ADMIN_PORT,
    hear::connected,
    life::{Deployment, Inner, Live},
    policy::{Allocated, Policy},
};
use crate::{
    cluster::Cluster,
    dto::DeployPhase,
    fault::{Fault, Result},
    session::now,
};

/// How long it rests before a policy that could not be brought is brought again.
const REST: Duration = Duration::from_secs(5);

impl Deployment {
    /// Nobody waits for another policy any more.
    pub fn close(&self) {
        self.inner().closed = true;
        self.shared.changed.notify_all();
    }

    /// The source, or what is staged, has changed.
    pub fn source_changed(&self) {
        self.inner().stale = true;
        self.shared.changed.notify_all();
    }

    /// What the sidecar that is deployed needs of allocated addresses.
    pub fn allocated(&self) -> Allocated {
        let inner = self.inner();
        let live = inner.live.as_ref();
        Allocated::by(live.is_some_and(|live| live.prepared.identity.captures_dns))
    }

    /// With, or without, what is staged from now on.
    pub fn with_staged(&self, staged: bool) {
        self.change(|inner| inner.state.staged = staged);
        self.source_changed();
    }

    /// Waits until the policy of what stands may be another one, or is to be brought again; `false` once the window has
    /// closed.
    pub fn await_change(&self) -> bool {
        let mut inner = self.inner();
        while !inner.closed {
            let is_running = inner.state.phase == DeployPhase::Running;
            let rest = inner.again.map(|again| again.saturating_duration_since(Instant::now()));
            if is_running && (inner.stale || rest == Some(Duration::ZERO)) {
                inner.stale = false;
                inner.again = None;
                return true;
            }
            let changed = &self.shared.changed;
            inner = match rest.filter(|_| is_running) {
                Some(rest) => {
                    let waited = changed.wait_timeout(inner, rest);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
        false
    }

    /// Brings `policy` to the sidecars, where they have another one: into the ConfigMap, for pods that start later, and at
    /// once to those that run. It counts as brought once all have taken it. What stands in another cluster than `of`, which
    /// the policy is of, is left as it is: the window is turning away from it.
    pub fn update(&self, of: &Arc<Cluster>, policy: Policy) -> Result<()> {
        let (cluster, prepared, uid, generation, pods) = {
            let mut inner = self.inner();
            let Inner { state, live, .. } = &mut *inner;
            let is_for = |live: &Live| Arc::ptr_eq(&live.cluster, of) && (!live.brought || live.policy != policy);
            let Some(live) = live.as_mut().filter(|live| is_for(live)) else {
                return Ok(());
            };
            if live.policy != policy {
                live.policy = policy.clone();
                live.brought = false;
                state.generation += 1;
                state.policy_at = Some(now());
                state.objects = policy.objects;
            }
            let pods: Vec<String> = state.pods.iter().map(|pod| pod.name.clone()).collect();
            let Live {
                cluster, prepared, uid, ..
            } = live;
            (cluster.clone(), prepared.clone(), uid.clone(), state.generation, pods)
        };
        let (options, namespace) = (&prepared.options, &prepared.options.target.namespace);
        let map = policy.config_map(options, &prepared.id, &prepared.token, generation);
        let parts = policy.parts(options, &prepared.id, generation, &uid);
        let mut brought = cluster.put_policy(&map, &parts, &uid);
        self.log(format!("policy {generation} of {} objects", policy.objects));
        for pod in pods {
            let sent = (generation, prepared.token.as_str());
            let taken = cluster.push_policy(namespace, &pod, ADMIN_PORT, &policy.bytes, sent);
            let failed = taken.as_ref().err().cloned();
            self.change_session(&prepared.id, |inner| {
                // One that is gone meanwhile needs none.
                let Some(row) = inner.state.pods.iter_mut().find(|row| row.name == pod) else {
                    return;
                };
                match taken {
                    Ok(taken) => *row = connected(&pod, taken),
                    Err(fault) => row.fault = Some(fault.told()),
                }
                if let (true, Some(fault)) = (brought.is_ok(), failed) {
                    brought = Err(fault);
                }
            });
        }
        let mut inner = self.inner();
        let live = inner.live.as_mut().filter(|live| live.prepared.id == prepared.id);
        if let Some(live) = live {
            live.brought = brought.is_ok();
        }
        brought
    }

    /// What came of bringing another policy: what failed is shown, and tried again, until one is brought. Another fault,
    /// as of a Stop, is shown on.
    pub fn noted(&self, outcome: Result<()>) {
        let fault: Option<Fault> = outcome.err();
        let mut inner = self.inner();
        if inner.state.phase != DeployPhase::Running {
            return;
        }
        inner.again = fault.as_ref().map(|_| Instant::now() + REST);
        let before = mem::replace(&mut inner.unbrought, fault.clone());
        let shown = match fault {
            None => inner.state.fault.clone().filter(|shown| before.as_ref() != Some(shown)),
            fault => fault,
        };
        let is_news = inner.state.fault != shown;
        inner.state.fault = shown;
        drop(inner);
        if is_news {
            self.told();
        }
    }
}
