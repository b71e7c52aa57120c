//! What a person wants to know of a context before and while it is used: is it reachable, what runs there, and what may
//! they do. Each answer stands alone: one that is refused leaves the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    apps::v1::{DaemonSet, Deployment},
    core::v1::{Namespace, Pod},
};
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use tokio::time;

use super::{
    Cluster,
    allowed::{self, Rights},
    attempt::Attempt,
    connect::{connect, told},
    image,
    istiod::{self, Homes},
    kubeconfigs::Target,
    logs::INJECTED,
};
use crate::fault::{Fault, Result};

/// Longest that looking at a context may take.
const LIMIT: Duration = Duration::from_secs(8);
/// Objects of one kind that are looked at.
const MANY: u32 = 500;
const REVISION: &str = "istio.io/rev";
const TAG: &str = "istio.io/tag";

/// One control plane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revision {
    /// `default` for the one without a name.
    pub name: String,
    /// Versions that its pods run.
    pub versions: BTreeSet<String>,
    /// Tags that point to it.
    pub tags: BTreeSet<String>,
}

/// All of it. What could not be seen is `None`.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Version of Kubernetes.
    pub kubernetes: String,
    pub revisions: Option<Vec<Revision>>,
    /// False where tags could not be seen.
    pub tags_seen: bool,
    /// Pods have sidecars.
    pub sidecars: Option<bool>,
    /// Namespaces or nodes are in ambient mode.
    pub ambient: Option<bool>,
    /// What this person may do there.
    pub rights: Rights,
}

/// Looks at a context that is not open, for a moment. Never runs a program that nobody has allowed.
pub fn look(target: &Target) -> Result<Facts> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("look")
        .enable_all()
        .build()
        .map_err(|error| Fault::new("thread", error.to_string()))?;
    let own = target.clone();
    let found = Attempt::default().wait(&runtime, LIMIT, async move {
        let (client, _) = connect(&own).await?;
        let mut namespaces = own.namespaces();
        namespaces.insert(0, client.default_namespace().to_string());
        let homes = istiod::find(&client, &namespaces).await;
        facts(&client, &namespaces, &homes).await
    });
    // A program that gives credentials may still run: nobody waits for it.
    runtime.shutdown_background();
    found.map_err(|fault| target.explained(fault))
}

impl Cluster {
    /// Looks at the open cluster, and asks again what this person may do.
    pub fn facts(&self) -> Result<Facts> {
        let (client, namespaces, homes) = (self.client.clone(), self.spaces.known(), self.homes.clone());
        self.spaces.stir();
        let found = self.call(async move {
            let late = |_| Fault::new("slow", format!("The API server gave no answer within {LIMIT:?}."));
            time::timeout(LIMIT, facts(&client, &namespaces, &homes))
                .await
                .map_err(late)
                .flatten()
        })?;
        self.set_rights(found.rights.clone());
        Ok(found)
    }
}

async fn facts(client: &Client, namespaces: &[String], homes: &Homes) -> Result<Facts> {
    let version = client.apiserver_version().await.map_err(|error| told(&error))?;
    let many = |labels: &str| ListParams::default().labels(labels).limit(MANY);
    let one = |labels: &str| ListParams::default().labels(labels).limit(1);
    let deployments: Api<Deployment> = Api::all(client.clone());
    let webhooks: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let daemons: Api<DaemonSet> = Api::all(client.clone());
    let pods: Api<Pod> = Api::all(client.clone());
    let spaces: Api<Namespace> = Api::all(client.clone());
    let (istiod, hooks, injected, ambient, ztunnel) = (
        many("app=istiod"),
        many("app=sidecar-injector"),
        one(INJECTED),
        one("istio.io/dataplane-mode=ambient"),
        one("app=ztunnel"),
    );
    let (istiod, hooks, injected, ambient, ztunnel, rights) = tokio::join!(
        deployments.list(&istiod),
        webhooks.list(&hooks),
        pods.list(&injected),
        spaces.list(&ambient),
        daemons.list(&ztunnel),
        allowed::ask(client, namespaces, homes),
    );
    let tags_seen = hooks.is_ok();
    let hooks = hooks.map(|hooks| hooks.items).unwrap_or_default();
    let either = |one: Option<bool>, other: Option<bool>| match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    };
    Ok(Facts {
        kubernetes: version.git_version,
        revisions: istiod.ok().map(|istiod| revisions(&istiod.items, &hooks)),
        tags_seen,
        sidecars: injected.ok().map(|pods| !pods.items.is_empty()),
        ambient: either(
            ambient.ok().map(|spaces| !spaces.items.is_empty()),
            ztunnel.ok().map(|daemons| !daemons.items.is_empty()),
        ),
        rights: rights?,
    })
}

