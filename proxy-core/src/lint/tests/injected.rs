//! What Istio's analyzer says of annotations and of injection: each code fires on the first text, about its object, and is
//! silent on the second.

use super::*;

fn said(code: &str, text: &str) -> Vec<(String, String)> {
    let found = findings(text).into_iter().filter(|finding| finding.code == code);
    found
        .map(|finding| {
            let object = finding.object.unwrap();
            (
                format!("{} {}/{}", object.kind, object.namespace, object.name),
                finding.field,
            )
        })
        .collect()
}

fn row(code: &str, about: &str, field: &str, fires: &str, silent: &str) {
    assert_eq!(
        said(code, fires),
        [(about.to_string(), field.to_string())],
        "{code} on {fires}"
    );
    assert_eq!(said(code, silent), [], "{code} on {silent}");
}

fn annotated(kind: &str, labels: &str, annotations: &str) -> String {
    let (version, spec) = match kind {
        "Deployment" => ("apps/v1", "{template: {metadata: {labels: {app: a}}}}"),
        _ => ("v1", "{}"),
    };
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{namespace: n, name: a, labels: {{{labels}}}, annotations: \
         {{{annotations}}}}}\nspec: {spec}\n"
    )
}

#[test]
fn annotations_stand_where_they_are_read() {
    let ranges = "traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.0.0.0/8";
    row(
        "IST0107",
        "Deployment n/a",
        "metadata.annotations[traffic.sidecar.istio.io/excludeOutboundIPRanges]",
        &annotated("Deployment", "", ranges),
        &annotated("Pod", "", ranges),
    );
    let export = "networking.istio.io/exportTo: '.'";
    row(
        "IST0107",
        "Pod n/a",
        "metadata.annotations[networking.istio.io/exportTo]",
        &annotated("Pod", "", export),
        &annotated("Service", "", export),
    );
    let everywhere = "galley.istio.io/analyze-suppress: IST0102, sidecar.istio.io/status: x, other.io/x: y";
    for kind in ["Pod", "Service", "Deployment"] {
        assert_eq!(said("IST0107", &annotated(kind, "", everywhere)), [], "{kind}");
    }
}

#[test]
fn annotations_are_spelt_as_istio_knows_them() {
    row(
        "IST0108",
        "Pod n/a",
        "metadata.annotations[traffic.sidecar.istio.io/excludeOutboundIPRange]",
        &annotated("Pod", "", "traffic.sidecar.istio.io/excludeOutboundIPRange: 10.0.0.0/8"),
        &annotated("Pod", "", "traffic.example.com/excludeOutboundIPRange: x"),
    );
}

#[test]
fn deprecated_annotations_are_named_unless_their_label_is_there_too() {
    let inject = "sidecar.istio.io/inject: 'true'";
    row(
        "IST0135",
        "Pod n/a",
        "metadata.annotations[sidecar.istio.io/inject]",
        &annotated("Pod", "", inject),
        &annotated("Pod", inject, inject),
    );
    assert_eq!(
        said("IST0135", &annotated("Pod", "", "sidecar.istio.io/discoveryAddress: a")).len(),
        1
    );
}

fn namespace(labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: n, labels: {{{labels}}}}}\n")
}

#[test]
fn somebody_has_decided_about_the_injection_of_each_namespace() {
    for decided in [
        "istio-injection: disabled",
        "istio.io/rev: canary",
        "istio.io/dataplane-mode: ambient",
    ] {
        row(
            "IST0102",
            "Namespace /n",
            "metadata.labels",
            &namespace("team: a"),
            &namespace(decided),
        );
    }
    let injector = |enabled: bool| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio-sidecar-injector, namespace: istio-system}}\ndata: \
             {{values: '{{\"sidecarInjectorWebhook\": {{\"enableNamespacesByDefault\": {enabled}}}}}'}}\n---\n{}",
            namespace("")
        )
    };
    row(
        "IST0102",
        "Namespace /n",
        "metadata.labels",
        &injector(false),
        &injector(true),
    );
    assert_eq!(
        said("IST0102", &namespace("").replace("name: n", "name: kube-system")),
        []
    );
}

