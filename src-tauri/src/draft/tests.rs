//! Form and YAML as two views of one draft.

use std::path::Path;

use proxy_core::{
    model::World,
    record::FlowRecord,
    source::{Folder, Reading},
};

use super::{Present, blank, from_flow, from_service, from_timeout, from_yaml, open};
use crate::{
    change::tests::flow,
    dto::{Draft, DraftKind, Level, ServicePort, TimeoutForm},
    session::View,
    traffic::Row,
};

const COMMENTED: &str = "# who needs it: the shop\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: google\n  namespace: default\nspec:\n  hosts:\n  - www.google.com # search\n  ports:\n  - number: 443 # only TLS\n    name: https\n    protocol: HTTPS\n  resolution: DNS\n";

fn playground() -> View {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy-core/examples/playground");
    View::new(&folder, Folder::open(&folder).unwrap().reading(), 1)
}

#[test]
fn what_is_opened_and_not_changed_is_the_same_text() {
    let view = playground();
    let draft = from_yaml(&view, DraftKind::ServiceEntry, COMMENTED).unwrap();
    let form = draft.service.unwrap();
    assert_eq!(form.hosts, ["www.google.com"]);
    let again = from_service(&view, form, Some(COMMENTED)).unwrap();
    assert_eq!(again.yaml, COMMENTED);
    let opened = open(&view, None, (DraftKind::VirtualService, "default", "api")).unwrap();
    assert_eq!(opened.timeout.as_ref().unwrap().timeout_ms, Some(10_000));
    assert_eq!((opened.file.as_str(), opened.fault), ("api.yaml", None));
}

#[test]
fn a_form_changes_its_field_and_the_comments_stay() {
    let view = playground();
    let mut form = from_yaml(&view, DraftKind::ServiceEntry, COMMENTED)
        .unwrap()
        .service
        .unwrap();
    form.hosts.push("maps.google.com".into());
    let draft = from_service(&view, form.clone(), Some(COMMENTED)).unwrap();
    assert!(draft.yaml.starts_with("# who needs it: the shop\n") && draft.yaml.contains("443 # only TLS"));
    assert_eq!(draft.service.unwrap().hosts, form.hosts);
    assert_eq!(draft.fault, None);
}

#[test]
fn a_derived_resolution_follows_the_hosts_and_a_chosen_one_stays() {
    let view = playground();
    let mut form = from_yaml(&view, DraftKind::ServiceEntry, COMMENTED)
        .unwrap()
        .service
        .unwrap();
    form.hosts = vec!["*.google.com".into()];
    let draft = from_service(&view, form.clone(), Some(COMMENTED)).unwrap();
    assert_eq!(draft.service.as_ref().unwrap().resolution, "NONE");
    assert!(draft.resolution_why.unwrap().starts_with("Derived"));
    form.resolution = "DYNAMIC_DNS".into();
    let draft = from_service(&view, form, Some(COMMENTED)).unwrap();
    assert_eq!(draft.service.unwrap().resolution, "DYNAMIC_DNS");
}

#[test]
fn yaml_that_cannot_be_read_is_kept_and_says_where() {
    let view = playground();
    let text = "kind: ServiceEntry\n  spec: x\n";
    let draft = from_yaml(&view, DraftKind::ServiceEntry, text).unwrap();
    assert_eq!(draft.yaml, text);
    assert!(draft.service.is_none() && draft.form_gap.is_some());
    assert_eq!(draft.fault.unwrap().at.unwrap().line, 2);
}

#[test]
fn what_the_form_cannot_show_is_said_and_nothing_is_lost() {
    let view = playground();
    let text = format!("{COMMENTED}  endpoints:\n  - address: 192.0.2.7\n");
    let draft = from_yaml(&view, DraftKind::ServiceEntry, &text).unwrap();
    assert!(draft.service.is_none() && draft.form_gap.unwrap().contains("endpoints"));
    assert_eq!((draft.yaml, draft.fault), (text, None));
}

#[test]
fn a_timeout_changes_in_place() {
    let view = playground();
    let opened = open(&view, None, (DraftKind::VirtualService, "default", "api")).unwrap();
    let mut form = opened.timeout.unwrap();
    form.timeout_ms = Some(3000);
    let draft = from_timeout(&view, None, form, Some(&opened.yaml)).unwrap();
    assert_eq!(draft.yaml, opened.yaml.replace("10s", "3s"));
    assert_eq!(
        draft.sentence,
        "Requests to api.example.com get 504 when they take longer than 3 s."
    );
}

