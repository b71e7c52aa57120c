//! What sessions have left in the cluster, also those of an app that was killed or of another computer: by their label, and
//! by the field manager in workloads.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api,
    api::{ListParams, ObjectMeta},
    core::{ApiResource, DynamicObject},
};

use super::INJECTOR;
use crate::{
    cluster::{Cluster, ROLLING, connect::told},
    fault::{Fault, Result},
};

/// Tells the objects and pods of one session from all others.
pub const SESSION: &str = "egret.dev/session";
/// Of a session's ConfigMap: what it was made for, as `KIND namespace/name`.
pub const WORKLOAD: &str = "egret.dev/workload";
/// Of a session's ConfigMap: `copy`, `workload` or `pod`.
pub const PLACE: &str = "egret.dev/place";
/// Of a session's ConfigMap: `observe` or `enforce`.
pub const MODE: &str = "egret.dev/mode";

/// Objects of one answer.
const PAGE: u32 = 500;

/// A session that stands in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftSession {
    pub id: String,
    pub namespace: String,
    /// What it was made for, `KIND namespace/name`; empty where nothing says so.
    pub workload: String,
    /// When its first object was made, RFC 3339.
    pub since: Option<String>,
    /// Its objects, as a person calls them.
    pub objects: Vec<String>,
    /// Workloads that have its sidecar: kind and name.
    pub injected: Vec<(String, String)>,
    /// Pods that had it added while they ran.
    pub attached: Vec<String>,
}

impl Cluster {
    /// All that may be seen, by namespace and number.
    pub fn left_sessions(&self) -> Result<Vec<LeftSession>> {
        let client = self.client.clone();
        let known = self.spaces.known();
        let resources: Vec<ApiResource> = ROLLING
            .iter()
            .filter_map(|kind| self.resource(kind).ok().cloned())
            .collect();
        let maps = ApiResource::erase::<ConfigMap>(&());
        let pods = ApiResource::erase::<Pod>(&());
        self.call(async move {
            let mut found = BTreeMap::new();
            let labelled = ListParams::default().labels(SESSION);
            for each in listed(&client, &maps, &known, &labelled).await? {
                add(&mut found, "ConfigMap", &each);
            }
            // A pod of a workload that has the sidecar carries the label too, and was not marked by itself.
            for each in listed(&client, &pods, &known, &labelled)
                .await?
                .iter()
                .filter(|each| injected(each).is_some())
            {
                add(&mut found, "Pod", each);
            }
            for resource in &resources {
                for each in listed(&client, resource, &known, &ListParams::default()).await? {
                    add(&mut found, &resource.kind, &each);
                }
            }
            Ok(found.into_values().collect())
        })
    }
}

/// The session whose sidecar is in the workload that this is of.
pub fn injected(metadata: &ObjectMeta) -> Option<&str> {
    let mut managers = metadata.managed_fields.iter().flatten();
    managers.find(|entry| entry.manager.as_deref() == Some(INJECTOR))?;
    let annotations = metadata.annotations.as_ref();
    let id = annotations.and_then(|annotations| annotations.get(SESSION));
    // Somebody may have taken the annotation away, and left the rest.
    Some(id.map_or("unknown", String::as_str))
}

type Found = BTreeMap<(String, String), LeftSession>;

fn add(found: &mut Found, kind: &str, metadata: &ObjectMeta) {
    let none = BTreeMap::new();
    let (labels, annotations) = (
        metadata.labels.as_ref().unwrap_or(&none),
        metadata.annotations.as_ref().unwrap_or(&none),
    );
    let (name, namespace) = (
        metadata.name.clone().unwrap_or_default(),
        metadata.namespace.clone().unwrap_or_default(),
    );
    let own = labels.get(SESSION).map(String::as_str);
    let inside = injected(metadata).map(|id| own.unwrap_or(id));
    let Some(id) = inside.or(own) else { return };
    let session = found
        .entry((namespace.clone(), id.to_string()))
        .or_insert_with(|| LeftSession {
            id: id.to_string(),
            namespace: namespace.clone(),
            ..LeftSession::default()
        });
    if let Some(workload) = annotations.get(WORKLOAD) {
        session.workload.clone_from(workload);
    }
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
    if inside.is_some() {
        session.objects.push(format!("a sidecar in {kind} {name}"));
        match kind {
            "Pod" => session.attached.push(name.clone()),
            _ => session.injected.push((kind.to_string(), name.clone())),
        }
        if session.workload.is_empty() {
            session.workload = format!("{kind} {namespace}/{name}");
        }
    } else {
        session.objects.push(format!("{kind} {name}"));
        // A workload is older than what was put into it.
        session.since = session.since.take().into_iter().chain(created).min();
    }
}

/// The metadata of all objects of a kind, or of those in the namespaces that are known where not all may be listed.
async fn listed(
    client: &kube::Client,
    resource: &ApiResource,
    known: &[String],
    which: &ListParams,
) -> Result<Vec<ObjectMeta>> {
    let everywhere: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    match pages(&everywhere, which).await {
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        all => return all.map_err(|error| told(&error)),
    }
    let mut all = Vec::new();
    for namespace in known {
        let own: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
        match pages(&own, which).await {
            // Where nothing may be seen nothing can be taken away either.
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            one => all.extend(one.map_err(|error| told(&error))?),
        }
    }
    Ok(all)
}

async fn pages(api: &Api<DynamicObject>, which: &ListParams) -> kube::Result<Vec<ObjectMeta>> {
    let mut parameters = which.clone().limit(PAGE);
    let mut all = Vec::new();
    loop {
        let page = api.list_metadata(&parameters).await?;
        all.extend(page.items.into_iter().map(|each| each.metadata));
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => parameters.continue_token = Some(next),
            None => return Ok(all),
        }
    }
}

impl LeftSession {
    /// The one called `id` in `namespace` among `all`.
    pub fn find(all: Vec<Self>, namespace: &str, id: &str) -> Result<Self> {
        let found = all
            .into_iter()
            .find(|each| each.namespace == namespace && each.id == id);
        found.ok_or_else(|| Fault::new("missing", format!("Nothing of session {id} is left in {namespace}.")))
    }
}
