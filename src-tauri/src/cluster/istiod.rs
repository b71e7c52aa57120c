//! Where the control planes are. Most meshes have one, in `istio-system`; others say so by the webhooks that inject, which
//! call an istiod in its own namespace, or else by the ConfigMap that it reads.

use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::ConfigMap};
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::{allowed::AT_ONCE, kinds::ROOT_NAMESPACE};

/// Objects that are looked at.
const MANY: u32 = 500;
/// Namespaces that are asked for it one by one.
const MAX_ASKED: usize = 20;
/// The ConfigMap of the default control plane.
const MESH: &str = "istio";

/// The namespaces of the control planes, that of the default one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Homes(Vec<String>);

impl Homes {
    /// Of these, where there are any; else where Istio is unless a person says otherwise.
    pub fn of(found: Vec<String>) -> Self {
        match found.is_empty() {
            true => Self(vec![ROOT_NAMESPACE.into()]),
            false => Self(found),
        }
    }

    /// All of them.
    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// That of the default control plane.
    pub fn main(&self) -> &str {
        self.0.first().map_or(ROOT_NAMESPACE, String::as_str)
    }

    /// `namespace` where it is one of them, else the main one.
    pub fn one<'h>(&'h self, namespace: &'h str) -> &'h str {
        match self.0.iter().any(|home| home == namespace) {
            true => namespace,
            false => self.main(),
        }
    }
}

/// Looks for them: by the webhooks, else by the ConfigMaps, of all namespaces or of the `known` ones.
pub(super) async fn find(client: &Client, known: &[String]) -> Homes {
    let hooks: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let injectors = ListParams::default().labels("app=sidecar-injector").limit(MANY);
    if let Ok(hooks) = hooks.list(&injectors).await {
        let found = called(&hooks.items);
        if !found.is_empty() {
            return Homes::of(found);
        }
    }
    // An external control plane is called by its address; and not everybody may list webhooks.
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let named = ListParams::default()
        .fields(&format!("metadata.name={MESH}"))
        .limit(MANY);
    if let Ok(maps) = maps.list(&named).await {
        let mut found: Vec<String> = maps.items.iter().filter_map(ResourceExt::namespace).collect();
        found.sort_by_key(|namespace| (namespace != ROOT_NAMESPACE, namespace.clone()));
        return Homes::of(found);
    }
    let mut asked = vec![ROOT_NAMESPACE.to_string()];
    let others = known.iter().filter(|namespace| *namespace != ROOT_NAMESPACE);
    asked.extend(others.take(MAX_ASKED).cloned());
    let asked = asked.into_iter().map(|namespace| has_mesh(client.clone(), namespace));
    let has: Vec<Option<String>> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let found = has.into_iter().flatten().collect();
    Homes::of(found)
}

/// `namespace` where a control plane's ConfigMap is there.
async fn has_mesh(client: Client, namespace: String) -> Option<String> {
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    maps.get(MESH).await.is_ok().then_some(namespace)
}

/// The namespaces that webhooks call, that of the default revision first.
fn called(hooks: &[MutatingWebhookConfiguration]) -> Vec<String> {
    let mut found: Vec<(bool, String)> = Vec::new();
    for hook in hooks {
        let revision = hook.labels().get("istio.io/rev").map_or("", String::as_str);
        let tag = hook.labels().get("istio.io/tag").map(String::as_str);
        let is_default = matches!(revision, "" | "default") || tag == Some("default");
        let services = hook.webhooks.iter().flatten();
        let services = services.filter_map(|each| each.client_config.service.as_ref());
        found.extend(services.map(|service| (!is_default, service.namespace.clone())));
    }
    found.sort();
    let mut namespaces: Vec<String> = Vec::new();
    for (_, namespace) in found {
        if !namespaces.contains(&namespace) {
            namespaces.push(namespace);
        }
    }
    namespaces
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn control_planes_are_where_the_webhooks_call_them_the_default_one_first() {
        let hook = |labels: serde_json::Value, config: serde_json::Value| {
            let webhook =
                json!({"name": "w", "clientConfig": config, "sideEffects": "None", "admissionReviewVersions": ["v1"]});
            let hook = json!({"metadata": {"name": "h", "labels": labels}, "webhooks": [webhook]});
            serde_json::from_value::<MutatingWebhookConfiguration>(hook).unwrap()
        };
        let service = |namespace: &str| json!({"service": {"name": "istiod", "namespace": namespace}});
        let hooks = [
            hook(json!({"istio.io/rev": "canary"}), service("a-canary")),
            hook(
                json!({"istio.io/rev": "1-31", "istio.io/tag": "default"}),
                service("mesh"),
            ),
            hook(json!({"istio.io/rev": "1-31"}), service("mesh")),
            hook(
                json!({"istio.io/rev": "far"}),
                json!({"url": "https://istiod.example.com/inject"}),
            ),
        ];
        assert_eq!(called(&hooks), ["mesh", "a-canary"]);
        let homes = Homes::of(called(&hooks));
        assert_eq!(
            (homes.main(), homes.one("a-canary"), homes.one("shop")),
            ("mesh", "a-canary", "mesh")
        );
        assert_eq!(Homes::of(called(&hooks[3..])).all(), [ROOT_NAMESPACE]);
    }
}
