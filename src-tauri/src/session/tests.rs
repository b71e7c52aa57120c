//! What a folder of several revisions and data planes is shown as.

use std::fs;

use proxy_core::source::Folder;
use tempfile::TempDir;

use super::{Session, View, bypass::bypass_view, folder as opened, gateways, object_text, overview, registry_view};
use crate::{
    change::{Changes, Journal},
    dto::{CaptureList, Edit, NamespaceRow, Plane, SandboxState},
    events::Events,
    traffic::Traffic,
};

/// A mesh with an injector of today, one of a revision, and one of Istio 1.3; a tag; and each kind of data plane.
const MESH: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data:
  values: '{"global": {"proxy": {"excludeIPRanges": "10.1.0.0/16"}}}'
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector-1-31, namespace: istio-system}
data:
  values: |
    {"global": {"proxy": {"excludeIPRanges": "10.31.0.0/16"}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector-1-3, namespace: istio-system}
data:
  config: |-
    policy: enabled
    template: |-
      args:
      - "-i"
      - "[[ annotation .ObjectMeta `traffic.sidecar.istio.io/includeOutboundIPRanges`  "*"  ]]"
      - "-x"
      - "[[ annotation .ObjectMeta `traffic.sidecar.istio.io/excludeOutboundIPRanges`  "10.3.0.0/16"  ]]"
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-revision-tag-prod, labels: {istio.io/tag: prod, istio.io/rev: 1-31}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: plain, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: tagged, labels: {istio.io/rev: prod}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: gone, labels: {istio.io/rev: 1-30}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: mesh, labels: {istio.io/dataplane-mode: ambient}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: outside}}
"#;

fn deployment(namespace: &str, name: &str, labels: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{template: \
         {{metadata: {{labels: {{app: {name}{labels}}}}}}}}}\n"
    )
}

/// A folder of one file.
fn folder_of(text: &str) -> (TempDir, View) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mesh.yaml"), text).unwrap();
    let reading = Folder::open(folder.path()).unwrap().reading();
    assert_eq!(reading.errors, []);
    let view = View::new(folder.path(), reading, 1);
    (folder, view)
}

fn folder() -> (TempDir, View) {
    let workloads = [
        deployment("plain", "a", ""),
        deployment("plain", "b", ", sidecar.istio.io/inject: 'false'"),
        deployment("tagged", "c", ""),
        deployment("gone", "d", ""),
        deployment("mesh", "e", ""),
        deployment("mesh", "f", ", istio.io/dataplane-mode: none"),
        deployment("outside", "g", ""),
    ];
    folder_of(&[MESH, &workloads.concat()].concat())
}

