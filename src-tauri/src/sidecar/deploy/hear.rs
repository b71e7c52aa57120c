//! What a deployed sidecar says: its flows, and the policy that it decides by.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proxy_core::record::FlowWorkload;

use super::{
    life::Deployment,
    steps::{self, Step},
};
use crate::{
    cluster::{Heard, SidecarPolicy},
    dto::{DeployPod, DeployStepState},
    sidecar::admin::FlowLine,
};

/// How often a window is told of flows at most.
const PACE: Duration = Duration::from_millis(500);

impl Deployment {
    /// Takes what comes from the session `id`, while this window looks after it.
    pub(super) fn hear(&self, id: &str, heard: Heard, caller: &Arc<FlowWorkload>) {
        match heard {
            Heard::Connected(pod, policy) => self.change_session(id, |inner| {
                *row(&mut inner.state.pods, &pod) = connected(&pod, policy);
            }),
            Heard::Lost(pod, fault) => self.change_session(id, |inner| {
                let row = row(&mut inner.state.pods, &pod);
                row.policy_hash = None;
                row.fault = Some(fault.told());
            }),
            Heard::Gone(pod) => self.change_session(id, |inner| inner.state.pods.retain(|row| row.name != pod)),
            Heard::Line(line) => match FlowLine::parse(&line) {
                Some(FlowLine::Flow(mut record)) => {
                    record.workload = caller.clone();
                    self.traffic.add(*record);
                    self.counted(id, 1, 0);
                }
                Some(FlowLine::Dropped(count)) => {
                    self.traffic.lost(count);
                    self.counted(id, 0, count);
                }
                None => {}
            },
        }
    }

    fn counted(&self, id: &str, flows: u64, dropped: u64) {
        let mut inner = self.inner();
        if inner.session() != Some(id) {
            return;
        }
        let is_first = inner.state.flows == 0 && flows > 0;
        inner.state.flows += flows;
        inner.state.dropped += dropped;
        if is_first {
            let text = "Flows come in.";
            steps::set(&mut inner.state.steps, Step::Traffic, DeployStepState::Done, text);
        }
        let is_due = inner.told.is_none_or(|told| told.elapsed() > PACE);
        if is_first || is_due {
            inner.told = Some(Instant::now());
            drop(inner);
            self.told();
        }
    }
}

fn row<'p>(pods: &'p mut Vec<DeployPod>, name: &str) -> &'p mut DeployPod {
    let index = pods.iter().position(|pod| pod.name == name).unwrap_or_else(|| {
        pods.push(DeployPod {
            name: name.into(),
            policy_hash: None,
            generation: None,
            source: None,
            loaded: None,
            fault: None,
        });
        pods.len() - 1
    });
    &mut pods[index]
}

pub(super) fn connected(name: &str, policy: SidecarPolicy) -> DeployPod {
    DeployPod {
        name: name.into(),
        policy_hash: Some(policy.hash),
        generation: policy.generation,
        source: policy.source,
        loaded: Some(policy.loaded),
        fault: policy.errors.into_iter().next(),
    }
}