/// Control planes by their name, with the tags that point to them.
fn revisions(istiod: &[Deployment], hooks: &[MutatingWebhookConfiguration]) -> Vec<Revision> {
    let mut found: BTreeMap<String, Revision> = BTreeMap::new();
    for deployment in istiod {
        let revision = found.entry(revision_of(deployment.labels())).or_default();
        revision.versions.extend(version_of(deployment));
    }
    for hook in hooks {
        if let Some(tag) = hook.labels().get(TAG) {
            // A tag may point to a control plane that is no longer there.
            let revision = found.entry(revision_of(hook.labels())).or_default();
            revision.tags.insert(tag.clone());
        }
    }
    let named = found.into_iter().map(|(name, revision)| Revision { name, ..revision });
    named.collect()
}

fn revision_of(labels: &BTreeMap<String, String>) -> String {
    labels.get(REVISION).cloned().unwrap_or_else(|| "default".into())
}

/// By the image that runs, which an upgrade changes in any case; else by the label of the installation.
fn version_of(istiod: &Deployment) -> Option<String> {
    let spec = istiod.spec.as_ref()?.template.spec.as_ref()?;
    let container = spec.containers.iter().find(|container| container.name == "discovery")?;
    let version = container.image.as_deref().and_then(image::version);
    version.or_else(|| istiod.labels().get("app.kubernetes.io/version").cloned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn istiod(labels: &serde_json::Value, image: &str) -> Deployment {
        serde_json::from_value(json!({"metadata": {"name": "istiod", "labels": labels}, "spec": {
            "selector": {}, "template": {"spec": {"containers": [{"name": "discovery", "image": image}]}}}}))
        .unwrap()
    }

    fn hook(labels: &serde_json::Value) -> MutatingWebhookConfiguration {
        serde_json::from_value(json!({"metadata": {"name": "h", "labels": labels}})).unwrap()
    }

    #[test]
    fn control_planes_are_told_by_revision_with_versions_and_the_tags_that_point_to_them() {
        let planes = [
            istiod(&json!({"app": "istiod"}), "registry:5000/istio/pilot:1.31.0-distroless"),
            istiod(&json!({REVISION: "1-30"}), "docker.io/istio/pilot:1.30.2@sha256:ab"),
            istiod(
                &json!({REVISION: "old", "app.kubernetes.io/version": "1.29.1"}),
                "pilot@sha256:ab",
            ),
        ];
        let hooks = [
            hook(&json!({REVISION: "1-30"})),
            hook(&json!({REVISION: "1-30", TAG: "prod"})),
            hook(&json!({REVISION: "gone", TAG: "canary"})),
        ];
        let told: Vec<_> = revisions(&planes, &hooks)
            .into_iter()
            .map(|revision| {
                let one = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(",");
                format!("{} {} {}", revision.name, one(revision.versions), one(revision.tags))
            })
            .collect();
        assert_eq!(
            told,
            ["1-30 1.30.2 prod", "default 1.31.0 ", "gone  canary", "old 1.29.1 "]
        );
    }
}