#[test]
fn a_timeout_that_cannot_work_is_refused_with_the_reason() {
    let view = playground();
    let form = |host: &str| TimeoutForm {
        name: "t".into(),
        namespace: "default".into(),
        host: host.into(),
        timeout_ms: Some(1500),
    };
    let draft = from_timeout(&view, None, form("nobody.example"), None).unwrap();
    assert_eq!(draft.fault.unwrap().code, "no-service");
    let mut world: World = view.world().clone();
    let name: std::sync::Arc<str> = "g".into();
    for document in proxy_core::yaml::read(COMMENTED.as_bytes()).unwrap() {
        proxy_core::model::add_document(&document, &name, &mut 0, &mut world, &mut Vec::new());
    }
    let draft = from_timeout(&view, Some(&world), form("www.google.com"), None).unwrap();
    assert_eq!(draft.fault.unwrap().code, "no-requests");
    assert!(draft.yaml.contains("timeout: 1500ms"));
    assert_eq!(
        from_timeout(&view, None, form("api.example.com"), None).unwrap().fault,
        None
    );
}

#[test]
fn allow_names_what_the_flow_went_to() {
    let view = playground();
    for (record, host, port, protocol, resolution) in [
        (
            flow("httpbin.org", "198.18.0.10:80", "http"),
            "httpbin.org",
            80,
            "HTTP",
            "DNS",
        ),
        (
            flow("edition.cnn.com", "198.18.0.30:443", "tls"),
            "edition.cnn.com",
            443,
            "HTTPS",
            "DNS",
        ),
    ] {
        let draft = allow(&view, record);
        assert_eq!(draft.fault, None);
        let form = draft.service.unwrap();
        let ports = [ServicePort {
            number: port,
            name: protocol.to_lowercase(),
            protocol: protocol.into(),
            target_port: None,
        }];
        assert_eq!((form.hosts[0].as_str(), form.ports.as_slice()), (host, &ports[..]));
        assert_eq!(
            (form.resolution.as_str(), form.namespace.as_str()),
            (resolution, "default")
        );
    }
    let mut unnamed = flow("x", "198.18.0.50:27017", "tcp");
    unnamed.sni = None;
    let draft = allow(&view, unnamed);
    assert_eq!(draft.fault, None, "{}", draft.yaml);
    assert_eq!(draft.service.unwrap().addresses, ["198.18.0.50"]);
}

fn allow(view: &View, record: FlowRecord) -> Draft {
    let present = Present {
        world: view.world(),
        staged: &|_, _, _| None,
    };
    from_flow(view, &present, DraftKind::ServiceEntry, &Row { id: 1, record }).unwrap()
}

#[test]
fn allow_adds_a_port_to_the_entry_of_that_host_and_takes_no_name_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |name: &str, hosts: &str| {
        COMMENTED
            .replace("name: google", &format!("name: {name}"))
            .replace("www.google.com # search", hosts)
    };
    let text = [entry("google", "www.google.com # search"), entry("a-com", "b.com")].join("---\n");
    std::fs::write(folder.path().join("entries.yaml"), text).unwrap();
    let view = View::new(folder.path(), Folder::open(folder.path()).unwrap().reading(), 1);
    let draft = allow(&view, flow("www.google.com", "198.18.0.20:80", "http"));
    let form = draft.service.unwrap();
    let ports: Vec<_> = form.ports.iter().map(|port| (port.number, &*port.name)).collect();
    assert_eq!(
        (form.name.as_str(), ports),
        ("google", vec![(443, "https"), (80, "http")])
    );
    assert!(
        draft.yaml.contains("# who needs it") && draft.yaml.contains("# search"),
        "{}",
        draft.yaml
    );
    let draft = allow(&view, flow("www.google.com", "198.18.0.20:443", "tls"));
    assert_eq!(draft.service.unwrap().ports.len(), 1, "it is declared already");
    let draft = allow(&view, flow("a.com", "198.18.0.20:443", "tls"));
    assert_eq!(draft.service.unwrap().name, "a-com-2", "a-com is about another host");
}

#[test]
fn an_empty_form_has_no_fault_until_something_is_typed() {
    let view = View::new(Path::new("/nowhere"), Reading::default(), 1);
    for kind in [DraftKind::ServiceEntry, DraftKind::VirtualService] {
        let draft = blank(&view, kind);
        assert_eq!((draft.fault, draft.yaml.as_str()), (None, ""));
        assert!(draft.service.is_some() || draft.timeout.is_some());
    }
    let mut form = blank(&view, DraftKind::ServiceEntry).service.unwrap();
    form.hosts = vec!["a.com".into()];
    let unnamed = from_service(&view, form.clone(), Some("")).unwrap();
    assert!(unnamed.fault.is_some(), "it has no name yet");
    form.name = "a-com".into();
    let named = from_service(&view, form, Some(&unnamed.yaml)).unwrap();
    assert_eq!(named.fault, None, "{}", named.yaml);
}

#[test]
fn a_draft_is_checked_with_everything_else_in_the_folder() {
    let view = playground();
    let text = COMMENTED.replace("name: https", "name: no_label");
    let draft = from_yaml(&view, DraftKind::ServiceEntry, &text).unwrap();
    let [finding] = draft.findings.as_slice() else {
        panic!("{:?}", draft.findings)
    };
    assert_eq!(
        (finding.level, finding.field.as_str()),
        (Level::Error, "spec.ports[0].name")
    );
}
