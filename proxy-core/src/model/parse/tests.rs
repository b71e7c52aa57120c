use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    model::{InjectorLayout, LogFormat, LoggedTraffic, OutboundMode, Protocol, Resolution, ServiceEntry},
    yaml,
};

fn read(text: &str) -> (World, Vec<ModelError>) {
    let (mut world, mut errors, mut order) = (World::default(), Vec::new(), 0);
    for document in yaml::read(text.as_bytes()).unwrap() {
        add_document(&document, &Arc::from("f.yaml"), &mut order, &mut world, &mut errors);
    }
    (world, errors)
}

fn entry(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a, namespace: n}}\nspec:\n{spec}"
    )
}

#[test]
fn a_service_entry_is_read_whole() {
    let (world, errors) = read(&entry(
        "  hosts: [httpbin.org]\n  addresses: [10.0.0.0/8, 1.2.3.4]\n  ports:\n  - {number: 80, name: http, protocol: http, targetPort: 8080}\n  resolution: DNS\n  futureField: kept\n",
    ));
    assert_eq!(errors, []);
    let entry = &world.service_entries[0];
    assert_eq!((&*entry.meta.namespace, &*entry.meta.name), ("n", "a"));
    assert_eq!(entry.spec.ports[0].protocol, Protocol::Http);
    assert_eq!(
        (entry.spec.ports[0].target_port, entry.spec.ports[0].line),
        (Some(8080), 8)
    );
    assert_eq!(entry.spec.resolution, Resolution::Dns);
    assert_eq!(entry.spec.addresses[1].to_string(), "1.2.3.4/32");
}

#[test]
fn a_wrong_value_names_file_line_column_and_field() {
    let cases = [
        (
            "  hosts: [a.com]\n  resolution: SOMETIMES\n",
            "f.yaml:6:15",
            "spec.resolution",
            "expected one of NONE",
        ),
        ("  hosts: a.com\n", "f.yaml:5:10", "spec.hosts", "expected a list"),
        ("  hosts: [1]\n", "f.yaml:5:11", "spec.hosts[0]", "expected a text"),
        (
            "  ports:\n  - {number: 0, name: a}\n",
            "f.yaml:6:14",
            "spec.ports[0].number",
            "1 to 65535",
        ),
        (
            "  ports:\n  - {number: 1, name: a, protocol: FOO}\n",
            "f.yaml:6:36",
            "spec.ports[0].protocol",
            "unsupported protocol: FOO",
        ),
        (
            "  addresses: [nope]\n",
            "f.yaml:5:15",
            "spec.addresses[0]",
            "nope is not a valid IP",
        ),
    ];
    for (spec, place, field, message) in cases {
        let (world, errors) = read(&entry(spec));
        assert!(world.service_entries.is_empty(), "an object with an error is not taken");
        assert_eq!(
            (errors[0].place.to_string().as_str(), errors[0].field.as_str()),
            (place, field)
        );
        assert!(errors[0].message.contains(message), "{}", errors[0].message);
    }
}

#[test]
fn the_mode_follows_the_zero_value_trap() {
    use OutboundMode::*;
    let cases = [
        ("rootNamespace: x", AllowAny, 0),
        ("outboundTrafficPolicy: {}", RegistryOnly, 7),
        ("outboundTrafficPolicy:\n      mode: ALLOW_ANY", AllowAny, 8),
        ("outboundTrafficPolicy: {mode: 1}", AllowAny, 7),
        ("outbound_traffic_policy: {mode: REGISTRY_ONLY}", RegistryOnly, 7),
        (
            "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}",
            AllowAnyDynamicDns,
            7,
        ),
    ];
    for (mesh, mode, line) in cases {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio}}\ndata:\n  mesh: |\n    # comment\n    {mesh}\n"
        );
        let (world, errors) = read(&text);
        assert_eq!(errors, []);
        assert_eq!(
            (world.mesh_configs[0].spec.mode, world.mesh_configs[0].spec.mode_line),
            (mode, line),
            "{mesh}"
        );
    }
}

#[test]
fn an_error_inside_the_mesh_text_has_its_place_in_the_file() {
    let (world, errors) = read(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-1-31}\ndata:\n  mesh: |\n    outboundTrafficPolicy:\n      mode: SOMETIMES\n",
    );
    assert!(world.mesh_configs.is_empty());
    assert_eq!(
        errors[0].to_string().split(": expected").next(),
        Some("f.yaml:7:13: data.mesh.outboundTrafficPolicy.mode")
    );
}

#[test]
fn injector_values_keep_their_lines() {
    let (world, errors) = read(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector}\ndata:\n  values: |\n    {\n      \"global\": {\"proxy\": {\n        \"excludeIPRanges\": \"10.0.0.0/8\",\n        \"includeIPRanges\": \"*\"}}\n    }\n",
    );
    assert_eq!(errors, []);
    let values = &world.injectors[0].spec;
    assert_eq!(
        (values.exclude_ip_ranges.as_deref(), values.include_ip_ranges.as_deref()),
        (Some("10.0.0.0/8"), Some("*"))
    );
    assert_eq!(values.lines, [9, 8, 0, 0]);
}

