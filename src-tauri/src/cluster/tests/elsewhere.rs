//! A control plane outside `istio-system`: found, read, changed, and named where a permission is missing.

use serde_json::json;

use super::*;
use crate::session::policy_view;

const HOME: &str = "mesh-home";
const MESH: &str = "rootNamespace: mesh-home\noutboundTrafficPolicy:\n  mode: REGISTRY_ONLY # theirs\n";

/// A control plane's settings, and the webhook that calls it. It injects nothing: it has no rules.
fn control_plane(api: &Api) {
    namespace(api, HOME);
    let map = |name: &str, key: &str, text: &str| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": HOME},
            "data": {key: text}});
        api.apply(&map.to_string());
    };
    map("istio", "mesh", MESH);
    let values = json!({"global": {"proxy": {"includeIPRanges": "*", "excludeIPRanges": "192.0.2.0/24"}}});
    map("istio-sidecar-injector", "values", &values.to_string());
    let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "istio-sidecar-injector-mesh-home", "labels": {"app": "sidecar-injector", "istio.io/rev": "default"}},
        "webhooks": [{"name": "rev.namespace.sidecar-injector.istio.io", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "clientConfig": {"service": {"name": "istiod", "namespace": HOME, "path": "/inject"}}}]});
    api.apply(&hook.to_string());
}

fn stored(api: &Api) -> String {
    api.text(&["get", "configmap", "istio", "-n", HOME, "-o", "jsonpath={.data.mesh}"])
}

#[test]
fn a_control_plane_outside_istio_system_is_found_read_changed_and_named_in_rights() {
    let Some(api) = api("a_control_plane_outside") else {
        return;
    };
    // Whoever connects meanwhile would find it too.
    let turn = alone();
    control_plane(api);
    let bench = Bench::open(api.kubeconfig());
    assert_eq!(bench.cluster.homes(), [HOME]);
    let view = bench.view();
    assert_eq!(view.world().mesh_configs.len(), 1, "and istio-system's is nobody's");
    assert_eq!(view.world().mesh_configs[0].spec.mode, OutboundMode::RegistryOnly);
    let shown = policy_view(&view, None, Vec::new());
    assert_eq!(shown.bypass.injectors[0].lists.exclude_ranges, "192.0.2.0/24");

    bench.cluster.set_editing(true);
    let edit = Edit::Mode {
        scope: "mesh".into(),
        mode: Mode::AllowAny,
    };
    bench.changes.stage(&view, edit).unwrap();
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(stored(api), MESH.replace("REGISTRY_ONLY", "ALLOW_ANY"));
    bench.changes.undo(&*bench.cluster, None).unwrap();
    assert_eq!(stored(api), MESH);

    // Rights are asked for, and named, where it is.
    let open = |token: &str, namespaces: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let file = kubeconfig_of(
            &api.kubeconfig(),
            &folder.path().join("config"),
            &format!("{{token: {token}}}"),
        );
        let own = Kubeconfigs::open(folder.path());
        let id = own.add(&file).unwrap();
        let names = namespaces.iter().map(ToString::to_string).collect();
        own.name_namespaces(&id, "egret-mesh", names).unwrap();
        let target = own.target(&id, "egret-mesh").unwrap();
        Cluster::open(&target, &folder.path().join("mirror"), || {}, &Attempt::default()).unwrap()
    };
    let reader = open(&account(api, "home-reader", &["viewer"], &[]), &[]);
    let told = reader.forbidden(Feature::WriteMesh).unwrap().message;
    assert!(told.contains("needs get, patch configmaps in mesh-home"), "{told}");
    let unseen = reader.unseen();
    assert!(
        unseen[0].starts_with("The ConfigMaps in mesh-home are not visible"),
        "{unseen:?}"
    );
    let role = reader.role(Feature::WriteMesh, None);
    assert!(
        role.contains("namespace: mesh-home") && role.contains("kind: Role\n"),
        "{role}"
    );
    api.apply(&role);
    reader.facts().unwrap();
    let reach = reader.rights().reach(Feature::WriteMesh);
    assert!(reach.everywhere && reach.only_in.as_deref() == Some(HOME), "{reach:?}");
    assert!(reader.missing(Feature::WriteMesh, HOME).unwrap().is_none());

    // Who may not list webhooks finds it among the namespaces that they name.
    let named = account(api, "home-named", &[], &[(HOME, "viewer")]);
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: maps, namespace: mesh-home}\nrules:\n- \
                {apiGroups: [''], resources: [configmaps], verbs: [get, list, watch]}\n";
    api.apply(role);
    let subject = "--serviceaccount=default:home-named";
    api.text(&["create", "rolebinding", "maps", "-n", HOME, "--role=maps", subject]);
    let by_name = open(&named, &[HOME]);
    assert_eq!(by_name.homes(), [HOME]);
    assert!(
        by_name.unseen().iter().all(|told| !told.contains("ConfigMaps")),
        "{:?}",
        by_name.unseen()
    );

    api.text(&[
        "delete",
        "mutatingwebhookconfiguration",
        "istio-sidecar-injector-mesh-home",
    ]);
    api.text(&["delete", "namespace", HOME, "--wait=false"]);
    api.text(&["delete", "configmap", "--all", "-n", HOME]);
    drop(turn);
}
