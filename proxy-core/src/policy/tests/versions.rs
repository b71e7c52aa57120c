//! The same policy under older releases: each difference decides otherwise before its release and as now since.

use super::*;
use crate::model::IstioVersion;

/// What is explained under Istio 1.`minor`.
fn under(minor: u8, text: &str, destination: &str, claims: Claims<'_>) -> Explanation {
    let mut world = read(text);
    world.version = Some(IstioVersion::minor(minor));
    let (snapshot, facts) = call(&world, destination, claims);
    explain(&snapshot, &facts)
}

fn http(authority: &str) -> Claims<'_> {
    Claims::Http(HttpClaims {
        version: HttpVersion::Http11,
        method: "GET",
        authority: Some(authority),
        path: "/",
        headers: &(),
    })
}

fn mesh(settings: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    {settings}\n"
    )
}

fn entry(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a, namespace: default}}\nspec: {{{spec}}}\n"
    )
}

const HTTP: &str = "hosts: [a.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]";

/// The release before `since` gives `then`, and `since` and the newest give `now`.
fn changed<T: PartialEq + std::fmt::Debug>(
    since: u8,
    text: &str,
    claims: Claims<'_>,
    of: fn(&Explanation) -> T,
    then: T,
    now: T,
) {
    let at = |minor| of(&under(minor, text, "10.1.2.3:80", claims));
    assert_eq!(at(since - 1), then, "1.{}: {text}", since - 1);
    assert_eq!((at(since), at(32)), (at(32), now), "1.{since}: {text}");
}

fn cluster(explanation: &Explanation) -> Option<String> {
    explanation.cluster.clone()
}

fn verdict(explanation: &Explanation) -> Verdict {
    explanation.verdict
}

#[test]
fn a_mode_that_is_not_known_is_the_default() {
    let text = format!(
        "{}---\n{}",
        mesh("outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}"),
        entry(HTTP)
    );
    let (then, now) = (
        Some("PassthroughCluster".into()),
        Some("AllowAnyDynamicDNSCluster".into()),
    );
    changed(31, &text, http("new.net"), cluster, then, now);
}

#[test]
fn hosts_are_left_out_of_a_sidecar() {
    let sidecar = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: default}\n\
                   spec: {egress: [{hosts: ['*/*', '~default/a.com']}]}\n";
    let text = format!("{sidecar}---\n{}", entry(HTTP));
    changed(
        31,
        &text,
        http("a.com"),
        verdict,
        Verdict::Registered,
        Verdict::Passthrough,
    );
}

#[test]
fn names_are_resolved_for_wildcards() {
    let text = entry("hosts: ['*.com'], resolution: DYNAMIC_DNS, ports: [{number: 80, name: http, protocol: HTTP}]");
    changed(
        30,
        &text,
        http("a.com"),
        verdict,
        Verdict::Passthrough,
        Verdict::Registered,
    );
}

#[test]
fn hosts_have_a_trailing_dot() {
    changed(
        27,
        &entry(HTTP),
        http("a.com."),
        verdict,
        Verdict::Passthrough,
        Verdict::Registered,
    );
}