#[test]
fn ranges_rendered_into_a_template_keep_their_lines_and_the_values_hold_where_both_are_there() {
    let config = "  config: |-\n    policy: enabled\n    template: |-\n      args:\n      - \"[[ annotation .ObjectMeta \
                  `traffic.sidecar.istio.io/includeOutboundIPRanges`  \"10.0.0.0/8\"  ]]\"\n";
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector}\ndata:\n";
    let (world, errors) = read(&format!("{head}{config}"));
    assert_eq!(errors, []);
    let old = &world.injectors[0].spec;
    assert_eq!(
        (old.layout, old.include_ip_ranges.as_deref(), old.lines),
        (InjectorLayout::Template, Some("10.0.0.0/8"), [9, 0, 0, 0])
    );
    assert_eq!(old.settable(), [true, false, false, false]);
    let (world, _) = read(&format!("{head}{config}  values: '{{}}'\n"));
    let new = &world.injectors[0].spec;
    assert_eq!(
        (new.layout, new.include_ip_ranges.as_deref()),
        (InjectorLayout::Values, None)
    );
    let (world, _) = read(&format!("{head}  config: 'policy: enabled'\n"));
    assert!(world.injectors.is_empty() && world.ignored["ConfigMap"] == 1);
}

#[test]
fn only_the_webhook_of_a_tag_names_a_tag_and_no_istiod_reads_a_map_of_the_revision_default() {
    let hook = |labels: &str| {
        format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata:\n  name: h\n  labels: \
             {{{labels}}}\n"
        )
    };
    let (world, errors) = read(&hook("istio.io/rev: 1-31, istio.io/tag: prod"));
    assert_eq!(errors, []);
    assert_eq!(world.revision_called("prod"), "1-31");
    let (world, _) = read(&hook("istio.io/rev: 1-31"));
    assert!(world.tags.is_empty());
    let (world, _) = read("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-default}\ndata: {mesh: '{}'}\n");
    assert!(world.mesh_configs.is_empty());
}

#[test]
fn the_access_logs_of_an_envoy_filter_are_read_in_each_form_that_envoy_takes() {
    let filter = |value: &str| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: f, namespace: n}}\nspec:\n  \
             configPatches:\n  - applyTo: NETWORK_FILTER\n    match: {{context: SIDECAR_OUTBOUND}}\n    patch: {{operation: MERGE, \
             value: {value}}}\n"
        )
    };
    let http = |log: &str| {
        filter(&format!(
            "{{typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, access_log: [{log}]}}}}"
        ))
    };
    let file = "'@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/stdout";
    let text = |format: &str| Ok(LogFormat::Text(format.into()));
    for (log, expected) in [
        (
            format!("{{typed_config: {{{file}, log_format: {{text_format: T}}}}}}"),
            text("T"),
        ),
        (
            format!("{{typedConfig: {{{file}, logFormat: {{textFormat: T}}}}}}"),
            text("T"),
        ),
        (
            format!("{{typed_config: {{{file}, log_format: {{text_format_source: {{inline_string: T}}}}}}}}"),
            text("T"),
        ),
        (format!("{{typed_config: {{{file}, format: T}}}}"), text("T")),
        (
            format!("{{typed_config: {{{file}, log_format: {{json_format: {{a: '%PROTOCOL%'}}}}}}}}"),
            Ok(LogFormat::Json(serde_json::json!({"a": "%PROTOCOL%"}))),
        ),
        (
            format!("{{typed_config: {{{file}, log_format: {{text_format_source: {{filename: /f}}}}}}}}"),
            Err("its text is kept in the pods (text_format_source)".to_string()),
        ),
        (
            "{name: envoy.file_access_log, config: {path: /dev/stdout, format: T}}".to_string(),
            text("T"),
        ),
    ] {
        let (world, errors) = read(&http(&log));
        assert_eq!(errors, []);
        let found = &world.envoy_filters[0].spec.logs[0];
        assert_eq!((&found.format, found.of), (&expected, LoggedTraffic::Http), "{log}");
        assert_eq!(found.file.as_deref(), Some("/dev/stdout"));
    }
    let (world, _) = read(&http(&format!(
        "{{typed_config: {{{file}}}, filter: {{not_health_check_filter: {{}}}}}}"
    )));
    let found = &world.envoy_filters[0].spec.logs[0];
    assert!(found.filtered && matches!(&found.format, Ok(LogFormat::Text(own)) if own.contains("%UPSTREAM_HOST%")));
    let elsewhere = "{typed_config: {'@type': type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig}}";
    let (world, _) = read(&http(elsewhere));
    assert_eq!(world.envoy_filters[0].spec.logs[0].file, None);
    let (world, errors) = read(&filter("{typed_config: {route_config: 1}}"));
    assert_eq!(
        (errors.len(), world.envoy_filters.len(), world.ignored["EnvoyFilter"]),
        (0, 0, 1)
    );
}

