//! Owners by what they leave on an object, and their own ways.

use serde_json::{Value, json};

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
            owner(&metadata, &to(None, mode())).map(|owner| owner.tool).as_deref(),
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

fn to(object: Option<&str>, settings: Settings) -> Change<'_> {
    Change { object, settings }
}

/// What `metadata`'s owner says to do, and gives to copy.
fn way(metadata: &Value, object: Option<&str>, settings: Settings) -> (String, Option<String>) {
    let metadata: ObjectMeta = serde_json::from_value(metadata.clone()).unwrap();
    let owner = owner(&metadata, &to(object, settings)).unwrap();
    (owner.advice, owner.text)
}

fn ranges(text: &str) -> Settings {
    let values = |ranges: &str| {
        map(
            "values",
            &format!(r#"{{"global": {{"proxy": {{"excludeIPRanges": "{ranges}"}}}}}}"#),
        )
    };
    Settings::of("ConfigMap", "istio-sidecar-injector", &values(""), &values(text))
}

#[test]
fn helm_and_istioctl_are_given_options_of_their_commands() {
    let helm = json!({"annotations": {"meta.helm.sh/release-name": "cart", "meta.helm.sh/release-namespace": "shop"}});
    let command = |metadata: &Value, settings| way(metadata, Some("x"), settings).1.unwrap();
    assert_eq!(
        command(&helm, mode()),
        "helm upgrade cart istio/istiod --namespace shop --reuse-values --set \
         meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY"
    );
    assert_eq!(
        command(&helm, ranges("10.0.0.0/8,10.1.0.0/16")),
        "helm upgrade cart istio/istiod --namespace shop --reuse-values --set \
         'global.proxy.excludeIPRanges=10.0.0.0/8\\,10.1.0.0/16'"
    );
    let istioctl = json!({"labels": {"install.operator.istio.io/owning-resource": "installed-state"}});
    assert_eq!(
        command(&istioctl, mode()),
        "istioctl install --set meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY"
    );
    assert_eq!(
        command(&istioctl, ranges("10.0.0.0/8")),
        "istioctl install --set values.global.proxy.excludeIPRanges=10.0.0.0/8"
    );
    let gone = Settings::of("ConfigMap", "istio", &map("mesh", "a: {b: 1}"), &map("mesh", "a: {}"));
    assert_eq!(gone.as_options("").unwrap(), " --set meshConfig.a.b=null");
    let list = Settings::of("ConfigMap", "istio", &map("mesh", "a: []"), &map("mesh", "a: [b]"));
    assert_eq!(list.as_options("").unwrap(), " --set-json 'meshConfig.a=[\"b\"]'");
    let broken = Settings::of(
        "ConfigMap",
        "istio-sidecar-injector",
        &map("values", "{}"),
        &map("values", "7"),
    );
    assert_eq!(broken.as_options(""), None);
}

#[test]
fn a_repository_is_given_the_values_of_an_installation_and_else_the_object() {
    let values = "meshConfig:\n  outboundTrafficPolicy:\n    mode: REGISTRY_ONLY\n";
    let below = "spec:\n  values:\n    meshConfig:\n      outboundTrafficPolicy:\n        mode: REGISTRY_ONLY\n";
    let argo = json!({"labels": {"argocd.argoproj.io/instance": "mesh"}});
    let release =
        json!({"labels": {"helm.toolkit.fluxcd.io/name": "istiod", "helm.toolkit.fluxcd.io/namespace": "flux"}});
    let folder = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "mesh", "kustomize.toolkit.fluxcd.io/namespace": "flux"}});
    let sail =
        json!({"ownerReferences": [{"kind": "IstioRevision", "name": "default", "apiVersion": "v1", "uid": "u"}]});
    for (metadata, installed, other) in [
        (&argo, Some(values), Some("kind: A\n")),
        (&release, Some(below), None),
        (&folder, Some("kind: A\n"), Some("kind: A\n")),
        (&sail, Some(below), None),
    ] {
        let text = |settings| way(metadata, Some("kind: A\n"), settings).1;
        assert_eq!(
            (text(mode()).as_deref(), text(Settings::default()).as_deref()),
            (installed, other),
            "{metadata}"
        );
    }
    let (advice, text) = way(&argo, None, Settings::default());
    assert_eq!(
        (advice.as_str(), text),
        ("Take the object out of the application's repository.", None)
    );
}

#[test]
fn what_is_no_setting_of_istios_is_said_to_be_the_releases() {
    let helm = json!({"annotations": {"meta.helm.sh/release-name": "cart", "meta.helm.sh/release-namespace": "shop"}});
    let other = Settings::of("Deployment", "cart", &json!({}), &json!({"data": {"mesh": "a: 1"}}));
    assert_eq!(other, Settings::default());
    let (advice, text) = way(&helm, Some("x"), other);
    assert!(
        advice.contains("the chart of the release") && text.is_none(),
        "{advice}"
    );
}
