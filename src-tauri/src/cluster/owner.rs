//! Who manages an object: a tool that would take a change back, and its own way to make it.

use kube::core::ObjectMeta;

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

/// The tool that manages an object, by what it leaves on it; the one that acts soonest where there are several.
pub(super) fn owner(metadata: &ObjectMeta) -> Option<Owner> {
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
            instead: "edit spec.values.meshConfig of the Istio resource".into(),
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
            instead: "istioctl install with --set meshConfig.outboundTrafficPolicy.mode=MODE".into(),
        });
    }
    let release = annotation("meta.helm.sh/release-name");
    if release.is_some() || label("app.kubernetes.io/managed-by").as_deref() == Some("Helm") || manager("helm") {
        let release = release.unwrap_or_else(|| "istiod".into());
        let namespace = annotation("meta.helm.sh/release-namespace").unwrap_or_else(|| "istio-system".into());
        return Some(Owner {
            tool: format!("Helm (release {namespace}/{release})"),
            effect: "the next `helm upgrade` resets it, or stops at the conflict",
            instead: format!(
                "helm upgrade {release} istio/istiod --namespace {namespace} --reuse-values --set \
                 meshConfig.outboundTrafficPolicy.mode=MODE"
            ),
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
                json!({"labels": {"app.kubernetes.io/managed-by": "Helm"}}),
                Some("Helm (release istio-system/istiod)"),
            ),
            (
                json!({"managedFields": [{"manager": "helm"}]}),
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
                owner(&metadata).map(|owner| owner.tool).as_deref(),
                tool,
                "{metadata:?}"
            );
        }
    }
}
