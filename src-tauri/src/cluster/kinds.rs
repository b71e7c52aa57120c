//! What of a cluster is mirrored, and how an object is written as a file.

use kube::{
    Client,
    core::{ApiResource, DynamicObject, GroupVersionKind},
    discovery,
};
use proxy_core::yaml;
use serde_json::{Map, Value, json};

use super::{connect::told, istiod::Homes};
use crate::fault::{Fault, Result};

/// Where Istio is, unless a person has put it elsewhere.
pub(super) const ROOT_NAMESPACE: &str = "istio-system";
const ISTIO: &str = "networking.istio.io";
/// How the groups of Istio's own resources end.
const OF_ISTIO: &str = ".istio.io";
/// What holds Istio's own settings.
pub(super) const CONFIG_MAP: &str = "ConfigMap";
/// What the others are in.
pub(super) const NAMESPACE: &str = "Namespace";
/// Who writes access logs; Istio before 1.10 has it not.
pub(super) const TELEMETRY: &str = "Telemetry";
/// What injects; those of tags are mirrored, by name.
pub(super) const WEBHOOK: &str = "MutatingWebhookConfiguration";
const TAG: &str = "istio-revision-tag-";
const ADMISSION: &str = "admissionregistration.k8s.io";
/// Kinds whose pods are replaced, one after the other, when their template changes.
pub const ROLLING: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];
/// Kinds without which the policy is still seen whole: who may not read them is told where it matters.
pub(super) const OPTIONAL: [&str; 3] = [TELEMETRY, ENVOY_FILTER, WEBHOOK];
/// What may add access logs of other formats.
pub(super) const ENVOY_FILTER: &str = "EnvoyFilter";
const ISTIO_KINDS: [&str; 6] = [
    "ServiceEntry",
    "VirtualService",
    "DestinationRule",
    "Sidecar",
    "Gateway",
    ENVOY_FILTER,
];

/// One kind that is mirrored.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub resource: ApiResource,
    pub scope: Scope,
}

/// Where the objects of a kind are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// In no namespace.
    Cluster,
    /// In any namespace.
    Namespaces,
    /// In any namespace, and only those of this one matter.
    Only(String),
}

impl Kind {
    /// Tells its watch from all others: control planes in several namespaces are watched one by one.
    pub fn label(&self) -> String {
        match &self.scope {
            Scope::Only(namespace) => format!("{} in {namespace}", self.resource.kind),
            _ => self.resource.kind.clone(),
        }
    }

    /// Whether single namespaces can be followed where everything cannot.
    pub fn is_divisible(&self) -> bool {
        self.scope == Scope::Namespaces || self.resource.kind == NAMESPACE
    }
}

/// The kinds that this cluster serves. Istio's are taken in the newest version served.
pub(super) async fn served(client: &Client, homes: &Homes) -> Result<Vec<Kind>> {
    let built_in = |group: &str, kind: &str, scope| Kind {
        resource: ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)),
        scope,
    };
    let mut kinds = vec![
        built_in("", NAMESPACE, Scope::Cluster),
        built_in("", "Service", Scope::Namespaces),
        built_in("", "Pod", Scope::Namespaces),
        built_in("apps", "Deployment", Scope::Namespaces),
        built_in("apps", "StatefulSet", Scope::Namespaces),
        built_in("apps", "DaemonSet", Scope::Namespaces),
        built_in(ADMISSION, WEBHOOK, Scope::Cluster),
    ];
    let maps = homes.all().iter().cloned().map(Scope::Only);
    kinds.extend(maps.map(|scope| built_in("", CONFIG_MAP, scope)));
    let group = match discovery::group(client, ISTIO).await {
        Ok(group) => group,
        Err(kube::Error::Discovery(_)) => {
            return Err(Fault::new(
                "no-istio",
                "This cluster does not serve Istio's resources (networking.istio.io).",
            )
            .hint("Install Istio, or connect to a cluster that has it."));
        }
        Err(error) => return Err(told(&error)),
    };
    // Each kind in its own newest version: EnvoyFilter never left v1alpha3.
    let served = group.resources_by_stability().into_iter();
    let wanted = served.filter(|(resource, _)| ISTIO_KINDS.contains(&resource.kind.as_str()));
    kinds.extend(wanted.map(|(resource, _)| Kind {
        resource,
        scope: Scope::Namespaces,
    }));
    match discovery::group(client, "telemetry.istio.io").await {
        Ok(group) => kinds.extend(group.recommended_kind(TELEMETRY).map(|(resource, _)| Kind {
            resource,
            scope: Scope::Namespaces,
        })),
        Err(kube::Error::Discovery(_)) => {}
        Err(error) => return Err(told(&error)),
    }
    Ok(kinds)
}

