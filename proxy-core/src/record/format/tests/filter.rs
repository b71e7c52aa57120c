//! Formats that EnvoyFilters add, for the pods that they select and no others.

use super::*;
use crate::{model, yaml};

const OBJECTS: &str = r#"
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: egress-log, namespace: shop}
spec:
  workloadSelector: {labels: {app: cart}}
  configPatches:
  - applyTo: NETWORK_FILTER
    match: {context: SIDECAR_OUTBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}
    patch:
      operation: MERGE
      value:
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: /dev/stdout
              log_format:
                text_format: "OUT %REQ(:AUTHORITY)% %RESPONSE_CODE% %UPSTREAM_CLUSTER% %DOWNSTREAM_LOCAL_ADDRESS%\n"
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: json-log, namespace: istio-system}
spec:
  configPatches:
  - applyTo: NETWORK_FILTER
    patch:
      operation: MERGE
      value:
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          access_log:
          - typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
              log_format: {json_format: {to: "%REQUESTED_SERVER_NAME%", over: "%UPSTREAM_CLUSTER%", at: "%DOWNSTREAM_LOCAL_ADDRESS%"}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: from-file, namespace: pay}
spec:
  configPatches:
  - applyTo: NETWORK_FILTER
    patch:
      operation: MERGE
      value:
        typed_config:
          "@type": t/HttpConnectionManager
          access_log:
          - typed_config: {"@type": t/FileAccessLog, path: /dev/stdout, log_format: {text_format_source: {filename: /etc/format}}}
"#;

fn formats() -> Formats {
    let (mut world, mut order, mut errors) = (World::default(), 0, Vec::new());
    for document in yaml::read(OBJECTS.as_bytes()).unwrap() {
        model::add_document(&document, &"f.yaml".into(), &mut order, &mut world, &mut errors);
    }
    assert_eq!(errors, []);
    Formats::of(&world)
}

fn read_of(namespace: &str, app: &str, line: &str) -> Line {
    let workload = FlowWorkload {
        namespace: namespace.into(),
        name: app.into(),
        labels: [("app".to_string(), app.to_string())].into(),
    };
    formats().read(line, &workload.into(), RECEIVED)
}

#[test]
fn a_format_is_read_for_the_pods_that_its_filter_selects() {
    let line = "OUT httpbin.org 200 outbound|80||httpbin.org 198.19.0.10:80";
    let Line::Flow(flow) = read_of("shop", "cart", line) else {
        panic!("the selected pod's line is a flow");
    };
    assert_eq!(
        (flow.verdict, flow.host.as_deref(), flow.status),
        (Verdict::Registered, Some("httpbin.org"), 200)
    );
    for (namespace, app) in [("shop", "other"), ("pay", "cart")] {
        assert_eq!(read_of(namespace, app, line), Line::Other, "{namespace}/{app}");
    }
}

#[test]
fn a_filter_of_the_root_namespace_is_for_every_pod() {
    let line = r#"{"to":"edition.cnn.com","over":"BlackHoleCluster","at":"198.19.0.12:443"}"#;
    let Line::Flow(flow) = read_of("anywhere", "a", line) else {
        panic!("a line of the root namespace's format is a flow");
    };
    assert_eq!(
        (flow.verdict, flow.sni.as_deref()),
        (Verdict::Blocked, Some("edition.cnn.com"))
    );
}

#[test]
fn a_format_that_is_kept_elsewhere_is_said_where_it_is_used_and_never_guessed() {
    let line = "[2026-11-23T13:38:18.348Z] a.com 200";
    let Line::Unread(why) = read_of("pay", "a", line) else {
        panic!("a line that looks like an access log is counted");
    };
    assert_eq!(
        &*why,
        "the format of EnvoyFilter pay/from-file cannot be read: its text is kept in the pods (text_format_source)."
    );
    let Line::Unread(other) = read_of("shop", "a", line) else {
        panic!("elsewhere it is counted too");
    };
    assert!(!other.contains("from-file"), "{other}");
}
