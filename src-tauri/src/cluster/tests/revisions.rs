//! Control planes beside each other: whose ranges a pod gets, by its namespace's label, a tag, or its own injection; and
//! namespaces that no sidecar is injected into.

use egret_tests::mesh::{Api, eventually};
use serde_json::json;

use super::{Bench, account, api, kubeconfig_of, uid_of};
use crate::{
    dto::{Edit, Plane, RunsWith, SandboxState},
    session::{overview, pods_view, policy_view},
};

fn injector(api: &Api, revision: &str, data: &serde_json::Value) {
    api.apply(
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
            "metadata": {"name": format!("istio-sidecar-injector-{revision}"), "namespace": "istio-system",
                "labels": {"istio.io/rev": revision}}})
        .to_string(),
    );
}

fn values(exclude: &str) -> serde_json::Value {
    json!({"values": json!({"global": {"proxy": {"excludeIPRanges": exclude}}}).to_string()})
}

/// A tag as `istioctl tag set` makes it; what it injects with does not matter here.
fn tag(api: &Api, tag: &str, revision: &str) {
    api.apply(
        &json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "webhooks": [],
            "metadata": {"name": format!("istio-revision-tag-{tag}"),
                "labels": {"app": "sidecar-injector", "istio.io/tag": tag, "istio.io/rev": revision}}})
        .to_string(),
    );
}

fn namespace(api: &Api, name: &str, labels: &serde_json::Value) {
    api.apply(
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}).to_string(),
    );
}

/// A Deployment of one pod; with the rules of a sidecar where `injected` names a revision and what is excluded.
fn workload(api: &Api, namespace: &str, name: &str, injected: Option<(&str, &str)>) {
    api.apply(
        &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}})
            .to_string(),
    );
    api.apply(
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "i"}]}}}})
        .to_string(),
    );
    let uid = uid_of(api, namespace, name);
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{name}-1"), "namespace": namespace, "labels": {"app": name},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid, "controller": true}]},
        "spec": {"containers": [{"name": "app", "image": "i"}]}});
    if let Some((revision, exclude)) = injected {
        pod["metadata"]["annotations"] = json!({"sidecar.istio.io/status": json!({"revision": revision}).to_string()});
        // The command and its flags in one, as Istio 1.4 wrote them.
        pod["spec"]["initContainers"] = json!([{"name": "istio-init", "image": "i",
            "command": ["istio-iptables", "-i", "*", "-x", exclude]}]);
        let sidecar = json!({"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.31.0-distroless"});
        pod["spec"]["containers"].as_array_mut().unwrap().push(sidecar);
    }
    api.apply(&pod.to_string());
}

#[test]
fn a_pod_is_compared_with_the_injector_of_its_own_revision() {
    let Some(api) = api("a_pod_is_compared_with_its_own_revision") else {
        return;
    };
    injector(api, "1-31", &values("10.31.0.0/16"));
    tag(api, "prod", "1-31");
    namespace(api, "rev-tagged", &json!({"istio.io/rev": "prod"}));
    namespace(api, "rev-manual", &json!({}));
    workload(api, "rev-tagged", "new", Some(("1-31", "10.31.0.0/16")));
    workload(api, "rev-tagged", "old", Some(("1-31", "")));
    workload(api, "rev-manual", "kube-inject", Some(("1-31", "10.31.0.0/16")));
    let bench = Bench::open(api.kubeconfig());
    let row = |workload: &str| {
        let rows = pods_view(&bench.view(), &bench.cluster).workloads;
        rows.into_iter().find(|row| row.workload == workload).unwrap()
    };
    assert_eq!(row("rev-tagged/new").runs_with, RunsWith::Current);
    let old = row("rev-tagged/old");
    assert_eq!(
        (old.runs_with, old.revision.as_str(), old.gets.exclude_ranges.as_str()),
        (RunsWith::Older, "1-31", "10.31.0.0/16")
    );
    assert_eq!(
        row("rev-manual/kube-inject").runs_with,
        RunsWith::Current,
        "no label names a revision; its pod does"
    );
    // The tag moves on: a new pod is of another revision, and its values are others.
    injector(api, "1-32", &values("10.32.0.0/16"));
    tag(api, "prod", "1-32");
    let moved = eventually("the tag to be seen", || {
        let row = row("rev-tagged/new");
        (row.revision == "1-32").then_some(row)
    });
    assert_eq!(
        (moved.runs_with, moved.gets.exclude_ranges.as_str()),
        (RunsWith::Older, "10.32.0.0/16")
    );
}

#[test]
fn a_pod_whose_sidecar_has_another_version_than_a_new_one_would_get_is_listed_for_a_restart() {
    let Some(api) = api("a_pod_whose_sidecar_has_another_version") else {
        return;
    };
    let tagged = json!({"global": {"tag": "1.33.0", "proxy": {"excludeIPRanges": "10.33.0.0/16"}}});
    injector(api, "1-33", &json!({"values": tagged.to_string()}));
    namespace(api, "rev-proxy", &json!({"istio.io/rev": "1-33"}));
    workload(api, "rev-proxy", "old", Some(("1-33", "10.33.0.0/16")));
    let bench = Bench::open(api.kubeconfig());
    let row = || {
        let rows = pods_view(&bench.view(), &bench.cluster).workloads;
        rows.into_iter().find(|row| row.workload == "rev-proxy/old").unwrap()
    };
    let old = row();
    assert_eq!((old.runs_with, old.stale), (RunsWith::OlderProxy, 1));
    assert_eq!(
        (old.proxy_has, old.proxy_gets.as_deref()),
        (vec!["1.31.0".to_string()], Some("1.33.0"))
    );
    api.text(&[
        "set",
        "image",
        "pod/old-1",
        "istio-proxy=istio/proxyv2:1.33.0",
        "-n",
        "rev-proxy",
    ]);
    eventually("the new version to be seen", || {
        (row().runs_with == RunsWith::Current).then_some(())
    });
    assert_eq!((row().stale, row().proxy_has), (0, Vec::new()));
}