/// True for the objects of `kind` that say something about what leaves the mesh.
pub(super) fn wanted(kind: &str, name: &str) -> bool {
    let own = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    match kind {
        "ConfigMap" => own("istio") && !name.starts_with("istio-ca") || own("istio-sidecar-injector"),
        WEBHOOK => name.starts_with(TAG),
        _ => true,
    }
}

/// The file of an object. Namespaces have no dot in their name, so no two objects share a file.
pub(super) fn file(kind: &str, namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        format!("{kind}/{name}.yaml")
    } else {
        format!("{kind}/{namespace}.{name}.yaml")
    }
}

/// The object that `file` holds: kind, namespace, name.
pub(super) fn object_of(file: &str) -> Option<(&str, &str, &str)> {
    let (kind, rest) = file.split_once('/')?;
    let (namespace, name) = rest.strip_suffix(".yaml")?.split_once('.')?;
    Some((kind, namespace, name))
}

/// The namespace that the object of `file` is in, or is.
pub(super) fn namespace_of(file: &str) -> &str {
    let (kind, rest) = file.split_once('/').unwrap_or_default();
    let end = if kind == NAMESPACE { ".yaml" } else { "." };
    rest.split(end).next().unwrap_or_default()
}

/// Annotations that no person writes: what kubectl and the control plane note for themselves.
pub(super) const UNSHOWN: [&str; 2] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
];

/// An object as YAML, without what only the server and the kubelet care for.
pub(super) fn render(object: &DynamicObject, resource: &ApiResource) -> String {
    let metadata = &object.metadata;
    let mut head = Map::new();
    head.insert("name".into(), json!(metadata.name));
    if let Some(namespace) = &metadata.namespace {
        head.insert("namespace".into(), json!(namespace));
    }
    if let Some(labels) = metadata.labels.as_ref().filter(|labels| !labels.is_empty()) {
        head.insert("labels".into(), json!(labels));
    }
    let mut annotations = metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !UNSHOWN.contains(&key.as_str()));
    if !annotations.is_empty() {
        head.insert("annotations".into(), json!(annotations));
    }
    if let Some(created) = &metadata.creation_timestamp {
        head.insert("creationTimestamp".into(), json!(created));
    }
    // Undoing a deletion makes the object with them again. Of pods they only say which ReplicaSet they are of.
    if resource.group.ends_with(OF_ISTIO) {
        if let Some(finalizers) = metadata.finalizers.as_ref().filter(|all| !all.is_empty()) {
            head.insert("finalizers".into(), json!(finalizers));
        }
        if let Some(owners) = metadata.owner_references.as_ref().filter(|all| !all.is_empty()) {
            head.insert("ownerReferences".into(), json!(owners));
        }
    }
    let mut document = Map::new();
    document.insert("apiVersion".into(), json!(resource.api_version));
    document.insert("kind".into(), json!(resource.kind));
    document.insert("metadata".into(), Value::Object(head));
    match (&object.data, resource.group.as_str()) {
        // Of a workload only who it is: its template's labels and annotations, its account, and whether a sidecar can
        // capture it.
        (data, "apps") => {
            let template = &data["spec"]["template"];
            let template = json!({
                "metadata": {
                    "labels": template["metadata"]["labels"],
                    "annotations": template["metadata"]["annotations"],
                },
                "spec": of_capture(&template["spec"]),
            });
            document.insert("spec".into(), json!({"template": without_nulls(template)}));
        }
        // A tag is all in its labels.
        (_, ADMISSION) => {}
        (Value::Object(fields), _) => {
            let kept = fields.iter().filter(|(key, _)| key.as_str() != "status");
            document.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
            // What istiod allocated: sidecars that capture DNS answer with these addresses, and decide by them.
            let allocated = &fields.get("status").unwrap_or(&Value::Null)["addresses"];
            if resource.kind == "ServiceEntry" && allocated.as_array().is_some_and(|all| !all.is_empty()) {
                document.insert("status".into(), json!({"addresses": allocated}));
            }
        }
        _ => {}
    }
    yaml::write(&Value::Object(document))
}

