//! Who manages an object: a tool that would take a change back, and its own way to make it.

use kube::core::ObjectMeta;
use proxy_core::yaml;
use serde_json::Value;

use super::words::shell_word;

/// A tool that manages an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its name, with what of it manages the object.
    pub tool: String,
    /// What becomes of a change that is made past it.
    pub effect: &'static str,
    /// What to do instead.
    pub instead: String,
}

impl Owner {
    /// One sentence for a person who is about to change the object past its owner.
    pub fn warning(&self, object: &str) -> String {
        format!(
            "{object} is managed by {}: {}. Its own way: {}.",
            self.tool, self.effect, self.instead
        )
    }
}

/// Who set fields of an object last, and when. Controllers that only write its status do not count.
pub(super) fn last_manager(metadata: &ObjectMeta) -> Option<String> {
    let entries = metadata.managed_fields.iter().flatten();
    let newest = entries
        .filter(|entry| entry.subresource.as_deref().is_none_or(str::is_empty))
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let manager = newest.manager.as_deref()?;
    Some(match &newest.time {
        Some(time) => format!("{manager}, {}", time.0),
        None => manager.to_string(),
    })
}

/// Settings of Istio's installation that a change amounts to: Helm's values, `key=value` each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings(Vec<String>);

impl Settings {
    /// Of a change of one of Istio's own ConfigMaps; nothing where another object changes, or nothing that is a value.
    pub fn of(kind: &str, name: &str, live: &Value, wanted: &Value) -> Self {
        let key = match (kind, name) {
            ("ConfigMap", name) if name.starts_with("istio-sidecar-injector") => "values",
            ("ConfigMap", name) if name.starts_with("istio") => "mesh",
            _ => return Self::default(),
        };
        let read = |object: &Value| {
            let text = object["data"][key].as_str().unwrap_or_default();
            let documents = yaml::read(text.as_bytes()).unwrap_or_default();
            documents.first().map(yaml::Node::to_json).unwrap_or_default()
        };
        let mut settings = Self::default();
        let path = if key == "mesh" { "meshConfig" } else { "" };
        settings.differences(path, &read(live), &read(wanted));
        settings
    }

    fn differences(&mut self, path: &str, before: &Value, after: &Value) {
        match (before, after) {
            (before, after) if before == after => {}
            (Value::Object(before), Value::Object(after)) => {
                let gone = before.keys().filter(|key| !after.contains_key(*key));
                for key in after.keys().chain(gone) {
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    let side = |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or_default();
                    self.differences(&path, &side(before), &side(after));
                }
            }
            (_, Value::Object(after)) => {
                for (key, after) in after {
                    self.differences(&format!("{path}.{key}"), &Value::Null, after);
                }
            }
            // Helm: a comma ends a value.
            (_, Value::String(text)) => self.0.push(format!("{path}={}", text.replace(',', "\\,"))),
            (_, after) => self.0.push(format!("{path}={after}")),
        }
    }

    /// As options of a command, each key with `prefix`.
    fn options(&self, prefix: &str) -> String {
        let set = self.0.iter().map(|setting| {
            let mesh = setting.starts_with("meshConfig");
            let setting = format!("{}{setting}", if mesh { "" } else { prefix });
            format!(" --set {}", shell_word(&setting))
        });
        set.collect()
    }
}

