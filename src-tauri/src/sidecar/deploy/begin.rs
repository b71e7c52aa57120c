//! Puts a sidecar into the cluster: the policy, the pods, the first sign of life.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use proxy_core::record::FlowWorkload;
use serde_json::Value;

use super::{
    containers::ADMIN_PORT,
    life::{Deployment, LOOK, Live},
    names,
    prepare::Prepared,
    steps::{self, Step},
};
use crate::{
    cluster::{Cluster, INJECTOR, SESSION, Stands},
    dto::{DeployPhase, DeployPlace, DeployState, DeployStepState},
    fault::{Fault, Result},
    session::now,
};

/// Longest that the pods may take to start.
const START: Duration = Duration::from_secs(180);
/// Longest that a sidecar that runs may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

impl Deployment {
    pub(super) fn begins(&self, prepared: &Prepared) {
        let options = &prepared.options;
        let (_, name) = prepared.stands_in();
        self.change(|inner| {
            inner.log.clear();
            (inner.again, inner.unbrought) = (None, None);
            inner.state = DeployState {
                phase: DeployPhase::Starting,
                session: Some(prepared.id.clone()),
                kind: options.target.kind.clone(),
                workload: options.target.workload(),
                stands_in: format!("{}/{name}", options.target.namespace),
                mode: Some(options.mode),
                place: Some(options.place),
                way: Some(options.way),
                staged: options.staged,
                steps: steps::none_begun(),
                generation: 1,
                policy_at: Some(now()),
                objects: prepared.policy.objects,
                ..DeployState::default()
            };
        });
    }

    pub(super) fn steps(&self, cluster: &Arc<Cluster>, prepared: &Arc<Prepared>) -> Result<()> {
        let uid = self.puts(cluster, prepared)?;
        self.await_pods(cluster, prepared)?;
        self.step(Step::Traffic, DeployStepState::Doing, "Connecting to the sidecar…");
        self.follow(cluster, prepared, uid);
        self.await_answer()?;
        self.runs();
        Ok(())
    }

    /// Writes what is the session's, and gives the uid of its ConfigMap.
    pub(super) fn puts(&self, cluster: &Cluster, prepared: &Prepared) -> Result<String> {
        let policy = &prepared.policy;
        self.step(
            Step::Policy,
            DeployStepState::Doing,
            format!("{} objects", policy.objects),
        );
        let uid = self.patiently(|| cluster.put_session(&prepared.config_map(1)))?;
        self.log(format!("made ConfigMap {}", names::config_map(&prepared.id)));
        let parts = prepared.parts(1, &uid);
        self.patiently(|| cluster.put_parts(&parts))?;
        if !parts.is_empty() {
            self.log(format!("made {} ConfigMaps of its parts", parts.len()));
        }
        self.step(
            Step::Policy,
            DeployStepState::Done,
            format!("{} objects, in the cluster", policy.objects),
        );

        let (kind, name) = prepared.stands_in();
        match (prepared.options.place, &prepared.pod) {
            (DeployPlace::Copy, _) => {
                self.step(Step::Start, DeployStepState::Doing, format!("{kind} {name}"));
                self.patiently(|| cluster.put_copy(&prepared.workload(&uid)))?;
                self.log(format!("made {kind} {name}"));
            }
            (DeployPlace::Workload, _) => {
                self.step(Step::Start, DeployStepState::Doing, format!("{kind} {name}"));
                self.patiently(|| cluster.inject(&prepared.workload(&uid)))?;
                self.log(format!("applied to {kind} {name} as {INJECTOR}"));
            }
            (DeployPlace::Pod, pod) => {
                let pod = pod.as_deref().unwrap_or_default();
                self.step(Step::Start, DeployStepState::Doing, format!("Pod {pod}"));
                self.adds(cluster, prepared, pod, &prepared.attached().0)?;
            }
        }
        Ok(uid)
    }