#[test]
fn each_revision_has_its_own_ranges_with_its_tags_and_the_workloads_that_it_injects() {
    let (_folder, view) = folder();
    let bypass = bypass_view(&view);
    let rows: Vec<_> = bypass
        .injectors
        .iter()
        .map(|row| {
            (
                row.revision.as_str(),
                row.lists.exclude_ranges.as_str(),
                row.tags.join(","),
                row.workloads,
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("", "10.1.0.0/16", String::new(), 1),
            ("1-3", "10.3.0.0/16", String::new(), 0),
            ("1-31", "10.31.0.0/16", "prod".into(), 1),
        ]
    );
    assert_eq!(
        bypass.injectors[1].unsettable,
        [CaptureList::IncludePorts, CaptureList::ExcludePorts]
    );
    assert!(bypass.injectors[1].note.is_some() && bypass.injectors[2].note.is_none());
    assert!(bypass.unknown[0].contains("revision 1-30"), "{:?}", bypass.unknown);
    let revisions: Vec<_> = view.workload_rows().into_iter().map(|row| row.revision).collect();
    assert_eq!(revisions, ["", "", "1-31", "1-30", "", "", ""]);
}

#[test]
fn ranges_are_written_where_their_revision_keeps_them_and_nowhere_else() {
    let (folder, view) = folder();
    let traffic = Traffic::default();
    let database = tempfile::tempdir().unwrap();
    let journal = Journal::open(&database.path().join("journal.sqlite"), &folder.path().to_path_buf()).unwrap();
    let changes = Changes::new(journal, Vec::new(), Events::new(|_| {}));
    let before = fs::read_to_string(folder.path().join("mesh.yaml")).unwrap();
    let edit = |revision: &str, ports: &str| Edit::Ranges {
        revision: revision.into(),
        include_ranges: "*".into(),
        exclude_ranges: "192.0.2.0/24".into(),
        include_ports: String::new(),
        exclude_ports: ports.into(),
    };
    for revision in ["1-31", "1-3"] {
        changes.stage(&view, edit(revision, "")).unwrap();
    }
    assert_eq!(
        changes.staged().len(),
        2,
        "one revision's edit does not replace another's"
    );
    changes.apply(&view, &traffic, None).unwrap();
    let after = fs::read_to_string(folder.path().join("mesh.yaml")).unwrap();
    let wanted = before
        .replace("10.31.0.0/16", "192.0.2.0/24")
        .replace("10.3.0.0/16", "192.0.2.0/24");
    assert_eq!(after, wanted);
    let fault = changes.stage(&view, edit("1-30", "")).unwrap_err();
    assert_eq!(fault.message, "There is no ConfigMap istio-sidecar-injector-1-30.");
    let fault = changes.preview(&view, &traffic, vec![edit("1-3", "22")]).unwrap_err();
    assert!(fault.message.contains("excludeOutboundPorts"), "{}", fault.message);
}

#[test]
fn a_namespace_without_sidecars_is_not_shown_as_one_that_a_mode_holds_for() {
    let (_folder, view) = folder();
    let database = tempfile::tempdir().unwrap();
    let journal = Journal::open(&database.path().join("journal.sqlite"), &view.folder).unwrap();
    let changes = Changes::new(journal, Vec::new(), Events::new(|_| {}));
    let shown = overview(&view, &Traffic::default(), &SandboxState::default(), &changes);
    let row = |name: &str| -> NamespaceRow {
        let found = shown.namespaces.iter().find(|row| row.namespace == name);
        found.unwrap().clone()
    };
    for (name, plane, without, of) in [
        ("plain", Plane::Sidecar, 1, 2),
        ("tagged", Plane::Sidecar, 0, 1),
        ("mesh", Plane::Ambient, 2, 2),
        ("outside", Plane::Nothing, 1, 1),
    ] {
        let row = row(name);
        assert_eq!(
            (row.plane, row.without_sidecar, row.workloads),
            (plane, without, of),
            "{name}"
        );
    }
    let because = row("mesh").plane_because.unwrap();
    assert!(because.contains("dataplane-mode: ambient"), "{because}");
}

#[test]
fn a_destination_rule_names_the_services_that_it_holds_for() {
    let text = [
        include_str!("../../../proxy-core/tests/egress-gateway.yaml"),
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: org, namespace: default}\nspec: {host: \
         '*.ORG', trafficPolicy: {tls: {mode: SIMPLE}}}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {name: nothing, namespace: default}\nspec: {host: cart}\n---\napiVersion: v1\nkind: Service\nmetadata: \
         {name: alias, namespace: default}\nspec: {type: ExternalName, externalName: a.org}\n",
    ]
    .concat();
    let (_folder, view) = folder_of(&text);
    let registry = registry_view(&view);
    let told: Vec<_> = registry
        .rules
        .iter()
        .map(|rule| {
            let first = rule
                .applies_to
                .first()
                .map(|object| format!("{} {}", object.kind, object.name));
            (
                rule.object.name.as_str(),
                rule.applies_to_all,
                first.unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "egressgateway-for-httpbin",
                1,
                "Service istio-egressgateway".to_string()
            ),
            ("org", 1, "ServiceEntry httpbin".to_string()),
            ("nothing", 0, String::new()),
        ]
    );
    let service = &registry.services[0];
    assert_eq!(service.host, "istio-egressgateway.istio-system.svc.cluster.local");
    assert_eq!(
        service.ports.iter().map(|port| port.number).collect::<Vec<_>>(),
        [80, 443]
    );
    assert_eq!(registry.services[1].external_name.as_deref(), Some("a.org"));
}