/// The tool that manages an object, by what it leaves on it; the one that acts soonest where there are several. `settings`
/// is what the change amounts to.
pub(super) fn owner(metadata: &ObjectMeta, settings: &Settings) -> Option<Owner> {
    let is_installation = !settings.0.is_empty();
    let label = |name: &str| metadata.labels.as_ref()?.get(name).cloned();
    let annotation = |name: &str| metadata.annotations.as_ref()?.get(name).cloned();
    let manager = |name: &str| {
        let mut managers = metadata
            .managed_fields
            .iter()
            .flatten()
            .filter_map(|entry| entry.manager.as_deref());
        managers.any(|manager| manager == name)
    };
    if let Some(owner) = metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.kind == "IstioRevision")
    {
        return Some(Owner {
            tool: format!("the Sail operator ({})", owner.name),
            effect: "it is reconciled back",
            instead: match is_installation {
                true => format!("set it in spec.values of the Istio resource: {}", settings.0.join(" ")),
                false => "make the change in the Istio resource".into(),
            },
        });
    }
    if let Some(application) = annotation("argocd.argoproj.io/tracking-id")
        .and_then(|id| id.split(':').next().map(str::to_string))
        .or_else(|| label("argocd.argoproj.io/instance"))
        .or_else(|| manager("argocd-controller").then(|| "an application".to_string()))
    {
        return Some(Owner {
            tool: format!("Argo CD ({application})"),
            effect: "self-heal takes the change back within minutes, without it the application is out of sync",
            instead: "commit the change to the application's repository".into(),
        });
    }
    for (name, namespace, what) in [
        (
            "kustomize.toolkit.fluxcd.io/name",
            "kustomize.toolkit.fluxcd.io/namespace",
            "Kustomization",
        ),
        (
            "helm.toolkit.fluxcd.io/name",
            "helm.toolkit.fluxcd.io/namespace",
            "HelmRelease",
        ),
    ] {
        if let Some(own) = label(name) {
            let namespace = label(namespace).unwrap_or_default();
            return Some(Owner {
                tool: format!("Flux ({what} {namespace}/{own})"),
                effect: "the next reconciliation takes the change back",
                instead: "commit the change to its repository".into(),
            });
        }
    }
    if let Some(resource) = label("install.operator.istio.io/owning-resource").filter(|resource| resource != "unknown")
    {
        return Some(Owner {
            tool: format!("istioctl ({resource})"),
            effect: "the next `istioctl install` overwrites it",
            instead: match is_installation {
                true => format!(
                    "`istioctl install` with what it was installed with, and{}",
                    settings.options("values.")
                ),
                false => "make the change in what it was installed with, and run `istioctl install` again".into(),
            },
        });
    }
    let release = annotation("meta.helm.sh/release-name");
    if release.is_some() || label("app.kubernetes.io/managed-by").as_deref() == Some("Helm") || manager("helm") {
        let namespace = annotation("meta.helm.sh/release-namespace").or_else(|| metadata.namespace.clone());
        let release = release.unwrap_or_else(|| if is_installation { "istiod" } else { "RELEASE" }.into());
        let namespace = namespace.unwrap_or_default();
        return Some(Owner {
            tool: match release.as_str() {
                "RELEASE" => "Helm".to_string(),
                release => format!("Helm (release {namespace}/{release})"),
            },
            effect: "the next `helm upgrade` resets it, or stops at the conflict",
            instead: match is_installation {
                true => format!(
                    "helm upgrade {release} istio/istiod --namespace {namespace} --reuse-values{}",
                    settings.options("")
                ),
                false => format!(
                    "make the change in the values or the chart of the release, and helm upgrade {release} --namespace \
                     {namespace}"
                ),
            },
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tool_that_acts_soonest_is_named() {
        for (metadata, tool) in [
            (json!({}), None),
            (
                json!({"labels": {"install.operator.istio.io/owning-resource": "unknown"}}),
                None,
            ),
            (
                json!({"annotations": {"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "i"}}),
                Some("Helm (release i/istiod)"),
            ),
            (
                json!({"namespace": "istio-system", "labels": {"app.kubernetes.io/managed-by": "Helm"}}),
                Some("Helm (release istio-system/istiod)"),
            ),
            (
                json!({"namespace": "istio-system", "managedFields": [{"manager": "helm"}]}),
                Some("Helm (release istio-system/istiod)"),
            ),
            (
                json!({"labels": {"install.operator.istio.io/owning-resource": "installed-state"}}),
                Some("istioctl (installed-state)"),
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "mesh", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
                    "app.kubernetes.io/managed-by": "Helm"}}),
                Some("Flux (Kustomization flux-system/mesh)"),
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "istiod:/ConfigMap:istio-system/istio",
                    "meta.helm.sh/release-name": "istiod"}}),
                Some("Argo CD (istiod)"),
            ),
            (
                json!({"ownerReferences": [{"kind": "IstioRevision", "name": "default", "apiVersion": "v1", "uid": "u"}]}),
                Some("the Sail operator (default)"),
            ),
        ] {
            let metadata: ObjectMeta = serde_json::from_value(metadata).unwrap();
            assert_eq!(
                owner(&metadata, &mode()).map(|owner| owner.tool).as_deref(),
                tool,
                "{metadata:?}"
            );
        }
    }

    #[test]
    fn who_changed_it_last_is_named_but_for_the_status() {
        let entry = |manager: &str, second: u8, part: &str| json!({"manager": manager, "time": format!("2026-11-28T07:00:0{second}Z"), "subresource": part});
        let metadata = json!({"managedFields": [entry("kubectl", 1, ""), entry("argocd-controller", 3, ""), entry("istiod", 5, "status")]});
        let metadata: ObjectMeta = serde_json::from_value(metadata).unwrap();
        assert_eq!(
            last_manager(&metadata).as_deref(),
            Some("argocd-controller, 2026-11-28T07:00:03Z")
        );
        assert_eq!(last_manager(&ObjectMeta::default()), None);
    }

    fn map(key: &str, text: &str) -> Value {
        json!({"data": {key: text}})
    }

    fn mode() -> Settings {
        let mesh = |mode: &str| {
            map(
                "mesh",
                &format!("accessLogFile: a\noutboundTrafficPolicy: {{mode: {mode}}}\n"),
            )
        };
        Settings::of("ConfigMap", "istio-1-31", &mesh("ALLOW_ANY"), &mesh("REGISTRY_ONLY"))
    }

    #[test]
    fn the_owners_own_way_sets_what_the_change_sets_and_says_nothing_of_istio_for_anything_else() {
        let helm =
            json!({"annotations": {"meta.helm.sh/release-name": "cart", "meta.helm.sh/release-namespace": "shop"}});
        let helm: ObjectMeta = serde_json::from_value(helm).unwrap();
        let way = |settings: &Settings| owner(&helm, settings).unwrap().instead;
        assert_eq!(
            way(&mode()),
            "helm upgrade cart istio/istiod --namespace shop --reuse-values --set \
             meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY"
        );
        let values = |ranges: &str| {
            map(
                "values",
                &format!(r#"{{"global": {{"proxy": {{"excludeIPRanges": "{ranges}"}}}}}}"#),
            )
        };
        let ranges = Settings::of(
            "ConfigMap",
            "istio-sidecar-injector",
            &values(""),
            &values("10.0.0.0/8,10.1.0.0/16"),
        );
        assert!(
            way(&ranges).ends_with(r"--set 'global.proxy.excludeIPRanges=10.0.0.0/8\,10.1.0.0/16'"),
            "{}",
            way(&ranges)
        );
        let other = Settings::of("Deployment", "cart", &json!({}), &json!({"data": {"mesh": "a: 1"}}));
        assert_eq!(other, Settings::default());
        assert_eq!(
            way(&other),
            "make the change in the values or the chart of the release, and helm upgrade cart --namespace shop"
        );
        let gone = Settings::of("ConfigMap", "istio", &map("mesh", "a: {b: 1}"), &map("mesh", "a: {}"));
        assert_eq!(gone.0, ["meshConfig.a.b=null"]);
    }
}
