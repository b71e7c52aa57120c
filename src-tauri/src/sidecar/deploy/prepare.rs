//! From what a person chose to the objects that would be made for it.

use kube::core::DynamicObject;
use proxy_core::policy::{DataPlane, Workload, capture_of, captures_dns};
use serde_json::Value;

use super::{
    containers, copy, in_place, names,
    options::{Identity, Options},
    policy::{Allocated, Policy},
};
use crate::{
    change::Proposal,
    cluster::{Cluster, OWN_SIDECAR, attached_name},
    dto::DeployPlace,
    fault::Result,
    random,
    session::View,
};

/// Bytes of a session's name, which stands in labels and at the end of names.
const ID: usize = 4;
/// Bytes of what nobody guesses.
const TOKEN: usize = 32;

/// Everything that is known before anything is written.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub options: Options,
    pub identity: Identity,
    /// The workload as it is.
    pub live: DynamicObject,
    pub policy: Policy,
    /// Names the session.
    pub id: String,
    /// By which its sidecars know who sends them a policy.
    pub token: String,
    /// The pod that it is added to, where it is added to one that runs.
    pub pod: Option<String>,
}

/// Works it out for the workload as the API server has it now.
pub fn prepare(cluster: &Cluster, view: &View, staged: Option<&Proposal>, options: Options) -> Result<Prepared> {
    let target = &options.target;
    let live = cluster.workload_object(&target.kind, &target.namespace, &target.name)?;
    let pod = match options.place {
        DeployPlace::Copy | DeployPlace::Workload => None,
        DeployPlace::Pod => Some(cluster.place(&target.workload())?.pod),
    };
    let identity = identity(view, &options, &live.data);
    let allocated = Allocated::by(identity.captures_dns);
    Ok(Prepared {
        pod,
        identity,
        policy: Policy::of(view, staged.filter(|_| options.staged), target, allocated)?,
        id: random::hexadecimal(ID)?,
        token: random::hexadecimal(TOKEN)?,
        options,
        live,
    })
}

impl Prepared {
    /// The workload that will have the sidecar: its kind and name.
    pub fn stands_in(&self) -> (String, String) {
        let target = &self.options.target;
        match self.options.place {
            DeployPlace::Copy => ("Deployment".into(), names::copy(target, &self.id)),
            DeployPlace::Workload | DeployPlace::Pod => (target.kind.clone(), target.name.clone()),
        }
    }

    /// The containers that are added to a pod that runs: the sidecar, and what redirects to it.
    pub fn attached(&self) -> (Value, Value) {
        containers::attached(&self.options, &self.identity, &self.id, &self.token)
    }

    /// The session's ConfigMap.
    pub fn config_map(&self, generation: u64) -> Value {
        self.policy.config_map(&self.options, &self.id, &self.token, generation)
    }

    /// The ConfigMaps of the policy's parts, where it is in parts.
    pub fn parts(&self, generation: u64, uid: &str) -> Vec<Value> {
        self.policy.parts(&self.options, &self.id, generation, uid)
    }

    /// The workload with the sidecar; a copy is a dependent of the ConfigMap, whose uid this is.
    pub fn workload(&self, uid: &str) -> Value {
        let live = &self.live.data;
        match self.options.place {
            DeployPlace::Copy => {
                let owner = (names::config_map(&self.id), uid);
                copy::copy(live, &self.options, &self.identity, &self.id, (&owner.0, owner.1))
            }
            DeployPlace::Workload | DeployPlace::Pod => {
                in_place::injection(live, &self.options, &self.identity, &self.id)
            }
        }
    }

    /// What will be made or changed, in words. Its own part of names is left out: each start has another one.
    pub fn adds(&self) -> Vec<String> {
        let unnamed = |name: &str| name.replace(&self.id, "…");
        let target = &self.options.target;
        let objects = self.policy.objects;
        let map = unnamed(&names::config_map(&self.id));
        let policy = match self.parts(1, "").len() {
            0 => format!("ConfigMap {map}: the policy, {objects} objects"),
            parts => format!("ConfigMap {map}, and {parts} with its parts: the policy, {objects} objects"),
        };
        let (kind, name) = self.stands_in();
        let name = unnamed(&name);
        let workload = match self.options.place {
            DeployPlace::Copy => format!("{kind} {name}: one pod, a copy of {}", target.name),
            DeployPlace::Workload => {
                format!(
                    "{kind} {name}: containers, volumes, a label and an annotation of the field manager egret-inject"
                )
            }
            DeployPlace::Pod => format!(
                "Pod {}: a label while it runs, and the ephemeral containers {} and {}, which stay in its spec when they \
                 have ended, until the pod is replaced",
                self.pod.as_deref().unwrap_or_default(),
                attached_name(OWN_SIDECAR, &self.id),
                attached_name(containers::CAPTURE, &self.id),
            ),
        };
        vec![policy, workload]
    }
}

fn identity(view: &View, options: &Options, live: &Value) -> Identity {
    let target = &options.target;
    let template = &live["spec"]["template"];
    let texts = |field: &str| {
        let all = template["metadata"][field].as_object().into_iter().flatten();
        all.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_string())))
            .collect()
    };
    let workload = Workload {
        namespace: target.namespace.as_str().into(),
        name: target.name.as_str().into(),
        labels: texts("labels"),
        annotations: texts("annotations"),
        dns_capture: options.dns_capture(),
    };
    let host_network = template["spec"]["hostNetwork"].as_bool() == Some(true);
    let nothing = matches!(
        DataPlane::of(view.world(), &workload, host_network),
        DataPlane::Nothing { .. }
    );
    Identity {
        service_account: template["spec"]["serviceAccountName"]
            .as_str()
            .unwrap_or("default")
            .into(),
        istio_version: view.world().version,
        capture: capture_of(view.world(), &workload),
        captures_dns: captures_dns(view.world(), &workload),
        asks_for_dns: captures_dns(
            view.world(),
            &Workload {
                dns_capture: None,
                ..workload.clone()
            },
        ),
        // Where nobody knows it is taken to be there: to leave its user alone harms nothing.
        beside_istio: options.place != DeployPlace::Copy && !nothing,
        workload,
    }
}