#[test]
fn a_503_is_retried_by_default() {
    let statuses = |explanation: &Explanation| {
        explanation
            .retries
            .as_ref()
            .map(|own| own.retry_on.contains("exhausted"))
    };
    changed(7, &entry(HTTP), http("a.com"), statuses, Some(true), Some(false));
    let retried = |minor| {
        let mut world = read(&entry(HTTP));
        world.version = Some(IstioVersion::minor(minor));
        let workload = Workload {
            namespace: "default".into(),
            ..Workload::default()
        };
        let facts = Facts {
            destination: "10.1.2.3:80".parse().unwrap(),
            claims: http("a.com"),
            draw: 0,
        };
        let snapshot = compile(&world, &workload);
        match decide(&snapshot, &facts, &mut ()).action {
            Action::Forward(forward) => forward.retries.unwrap().statuses.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((retried(23), retried(24), retried(32)), (vec![503], vec![], vec![]));
}

#[test]
fn a_route_that_says_how_often_but_not_when_retries_as_the_release_does() {
    let routed = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: default}\n\
                  spec: {hosts: [a.com], http: [{retries: {attempts: 5}, route: [{destination: {host: a.com}}]}]}\n";
    let text = format!("{}---\n{routed}", entry(HTTP));
    let attempts = |explanation: &Explanation| {
        explanation
            .retries
            .as_ref()
            .map(|own| (own.attempts, own.retry_on.contains("exhausted")))
    };
    changed(7, &text, http("a.com"), attempts, Some((5, true)), Some((5, false)));
}

#[test]
fn the_port_of_a_host_is_part_of_its_name() {
    changed(
        16,
        &entry(HTTP),
        http("a.com:8080"),
        verdict,
        Verdict::Passthrough,
        Verdict::Registered,
    );
    assert_eq!(
        verdict(&under(4, &entry(HTTP), "10.1.2.3:80", http("a.com:80"))),
        Verdict::Registered
    );
}

#[test]
fn one_address_of_a_name_is_called() {
    let text = entry("hosts: [a.com], resolution: DNS_ROUND_ROBIN, ports: [{number: 80, name: http, protocol: HTTP}]");
    changed(
        12,
        &text,
        http("a.com"),
        verdict,
        Verdict::Passthrough,
        Verdict::Registered,
    );
}

#[test]
fn limits_of_time_have_other_defaults() {
    let mut world = read(&format!(
        "{}---\n{}",
        mesh("{}"),
        entry("hosts: [a.com], resolution: DNS, ports: [{number: 80, name: p}]")
    ));
    let workload = Workload {
        namespace: "default".into(),
        ..Workload::default()
    };
    let mut at = |minor| {
        world.version = Some(IstioVersion::minor(minor));
        let snapshot = compile(&world, &workload);
        let needs = snapshot.sniff_needs("10.1.2.3:80".parse().unwrap());
        let connect = snapshot.clusters().next().unwrap().settings.connect_timeout;
        (needs.timeout.map(|limit| limit.as_millis()), connect.as_secs())
    };
    assert_eq!(
        (at(4), at(7), at(8), at(32)),
        ((Some(100), 1), (Some(100), 10), (None, 10), (None, 10))
    );
    let limit = |explanation: &Explanation| explanation.timeout_ms;
    changed(5, &entry(HTTP), http("new.net"), limit, Some(15_000), None);
}

#[test]
fn a_mesh_says_which_release_it_is_of_and_a_choice_goes_before_it() {
    let text = |meta: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system, {meta}}}\ndata: {{mesh: '{{}}'}}\n"
        )
    };
    let version = |meta: &str| read(&text(meta)).istio_version("").to_string();
    assert_eq!(version("labels: {}"), "1.32");
    assert_eq!(version("labels: {app.kubernetes.io/version: 1.24.3}"), "1.24");
    assert_eq!(
        version("labels: {app.kubernetes.io/version: 1.0.0}"),
        "1.32",
        "a build without a release"
    );
    let annotated = "labels: {app.kubernetes.io/version: 1.24.3}, annotations: {egret.dev/istio-version: '1.4'}";
    assert_eq!(version(annotated), "1.4");
    let mut world = read(&text(annotated));
    world.version = Some(IstioVersion::minor(28));
    assert_eq!(world.istio_version("").to_string(), "1.28");
}

#[test]
fn the_policy_of_the_mesh_holds_where_no_rule_has_one_of_its_own() {
    let settings =
        "defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}, outlierDetection: {interval: 1s}}";
    let rule = |policy: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: r, namespace: default}}\nspec: {{host: a.com, trafficPolicy: {{{policy}}}}}\n"
        )
    };
    let limits = |minor: u8, policy: &str| {
        let mut world = read(&[mesh(settings), entry(HTTP), rule(policy)].join("---\n"));
        world.version = Some(IstioVersion::minor(minor));
        let (snapshot, _) = call(&world, "10.1.2.3:80", http("a.com"));
        let settings = snapshot.clusters().next().unwrap().settings.clone();
        let ejects = settings
            .balance
            .as_ref()
            .is_some_and(|balance| balance.outlier.is_some());
        (settings.limits.connections, settings.limits.pending, ejects)
    };
    let plain = "tls: {mode: DISABLE}";
    let pool = "connectionPool: {http: {http1MaxPendingRequests: 3}}";
    assert_eq!(limits(30, plain), (None, None, false));
    assert_eq!(limits(31, plain), (Some(7), None, true));
    assert_eq!(
        limits(31, pool),
        (None, Some(3), true),
        "a block of the rule replaces the mesh's whole"
    );
}

#[test]
fn outbound_grpc_web_is_made_into_grpc() {
    let text = entry("hosts: [a.com], resolution: DNS, ports: [{number: 80, name: web, protocol: GRPC-Web}]");
    let translates = |explanation: &Explanation| {
        let chain = explanation.trace.iter().find(|step| step.step == "chain");
        chain.is_some_and(|chain| chain.outcome.contains("gRPC-Web"))
    };
    changed(14, &text, http("a.com"), translates, false, true);
}