#[test]
fn an_object_is_read_as_its_file_has_it_at_its_line_with_the_rules_for_it() {
    let (_folder, view) = folder_of(include_str!("../../../proxy-core/tests/egress-gateway.yaml"));
    let text = object_text(&view, "ServiceEntry", "default", "httpbin").unwrap();
    assert!(
        text.yaml
            .starts_with("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n")
    );
    let file = view.text("mesh.yaml").unwrap();
    let line = file.lines().nth(text.object.line as usize).unwrap();
    assert_eq!(line, "kind: ServiceEntry", "the line after the one that it starts at");
    let service = object_text(&view, "Service", "istio-system", "istio-egressgateway").unwrap();
    assert_eq!(service.rules[0].object.name, "egressgateway-for-httpbin");
    for (kind, name) in [("Service", "other"), ("Secret", "istio-egressgateway")] {
        let fault = object_text(&view, kind, "istio-system", name).unwrap_err();
        assert_eq!(fault.code, "missing");
    }
}

#[test]
fn gateways_that_traffic_leaves_by_come_first_with_their_hosts() {
    let (_folder, view) = folder_of(include_str!("../../../proxy-core/tests/egress-gateway.yaml"));
    let rows = gateways(&view);
    let names: Vec<_> = rows.iter().map(|row| (row.object.name.as_str(), row.egress)).collect();
    assert_eq!(names, [("egress", true), ("ingress", false), ("idle", false)]);
    let egress = &rows[0];
    assert_eq!(egress.workloads, ["istio-system/istio-egressgateway"]);
    assert_eq!(egress.services[0].name, "istio-egressgateway");
    assert_eq!(egress.routes[0].onward, ["httpbin.org:80"]);
    assert_eq!(egress.servers[1].tls_mode.as_deref(), Some("PASSTHROUGH"));
}

/// A mesh config that says its release in `metadata`, as the release shown for it.
fn release_of(metadata: &str) -> (String, String) {
    let (_folder, view) = folder_of(&format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system{metadata}}}\ndata: {{mesh: '{{}}'}}\n"
    ));
    let istio = view.state().istio;
    (istio.version, istio.from)
}

#[test]
fn the_release_that_is_decided_for_is_told_with_where_it_is_known_from() {
    let (version, from) = release_of(", annotations: {egret.dev/istio-version: '1.24'}");
    assert_eq!(version, "1.24");
    assert_eq!(
        from,
        "annotation egret.dev/istio-version of ConfigMap istio-system/istio"
    );
    let (version, from) = release_of(", labels: {app.kubernetes.io/version: 1.28.3}");
    assert_eq!(version, "1.28");
    assert_eq!(from, "label app.kubernetes.io/version of ConfigMap istio-system/istio");
    let (version, from) = release_of("");
    assert_eq!(version, "1.32");
    assert!(from.contains("the newest known one"), "{from}");
}

#[test]
fn a_chosen_release_holds_for_what_is_decided_until_the_folders_own_holds_again() {
    let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: {hosts: \
                [a.com], resolution: DYNAMIC_DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n";
    let (folder, _) = folder_of(text);
    let session = Session::start(opened(folder.path()).unwrap(), None, Events::new(|_| {})).unwrap();
    let hash = |session: &Session| session.view().snapshot("default/a").hash().to_string();
    let newest = hash(&session);
    // Sidecars serve such entries since 1.30.
    let state = session.decide_for(Some("1.29".parse().unwrap()));
    assert_eq!(
        (state.istio.version.as_str(), state.istio.found.as_str()),
        ("1.29", "1.32")
    );
    assert!(state.istio.chosen && state.epoch == 2);
    assert_ne!(hash(&session), newest);
    let state = session.decide_for(None);
    assert!(!state.istio.chosen);
    assert_eq!(hash(&session), newest);
}