#[test]
fn a_zero_timeout_is_refused_and_go_durations_are_taken() {
    let service = |timeout: &str| {
        format!(
            "apiVersion: networking.istio.io/v1beta1\nkind: VirtualService\nmetadata: {{name: v}}\nspec:\n  hosts: [a.com]\n  http:\n  - timeout: {timeout}\n    route: [{{destination: {{host: a.com}}}}]\n"
        )
    };
    for (text, millis) in [("3s", 3000), ("1m30s", 90_000), ("100ms", 100), ("1.5h", 5_400_000)] {
        let (world, errors) = read(&service(text));
        assert_eq!(errors, []);
        let route = &world.virtual_services[0].spec.http[0];
        assert_eq!(
            (route.timeout, route.timeout_line),
            (Some(Duration::from_millis(millis)), 7)
        );
    }
    for text in ["0s", "3", "1us", "-1s", "soon", "\"\""] {
        let (_, errors) = read(&service(text));
        assert_eq!(errors[0].field, "spec.http[0].timeout", "{text}");
    }
}

#[test]
fn the_bytes_of_an_answer_are_decoded_in_each_form_that_protobuf_takes() {
    let read = |body: &str| {
        read(&format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v}}\nspec: {{hosts: [a.com], http: \
             [{{directResponse: {{status: 200, body: {body}}}}}]}}\n"
        ))
    };
    for body in ["{bytes: '//4='}", "{bytes: '//4'}", "{bytes: __4=}", "{bytes: __4}"] {
        let (world, errors) = read(body);
        assert_eq!(errors, [], "{body}");
        let response = world.virtual_services[0].spec.http[0].direct_response.as_ref();
        assert_eq!(&*response.unwrap().body, [0xff, 0xfe], "{body}");
    }
    let (_, errors) = read("{bytes: '*'}");
    assert_eq!(errors[0].field, "spec.http[0].directResponse.body.bytes");
}

#[test]
fn a_warm_up_is_refused_as_by_istio() {
    let read = |warmup: &str| {
        let (_, errors) = read(&format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d}}\nspec: {{host: a.com, \
             trafficPolicy: {{loadBalancer: {{warmup: {warmup}}}}}}}\n"
        ));
        errors.into_iter().map(|error| error.field).collect::<Vec<_>>()
    };
    let field = |name: &str| format!("spec.trafficPolicy.loadBalancer.warmup{name}");
    assert_eq!(read("{duration: 1m, minimumPercent: 100, aggression: 0.1}"), [""; 0]);
    for (warmup, name) in [
        ("{minimumPercent: 5}", ""),
        ("{duration: 0s}", ".duration"),
        ("{duration: 1m, minimumPercent: 150}", ".minimumPercent"),
        ("{duration: 1m, aggression: 0}", ".aggression"),
    ] {
        assert_eq!(read(warmup), [field(name)], "{warmup}");
    }
}

#[test]
fn a_keepalive_has_both_of_its_times() {
    let read = |keepalive: &str| {
        read(&format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d}}\nspec: {{host: a.com, \
             trafficPolicy: {{connectionPool: {{http: {{http2KeepAlive: {keepalive}}}}}}}}}\n"
        ))
        .1
    };
    assert_eq!(read("{interval: 15s, timeout: 5s}"), []);
    for (keepalive, words) in [
        ("{timeout: 5s}", "interval is required"),
        ("{interval: 15s}", "timeout is required"),
        ("{interval: 15.000000005s, timeout: 5s}", "ms precision"),
    ] {
        let errors = read(keepalive);
        assert_eq!(errors.len(), 1, "{keepalive}: {errors:?}");
        assert!(errors[0].message.contains(words), "{keepalive}: {errors:?}");
    }
}

#[test]
fn lists_are_unwrapped_and_other_kinds_counted() {
    let (world, errors) = read(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n",
    );
    assert_eq!(errors, []);
    assert_eq!((world.namespaces.len(), world.ignored["Secret"]), (1, 1));
}

#[test]
fn a_service_port_takes_its_protocol_from_app_protocol_then_name_then_number() {
    let (world, errors) = read(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  clusterIP: 10.0.0.1\n  ports:\n  - {name: http-web, port: 80}\n  - {name: web, port: 81, appProtocol: grpc}\n  - {name: db, port: 3306}\n  - {name: other, port: 99}\n  - {name: dns, port: 53, protocol: UDP}\n",
    );
    assert_eq!(errors, []);
    let protocols: Vec<_> = world.services[0].spec.ports.iter().map(|port| port.protocol).collect();
    assert_eq!(
        protocols,
        [
            Protocol::Http,
            Protocol::Grpc,
            Protocol::Tcp,
            Protocol::Auto,
            Protocol::Udp
        ]
    );
}

#[test]
fn a_service_entry_takes_no_more_than_a_quarter_of_a_kilobyte_itself() {
    // Behind two counts, and allocators give what is larger the next 64 bytes. Of a policy of 100,000 that is 6 MB.
    let counts = 2 * size_of::<usize>();
    assert!(size_of::<Object<ServiceEntry>>() + counts <= 256);
}