    pub(super) fn runs(&self) {
        self.change(|inner| {
            inner.state.phase = DeployPhase::Running;
            inner.state.since = Some(now());
            if inner.state.flows == 0 {
                let text = "It is ready. Nothing has left it yet.";
                steps::set(&mut inner.state.steps, Step::Traffic, DeployStepState::Doing, text);
            }
        });
        // What changed while it started is brought to it now.
        self.source_changed();
    }

    pub(super) fn adds(&self, cluster: &Cluster, prepared: &Prepared, pod: &str, container: &Value) -> Result<()> {
        self.patiently(|| cluster.attach(&prepared.options.target.namespace, pod, &prepared.id, container))?;
        let name = container["name"].as_str().unwrap_or_default();
        self.log(format!("added {name} to Pod {pod}"));
        Ok(())
    }

    fn await_pods(&self, cluster: &Cluster, prepared: &Prepared) -> Result<()> {
        if let Some(pod) = &prepared.pod {
            return self.await_attached(cluster, prepared, pod);
        }
        let (kind, name) = prepared.stands_in();
        let namespace = &prepared.options.target.namespace;
        let until = Instant::now() + START;
        let mut said = String::new();
        loop {
            let found = self.patiently(|| cluster.session_stands(&kind, namespace, &name, &prepared.id))?;
            let (ready, all) = found.ready;
            let waits = match found.stands {
                Stands::Ready if !found.pods.is_empty() => {
                    self.log(format!("ready: {}", found.pods.join(", ")));
                    self.step(
                        Step::Start,
                        DeployStepState::Done,
                        format!("{ready} of {all} pods are ready"),
                    );
                    return Ok(());
                }
                Stands::Ready => "the pods to be made".to_string(),
                Stands::Failed(words) => {
                    return Err(Fault::new("deploy", format!("It does not start: {words}")));
                }
                Stands::Waiting(what) => what,
            };
            if self.is_cancelled() {
                return Err(Fault::new(
                    "stopped",
                    format!("You called it off while it waited for {waits}."),
                ));
            }
            if Instant::now() > until {
                return Err(Fault::new("slow", format!("Waited {} s for {waits}.", START.as_secs())));
            }
            if waits != said {
                self.log(format!("waits for {waits}"));
                self.step(
                    Step::Start,
                    DeployStepState::Doing,
                    format!("{ready} of {all} pods; waits for {waits}"),
                );
                said = waits;
            }
            thread::sleep(LOOK);
        }
    }

    pub(super) fn follow(&self, cluster: &Arc<Cluster>, prepared: &Arc<Prepared>, uid: String) {
        let workload = &prepared.identity.workload;
        let mut labels = workload.labels.clone();
        labels.insert(SESSION.into(), prepared.id.clone());
        // As the workload itself: what decides for its copy is what is written for it.
        let caller = Arc::new(FlowWorkload {
            namespace: workload.namespace.to_string(),
            name: workload.name.to_string(),
            labels,
        });
        let (own, id) = (self.clone(), prepared.id.clone());
        let hear = move |heard| own.hear(&id, heard, &caller);
        let following = cluster.follow_session(&prepared.options.target.namespace, &prepared.id, ADMIN_PORT, hear);
        self.inner().live = Some(Live {
            cluster: cluster.clone(),
            prepared: prepared.clone(),
            uid,
            policy: prepared.policy.clone(),
            brought: true,
            _following: following,
        });
    }

    fn await_answer(&self) -> Result<()> {
        let until = Instant::now() + ANSWER;
        loop {
            let pods = self.inner().state.pods.clone();
            if pods.iter().any(|pod| pod.policy_hash.is_some()) {
                return Ok(());
            }
            if self.is_cancelled() {
                return Err(Fault::new(
                    "stopped",
                    "You called it off while it connected to the sidecar.",
                ));
            }
            if Instant::now() > until {
                let said = pods
                    .into_iter()
                    .find_map(|pod| pod.fault)
                    .unwrap_or_else(|| "No pod is there.".into());
                return Err(
                    Fault::new("sidecar", format!("The sidecar runs, and cannot be reached: {said}"))
                        .hint("A proxy between here and the API server may break WebSockets."),
                );
            }
            thread::sleep(LOOK);
        }
    }
}