#[test]
fn ranges_are_changed_in_the_config_map_of_the_revision_that_is_meant_whatever_its_layout() {
    let Some(api) = api("ranges_are_changed_in_the_config_map_of_the_revision") else {
        return;
    };
    let template = "policy: enabled\ntemplate: |-\n  # by Helm\n  args:\n  - \"-i\"\n  - \"[[ annotation .ObjectMeta \
                    `traffic.sidecar.istio.io/includeOutboundIPRanges`  \"*\"  ]]\"\n  - \"-x\"\n  - \"[[ annotation .ObjectMeta \
                    `traffic.sidecar.istio.io/excludeOutboundIPRanges`  \"\"  ]]\"";
    injector(api, "1-3", &json!({"config": template}));
    injector(api, "edit-31", &values("10.1.0.0/16"));
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let stage = |revision: &str| {
        let edit = Edit::Ranges {
            revision: revision.into(),
            include_ranges: "*".into(),
            exclude_ranges: "192.0.2.0/24".into(),
            include_ports: String::new(),
            exclude_ports: String::new(),
        };
        bench.changes.stage(&bench.view(), edit).unwrap();
    };
    stage("1-3");
    stage("edit-31");
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let stored = |revision: &str, key: &str| {
        let name = format!("istio-sidecar-injector-{revision}");
        let path = format!("jsonpath={{.data.{key}}}");
        api.text(&["get", "configmap", &name, "-n", "istio-system", "-o", &path])
    };
    let wanted = template.replace(
        "excludeOutboundIPRanges`  \"\"",
        "excludeOutboundIPRanges`  \"192.0.2.0/24\"",
    );
    assert_eq!(stored("1-3", "config"), wanted);
    assert!(stored("edit-31", "values").contains("\"excludeIPRanges\":\"192.0.2.0/24\""));
    bench.changes.undo(&*bench.cluster, None).unwrap();
    assert_eq!(stored("1-3", "config"), template);
}

#[test]
fn namespaces_without_sidecars_say_so_unless_their_pods_have_them() {
    let Some(api) = api("namespaces_without_sidecars_say_so") else {
        return;
    };
    namespace(api, "plane-ambient", &json!({"istio.io/dataplane-mode": "ambient"}));
    namespace(api, "plane-nothing", &json!({}));
    namespace(api, "plane-manual", &json!({}));
    workload(api, "plane-ambient", "a", None);
    workload(api, "plane-nothing", "b", None);
    workload(api, "plane-manual", "c", Some(("default", "")));
    let bench = Bench::open(api.kubeconfig());
    let shown = overview(&bench.view(), &bench.traffic, &SandboxState::default(), &bench.changes);
    let plane = |name: &str| {
        let row = shown.namespaces.iter().find(|row| row.namespace == name).unwrap();
        row.plane
    };
    assert_eq!(plane("plane-ambient"), Plane::Ambient);
    assert_eq!(plane("plane-nothing"), Plane::Nothing);
    assert_eq!(plane("plane-manual"), Plane::Sidecar);
}

#[test]
fn who_may_not_read_tags_sees_the_rest_and_is_told() {
    let Some(api) = api("who_may_not_read_tags") else {
        return;
    };
    let token = account(api, "tagless", &["viewer"], &[("istio-system", "viewer")]);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = || {
        let file = folder.path().join("config");
        kubeconfig_of(&api.kubeconfig(), &file, &format!("{{token: {token}}}"))
    };
    let unknown = |bench: &Bench| policy_view(&bench.view(), None, Vec::new()).bypass.unknown;
    let tags = |told: &[String]| {
        told.iter()
            .any(|told| told.starts_with("Tags of revisions cannot be read"))
    };
    assert!(
        !tags(&unknown(&Bench::open(kubeconfig()))),
        "the documented viewer reads them"
    );
    let role = |verbs: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: tagless}}\nrules:\n- {{apiGroups: \
             ['', apps, networking.istio.io, telemetry.istio.io], resources: ['*'], verbs: [{verbs}]}}\n"
        )
    };
    api.apply(&role("get, list, watch"));
    api.text(&["create", "serviceaccount", "tagless-only", "-n", "default"]);
    api.text(&[
        "create",
        "clusterrolebinding",
        "tagless-only",
        "--clusterrole",
        "tagless",
        "--serviceaccount",
        "default:tagless-only",
    ]);
    let token = api.text(&["create", "token", "tagless-only", "-n", "default"]);
    let file = folder.path().join("less");
    let bench = Bench::open(kubeconfig_of(
        &api.kubeconfig(),
        &file,
        &format!("{{token: {}}}", token.trim()),
    ));
    assert!(tags(&unknown(&bench)));
    assert!(bench.cluster.lost().is_none(), "everything else is read");
}