/// What of a pod's spec decides about capture: the network that it is in, and the users that it runs under.
fn of_capture(spec: &Value) -> Option<Value> {
    let host = spec["hostNetwork"].as_bool() == Some(true);
    let user = |owner: &Value| {
        let user = owner["securityContext"]["runAsUser"].as_i64();
        user.map(|user| json!({"runAsUser": user}))
    };
    let containers = spec["containers"].as_array().into_iter().flatten();
    let containers: Vec<Value> = containers
        .map(|container| json!({"name": container["name"], "securityContext": user(container)}))
        .collect();
    let any_user = containers
        .iter()
        .any(|container| !container["securityContext"].is_null());
    let kept = json!({
        "hostNetwork": host.then_some(true),
        "serviceAccountName": spec["serviceAccountName"],
        "securityContext": user(spec),
        "containers": any_user.then(|| containers.into_iter().map(without_nulls).collect::<Vec<_>>()),
    });
    let kept = without_nulls(kept);
    kept.as_object()
        .is_some_and(|fields| !fields.is_empty())
        .then_some(kept)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

/// The text without what no person writes: the time of creation, which a dry run makes up, and the status.
pub(super) fn authored(text: &str) -> String {
    let dated = |line: &&str| line.starts_with("  creationTimestamp:");
    let (text, _) = apart_from_status(text);
    text.split_inclusive('\n').filter(|line| !dated(line)).collect()
}

/// What `render` writes of an object, and its status, which comes last; empty where there is none.
pub fn apart_from_status(text: &str) -> (&str, &str) {
    let status = text.find("\nstatus:\n").map_or(text.len(), |end| end + 1);
    text.split_at(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_has_a_file_of_its_own_and_back() {
        assert_eq!(file("Namespace", "", "shop"), "Namespace/shop.yaml");
        let own = file("ServiceEntry", "shop", "a.b.com");
        assert_eq!(object_of(&own), Some(("ServiceEntry", "shop", "a.b.com")));
        assert_eq!(object_of("Namespace/shop.yaml"), None);
        assert_eq!(
            (namespace_of(&own), namespace_of("Namespace/shop.yaml")),
            ("shop", "shop")
        );
        assert_eq!(object_of("x"), None);
    }

    #[test]
    fn only_istios_own_config_maps_are_taken() {
        for (name, taken) in [
            ("istio", true),
            ("istio-1-31", true),
            ("istio-sidecar-injector", true),
            ("istio-ca-root-cert", false),
            ("kube-root-ca.crt", false),
            ("istiod-leader", false),
        ] {
            assert_eq!(wanted("ConfigMap", name), taken, "{name}");
        }
        assert!(wanted("ServiceEntry", "anything"));
        assert!(wanted(WEBHOOK, "istio-revision-tag-prod") && !wanted(WEBHOOK, "istio-sidecar-injector"));
    }

    #[test]
    fn of_a_workload_only_who_it_is_is_written_and_of_a_tag_only_its_labels() {
        let written = |group: &str, kind: &str, object: Value| {
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            render(
                &object,
                &ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)),
            )
        };
        let deployment = |host: bool| {
            json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"replicas": 2, "template": {
                "metadata": {"labels": {"app": "a"}}, "spec": {"hostNetwork": host, "serviceAccountName": "robot", "containers": []}}}})
        };
        let plain = written("apps", "Deployment", deployment(false));
        assert!(plain.contains("serviceAccountName: robot"));
        assert!(plain.contains("app: a") && !plain.contains("hostNetwork") && !plain.contains("replicas"));
        assert!(written("apps", "Deployment", deployment(true)).contains("hostNetwork: true"));
        let as_sidecar = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"template": {"spec": {"containers": [
            {"name": "app", "image": "i", "securityContext": {"runAsUser": 1337, "privileged": false}}, {"name": "b"}]}}}});
        let as_sidecar = written("apps", "Deployment", as_sidecar);
        assert!(
            as_sidecar.contains("runAsUser: 1337") && as_sidecar.contains("name: b"),
            "{as_sidecar}"
        );
        assert!(
            !as_sidecar.contains("image") && !as_sidecar.contains("privileged"),
            "{as_sidecar}"
        );
        let tag = json!({"metadata": {"name": "istio-revision-tag-prod", "labels": {"istio.io/tag": "prod"}},
            "webhooks": [{"name": "w", "clientConfig": {"caBundle": "secret"}}]});
        let tag = written(ADMISSION, WEBHOOK, tag);
        assert!(tag.contains("istio.io/tag: prod") && !tag.contains("caBundle"), "{tag}");
    }

    #[test]
    fn an_object_is_written_without_what_only_the_server_cares_for() {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": "a", "namespace": "default", "uid": "u", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "2026-11-28T07:00:00Z", "managedFields": [{"manager": "kubectl"}],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
            "spec": {"hosts": ["a.com"]},
            "status": {"conditions": [], "addresses": [{"host": "a.com", "value": "240.240.0.1"}]},
        }))
        .unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(ISTIO, "v1", "ServiceEntry"));
        let text = render(&object, &resource);
        assert_eq!(
            text,
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  creationTimestamp: \
             \"2026-11-28T07:00:00Z\"\n  name: a\n  namespace: default\nspec:\n  hosts:\n  - a.com\nstatus:\n  addresses:\n  - \
             host: a.com\n    value: 240.240.0.1\n"
        );
        let authored = authored(&text);
        assert!(
            authored.ends_with("  - a.com\n") && !authored.contains("creationTimestamp"),
            "{authored}"
        );
    }
}
