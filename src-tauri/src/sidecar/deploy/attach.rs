//! The second step in a pod that runs already: the sidecar, then its policy, and only then what redirects to it, so that
//! nothing comes to a sidecar without a policy.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    containers::ADMIN_PORT,
    life::{Deployment, LOOK},
    prepare::Prepared,
    steps::Step,
};
use crate::{
    cluster::{Cluster, Stands},
    dto::DeployStepState,
    fault::{Fault, Result},
};

/// Longest that a container may take to start, or a sidecar that runs to answer.
const START: Duration = Duration::from_secs(180);

impl Deployment {
    pub(super) fn await_attached(&self, cluster: &Cluster, prepared: &Prepared, pod: &str) -> Result<()> {
        let namespace = &prepared.options.target.namespace;
        let (sidecar, capture) = prepared.attached();
        self.await_container(cluster, namespace, pod, &sidecar)?;
        self.await_with("the sidecar to take its policy", || {
            let sent = (1, prepared.token.as_str());
            match cluster.push_policy(namespace, pod, ADMIN_PORT, &prepared.policy.bytes, sent) {
                Ok(_) => Ok(Stands::Ready),
                Err(fault) if fault.code == "policy-refused" => Err(fault),
                Err(fault) => Ok(Stands::Waiting(fault.message)),
            }
        })?;
        self.adds(cluster, prepared, pod, &capture)?;
        self.await_container(cluster, namespace, pod, &capture)?;
        self.step(Step::Start, DeployStepState::Done, format!("it runs in {pod}"));
        Ok(())
    }

    fn await_container(&self, cluster: &Cluster, namespace: &str, pod: &str, container: &Value) -> Result<()> {
        let name = container["name"].as_str().unwrap_or_default();
        self.await_with(name, || cluster.attached(namespace, pod, name))
    }

    fn await_with(&self, what: &str, look: impl Fn() -> Result<Stands>) -> Result<()> {
        let until = Instant::now() + START;
        let mut said = String::new();
        loop {
            let waits = match self.patiently(&look)? {
                Stands::Ready => return Ok(()),
                Stands::Failed(words) => {
                    return Err(Fault::new("deploy", format!("It does not start: {what}: {words}")));
                }
                Stands::Waiting(waits) => waits,
            };
            if self.is_cancelled() {
                return Err(Fault::new(
                    "stopped",
                    format!("You called it off while it waited for {what}."),
                ));
            }
            if Instant::now() > until {
                return Err(Fault::new(
                    "slow",
                    format!("Waited {} s for {what}: {waits}.", START.as_secs()),
                ));
            }
            if waits != said {
                self.log(format!("waits for {what}: {waits}"));
                self.step(
                    Step::Start,
                    DeployStepState::Doing,
                    format!("waits for {what}: {waits}"),
                );
                said = waits;
            }
            thread::sleep(LOOK);
        }
    }
}