#[test]
fn one_label_says_what_becomes_of_a_namespaces_pods() {
    let one = namespace("istio.io/rev: canary");
    for several in [
        "istio-injection: enabled, istio.io/rev: canary",
        "istio-injection: enabled, istio.io/dataplane-mode: ambient",
        "istio.io/rev: canary, istio.io/dataplane-mode: ambient",
    ] {
        row("IST0123", "Namespace /n", "metadata.labels", &namespace(several), &one);
    }
    let taken_out = namespace("istio-injection: disabled, istio.io/rev: canary");
    assert_eq!(said("IST0123", &taken_out), []);
}

#[test]
fn a_pod_that_runs_in_an_injected_namespace_has_a_sidecar() {
    let pod = |metadata: &str, spec: &str| {
        format!(
            "{}---\napiVersion: v1\nkind: Pod\nmetadata: {{namespace: n, name: a{metadata}}}\nspec: {spec}\n",
            namespace("istio-injection: enabled")
        )
    };
    let bare = "{containers: [{name: app}]}";
    let runs = ", creationTimestamp: '2026-01-31T12:00:00Z'";
    let silent = [
        pod("", bare),
        pod(runs, "{containers: [{name: app}, {name: istio-proxy, image: proxyv2}]}"),
        pod(
            runs,
            "{containers: [{name: app}], initContainers: [{name: istio-proxy, image: proxyv2}]}",
        ),
        pod(runs, "{hostNetwork: true, containers: [{name: app}]}"),
        pod(&format!("{runs}, labels: {{sidecar.istio.io/inject: 'false'}}"), bare),
        pod(runs, bare).replace("istio-injection: enabled", "istio-injection: disabled"),
    ];
    for silent in silent {
        row("IST0103", "Pod n/a", "", &pod(runs, bare), &silent);
    }
}

#[test]
fn nothing_runs_under_the_user_whose_traffic_is_not_captured() {
    let pod = |labels: &str, spec: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{namespace: n, name: a, labels: {{{labels}}}}}\nspec: {spec}\n")
    };
    let whole = "{securityContext: {runAsUser: 1337}, containers: [{name: app}]}";
    row(
        "IST0144",
        "Pod n/a",
        "spec.securityContext.runAsUser",
        &pod("", whole),
        &pod("istio: pilot", whole),
    );
    let container = |name: &str| {
        let text = annotated("Deployment", "", "");
        text.replace(
            "{template: {metadata: {labels: {app: a}}}}",
            &format!(
                "{{template: {{metadata: {{labels: {{app: a}}}}, spec: {{containers: [{{name: first}}, {{name: {name}, \
                 securityContext: {{runAsUser: 1337}}}}]}}}}}}"
            ),
        )
    };
    row(
        "IST0144",
        "Deployment n/a",
        "spec.template.spec.containers[1].securityContext.runAsUser",
        &container("app"),
        &container("istio-proxy"),
    );
}

#[test]
fn a_sidecar_is_for_workloads_that_have_one() {
    let sidecar = |selector: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{namespace: n, name: s}}\nspec: {{egress: [{{hosts: \
             ['*/*']}}]{selector}}}\n---\n"
        )
    };
    let in_mode = |labels: &str| format!("{}{}", sidecar(""), namespace(labels));
    row(
        "IST0167",
        "Sidecar n/s",
        "spec",
        &in_mode("istio.io/dataplane-mode: ambient"),
        &in_mode("istio.io/dataplane-mode: ambient, istio-injection: enabled"),
    );
    let pod = |annotations: &str| {
        let selected = sidecar(", workloadSelector: {labels: {app: a}}");
        format!("{selected}{}", annotated("Pod", "app: a", annotations))
    };
    row(
        "IST0167",
        "Sidecar n/s",
        "spec.workloadSelector",
        &pod("ambient.istio.io/redirection: enabled"),
        &pod(""),
    );
}
