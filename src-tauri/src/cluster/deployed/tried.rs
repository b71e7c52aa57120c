//! What is asked before anything is written: whether the API server would take it, and what would stand in the way.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Node as KubernetesNode, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams, PostParams, ValidationDirective},
    core::DynamicObject,
};
use serde_json::{Value, json};

use super::INJECTOR;
use crate::{
    cluster::{
        Cluster,
        connect::told,
        owner::{Change, Settings, owner},
        rollout::unable,
        write::MANAGER,
    },
    fault::Result,
};

/// Nodes that are looked at.
const MANY: u32 = 500;

/// What the API server said against an object, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: u16,
    pub words: String,
}

/// A node, as far as it says where images come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    pub name: String,
    /// `kind://…`, `k3s://…`, a cloud's.
    pub provider: String,
    pub labels: BTreeMap<String, String>,
    /// `containerd://2.1.4`.
    pub runtime: String,
    /// `amd64`.
    pub architecture: String,
    /// The kernel's, anew with each start.
    pub boot_id: String,
    /// How many images it says it has; a kubelet names the 50 largest only.
    pub images: usize,
    /// Their names: most have two, with a tag and with a digest.
    pub image_names: Vec<String>,
}

/// The nodes that were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nodes {
    pub seen: Vec<Node>,
    /// There are no others.
    pub are_all: bool,
}

/// A PodDisruptionBudget that allows no disruption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disruption {
    pub name: String,
}

impl Cluster {
    /// Tries a workload, as a copy (`Deployment` of Egret's own) or as an injection, and then a pod of the template that
    /// came of it: the first is only warned about what the second is refused for. Nothing is stored.
    pub fn try_workload(&self, object: &Value, is_copy: bool) -> Result<Option<Refusal>> {
        let (namespace, name) = (text(object, "namespace"), text(object, "name"));
        let workloads = self.workloads(object["kind"].as_str().unwrap_or_default(), &namespace)?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let object = object.clone();
        self.call(async move {
            let mut parameters = PatchParams::apply(if is_copy { MANAGER } else { INJECTOR }).dry_run();
            parameters.field_validation = Some(ValidationDirective::Strict);
            parameters.force = is_copy;
            let tried = match workloads.patch(&name, &parameters, &Patch::Apply(&object)).await {
                Ok(tried) => tried,
                Err(error) => return refusal(error),
            };
            let pod: Pod = serde_json::from_value(pod(&tried, &name))
                .map_err(|error| crate::fault::Fault::new("cluster", format!("No pod can be made of it: {error}")))?;
            let parameters = PostParams {
                dry_run: true,
                field_manager: Some(MANAGER.into()),
            };
            match pods.create(&parameters, &pod).await {
                Ok(_) => Ok(None),
                Err(error) => refusal(error),
            }
        })
    }

    /// The nodes, or the first of very many; `None` where they may not be listed.
    pub fn nodes(&self) -> Result<Option<Nodes>> {
        let nodes: Api<KubernetesNode> = Api::all(self.client.clone());
        self.call(async move {
            match nodes.list(&ListParams::default().limit(MANY)).await {
                Ok(nodes) => Ok(Some(Nodes {
                    are_all: nodes.metadata.continue_.is_none_or(|next| next.is_empty()),
                    seen: nodes.items.into_iter().map(node).collect(),
                })),
                Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
                Err(error) => Err(told(&error)),
            }
        })
    }

    /// The budgets of `namespace` that hold for pods with `labels` and allow no disruption now; `None` where they may not
    /// be listed.
    pub fn disruptions(&self, namespace: &str, labels: &Value) -> Result<Option<Vec<Disruption>>> {
        let budgets: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), namespace);
        let labels = labels.clone();
        self.call(async move {
            let budgets = match budgets.list(&ListParams::default()).await {
                Ok(budgets) => budgets,
                Err(kube::Error::Api(status)) if status.code == 403 => return Ok(None),
                Err(error) => return Err(told(&error)),
            };
            let strict = budgets.items.into_iter().filter(|budget| {
                let allowed = budget.status.as_ref().map(|status| status.disruptions_allowed);
                selects(budget, &labels) && allowed == Some(0)
            });
            let named = strict.map(|budget| Disruption {
                name: budget.metadata.name.unwrap_or_default(),
            });
            Ok(Some(named.collect()))
        })
    }

    /// Why the pods of a workload would not be replaced when its template changes.
    pub fn unable_to_roll(&self, kind: &str, live: &DynamicObject) -> Option<String> {
        unable(kind, &live.data).map(str::to_string)
    }

    /// The tool that manages `object` and would take a change back, with its effect.
    pub fn manager_of(&self, object: &DynamicObject) -> Option<(String, String)> {
        let change = Change {
            object: None,
            settings: Settings::default(),
        };
        owner(&object.metadata, &change).map(|owner| (owner.tool, owner.effect.to_string()))
    }
}

fn text(object: &Value, field: &str) -> String {
    object["metadata"][field].as_str().unwrap_or_default().to_string()
}

/// A pod as a controller would make it of the workload's template.
fn pod(workload: &DynamicObject, name: &str) -> Value {
    let template = &workload.data["spec"]["template"];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": format!("{name}-"),
            "namespace": workload.metadata.namespace,
            "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"],
        },
        "spec": template["spec"],
    })
}

/// What was said against the object; another fault is one of the question.
pub(super) fn refusal(error: kube::Error) -> Result<Option<Refusal>> {
    match error {
        kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 401 => Ok(Some(Refusal {
            code: status.code,
            words: status.message.clone(),
        })),
        error => Err(told(&error)),
    }
}

fn node(node: KubernetesNode) -> Node {
    let status = node.status.unwrap_or_default();
    let images = status.images.unwrap_or_default();
    let info = status.node_info.unwrap_or_default();
    Node {
        name: node.metadata.name.unwrap_or_default(),
        provider: node.spec.and_then(|spec| spec.provider_id).unwrap_or_default(),
        labels: node.metadata.labels.unwrap_or_default(),
        runtime: info.container_runtime_version,
        architecture: info.architecture,
        boot_id: info.boot_id,
        images: images.len(),
        image_names: images
            .into_iter()
            .flat_map(|image| image.names.unwrap_or_default())
            .collect(),
    }
}

/// True where the budget selects pods with these labels. Expressions are taken to hold: better one warning too many.
fn selects(budget: &PodDisruptionBudget, labels: &Value) -> bool {
    let Some(selector) = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else {
        return false;
    };
    let mut wanted = selector.match_labels.iter().flatten();
    wanted.all(|(key, value)| labels[key] == json!(value))
}
