//! Follows the sidecars of one session: each of its pods, for as long as it is there, by a port-forward that is taken up
//! again when it breaks.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::api::core::v1;
use kube::{Api, Client};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{self, Duration},
};

use super::{SESSION, SidecarPolicy, forward::flows};
use crate::{
    cluster::{
        Cluster,
        pods::Pods,
        pulse::{Pulse, silent},
    },
    fault::Fault,
};

/// Most pods of one workload that are followed.
const MAX_FOLLOWED: usize = 20;
/// How long a pod is left alone after its connection broke.
const REST: Duration = Duration::from_secs(1);

/// What comes from a session's sidecars.
#[derive(Debug, Clone)]
pub enum Heard {
    /// A pod is connected, and decides by this.
    Connected(String, SidecarPolicy),
    /// A pod is not, or no longer, for this reason.
    Lost(String, Fault),
    /// A pod is no more.
    Gone(String),
    /// A line of `/flows`.
    Line(String),
}

/// Following ends when this is dropped.
#[derive(Debug)]
pub struct Following {
    _end: watch::Sender<()>,
}

impl Cluster {
    /// Follows the pods of the session `id` in `namespace`; `hear` gets what comes.
    pub fn follow_session(
        &self,
        namespace: &str,
        id: &str,
        port: u16,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Following {
        let (end_tx, mut end_rx) = watch::channel(());
        let all = follow(
            self.client.clone(),
            self.pods.clone(),
            self.pulse.clone(),
            namespace.into(),
            id.into(),
            port,
            Arc::new(hear),
        );
        self.spawn(async move {
            tokio::select! {
                _ = end_rx.changed() => {}
                () = all => {}
            }
        });
        Following { _end: end_tx }
    }
}

async fn follow(
    client: Client,
    pods: Arc<Pods>,
    pulse: Pulse,
    namespace: String,
    id: String,
    port: u16,
    hear: Arc<impl Fn(Heard) + Send + Sync + 'static>,
) {
    let mut changed = pods.changed.subscribe();
    let api: Api<v1::Pod> = Api::namespaced(client, &namespace);
    let (mut seen, mut followed): (HashSet<String>, HashSet<String>) = Default::default();
    let mut tasks = JoinSet::new();
    loop {
        changed.mark_unchanged();
        let of_session = pods.all().into_iter().filter(|pod| {
            pod.workload.namespace == namespace && pod.workload.labels.get(SESSION).is_some_and(|own| *own == id)
        });
        let now: HashSet<String> = of_session.map(|pod| pod.name).collect();
        for gone in seen.difference(&now) {
            hear(Heard::Gone(gone.clone()));
        }
        for pod in &now {
            if followed.len() < MAX_FOLLOWED && followed.insert(pod.clone()) {
                tasks.spawn(one(api.clone(), pod.clone(), port, pulse.clone(), hear.clone()));
            }
        }
        seen = now;
        tokio::select! {
            seen = changed.changed() => if seen.is_err() { return },
            Some(ended) = tasks.join_next() => if let Ok((pod, fault)) = ended {
                followed.remove(&pod);
                // One that is told to end goes without a fault.
                if pods.all().iter().any(|each| each.name == pod) {
                    hear(Heard::Lost(pod, fault));
                }
            },
        }
    }
}

/// Follows one pod until its connection breaks, or nothing can come over it any more; gives its name, and why.
async fn one(
    api: Api<v1::Pod>,
    pod: String,
    port: u16,
    mut pulse: Pulse,
    hear: Arc<impl Fn(Heard) + Send + Sync>,
) -> (String, Fault) {
    let connected = |policy| hear(Heard::Connected(pod.clone(), policy));
    let listens = flows(&api, &pod, port, connected, |line| hear(Heard::Line(line.to_string())));
    let ended = tokio::select! {
        ended = listens => ended,
        // A network that went away closes nothing.
        _ = pulse.missed() => Err(silent()),
    };
    let fault = match ended {
        Ok(()) => Fault::new("sidecar", format!("The sidecar in {pod} has ended.")),
        Err(fault) => fault,
    };
    time::sleep(REST).await;
    (pod, fault)
}
