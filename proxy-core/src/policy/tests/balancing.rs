//! What is said of who is called, and how it follows from rules, ports and subsets.

use std::time::Duration;

use super::*;

/// What the step about the endpoint says of the choice, for a request to a.com under a DestinationRule with `spec` beside its host.
fn steps(spec: &str, protocol: &str, claims: Claims<'_>) -> Vec<String> {
    let endpoint = |port: u16| format!("{{address: 127.0.0.1, ports: {{p: {port}}}}}");
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: a, namespace: default}}\nspec: {{hosts: \
         [a.com], resolution: STATIC, ports: [{{number: 80, name: p, protocol: {protocol}}}], endpoints: [{}, {}]}}\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a, namespace: default}}\nspec: \
         {{host: a.com, {spec}}}\n",
        endpoint(21001),
        endpoint(21002)
    );
    let world = read(&text);
    let (snapshot, facts) = call(&world, "1.2.3.4:80", claims);
    let trace = explain(&snapshot, &facts).trace;
    let endpoint = trace.into_iter().filter(|step| step.step == "endpoint");
    // Whom there is to choose from comes first.
    let choice = |step: Step| {
        Some(
            step.outcome
                .strip_prefix("127.0.0.1:21001, 127.0.0.1:21002; ")?
                .to_string(),
        )
    };
    endpoint.filter_map(choice).collect()
}

fn request(headers: &Vec<(String, String)>) -> Claims<'_> {
    Claims::Http(HttpClaims {
        version: HttpVersion::Http11,
        method: "GET",
        authority: Some("a.com"),
        path: "/x?q=1",
        headers,
    })
}

#[test]
fn a_step_says_who_is_called_and_why() {
    let headers = vec![("x-user".to_string(), "user-0".to_string())];
    for (policy, expected) in [
        ("connectionPool: {tcp: {maxConnections: 1}}", None),
        (
            "loadBalancer: {simple: ROUND_ROBIN}",
            Some("ROUND_ROBIN, each in its turn"),
        ),
        (
            "loadBalancer: {consistentHash: {httpHeaderName: x-user}}",
            Some(
                "by the hash of header x-user, the next of at least 1024 points on a ring, to 127.0.0.1:21001 while all are \
                 well",
            ),
        ),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 1s}, maglev: {tableSize: 7}}}",
            Some("by the hash of cookie c, which is set where there is none, a Maglev table of 7 places"),
        ),
        (
            "outlierDetection: {consecutiveGatewayErrors: 2, maxEjectionPercent: 50, minHealthPercent: 30}",
            Some(
                "LEAST_REQUEST, the less busy one of two that are drawn; 5 errors (5xx) or 2 gateway errors (502, 503, 504) \
                 in a row eject an endpoint, 30000 ms for each time so far, at most 50 % of all at once; with less than 30 % \
                 left all are called",
            ),
        ),
        // A port's settings take the place of all others.
        (
            "loadBalancer: {simple: RANDOM}, portLevelSettings: [{port: {number: 80}, outlierDetection: \
             {consecutive5xxErrors: 0}}]",
            Some("LEAST_REQUEST, the less busy one of two that are drawn; no endpoint is ejected"),
        ),
    ] {
        let found = steps(&format!("trafficPolicy: {{{policy}}}"), "HTTP", request(&headers));
        assert_eq!(found, Vec::from_iter(expected), "{policy}");
    }
    let source = "trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}";
    assert_eq!(
        steps(source, "TCP", Claims::Tcp),
        ["by the hash of the caller's address, the next of at least 1024 points on a ring"]
    );
    // What is spoken says nothing: a TCP port's listener does not look for HTTP.
    assert_eq!(
        steps(source, "TCP", request(&headers)),
        ["by the hash of the caller's address, the next of at least 1024 points on a ring"]
    );
    let not_by_source = "trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: false}}}";
    assert_eq!(
        steps(not_by_source, "HTTP", request(&headers)),
        ["no hash, so that one is drawn, the next of at least 1024 points on a ring"]
    );
    let header = "trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-user}}}";
    assert_eq!(
        steps(header, "TCP", Claims::Tcp),
        ["no hash, so that one is drawn, the next of at least 1024 points on a ring"]
    );
}

#[test]
fn a_maglev_table_of_a_size_that_none_can_have_has_envoys_own() {
    let headers = vec![("x-user".to_string(), "user-0".to_string())];
    for (written, size) in [
        (1, 65_537),
        (4, 65_537),
        (9, 65_537),
        (4_294_967_295_u64, 65_537),
        (2, 2),
        (11, 11),
    ] {
        let policy = format!("consistentHash: {{httpHeaderName: x-user, maglev: {{tableSize: {written}}}}}");
        let found = steps(
            &format!("trafficPolicy: {{loadBalancer: {{{policy}}}}}"),
            "HTTP",
            request(&headers),
        );
        assert!(
            found[0].contains(&format!("a Maglev table of {size} places, to 127.0.0.1:")),
            "{written}: {found:?}"
        );
    }
}

#[test]
fn weights_that_are_as_large_as_can_be_written_are_shared_out() {
    let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: default}\nspec: {hosts: \
                [a.com], resolution: STATIC, ports: [{number: 80, name: p, protocol: HTTP}], endpoints: [{address: 10.0.0.1, \
                locality: r1/z1, weight: 4294967295}, {address: 10.0.0.2, locality: r1/z2, weight: 1}]}\n---\n\
                apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: default}\nspec: \
                {host: a.com, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: '*', to: {'r1/*': 100}}]}}}}\n";
    let world = read(text);
    let headers = Vec::new();
    let (snapshot, facts) = call(&world, "1.2.3.4:80", request(&headers));
    let Action::Forward(forward) = decide(&snapshot, &facts, &mut ()).action else {
        panic!("it is registered");
    };
    let balance = forward.cluster.settings.balance.as_ref().expect("localities differ");
    let groups = &balance.spread.as_ref().expect("localities differ").groups;
    assert_eq!(groups.iter().map(|group| group.weight).collect::<Vec<_>>(), [100, 1]);
}

#[test]
fn a_subset_has_its_own_block_whole_in_the_place_of_the_rules() {
    let text = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a, namespace: default}\nspec: {hosts: \
                [a.com], resolution: STATIC, ports: [{number: 80, name: p, protocol: HTTP}], endpoints: [{address: 10.0.0.1, \
                labels: {v: one}}]}\n---\n\
                apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: default}\nspec: \
                {host: a.com, trafficPolicy: {retryBudget: {budgetInterval: 1s}}, subsets: [\
                {name: own, labels: {v: one}, trafficPolicy: {retryBudget: {percent: 5}}}, \
                {name: same, labels: {v: one}}]}\n";
    let snapshot = compile(&read(text), &Workload::default());
    let interval = |subset: &str| {
        let cluster = snapshot.clusters.get(&format!("outbound|80|{subset}|a.com"));
        let limits = cluster.expect("each has a cluster").settings.limits;
        limits.retry_budget.expect("each has a budget").interval
    };
    assert_eq!(
        (interval("same"), interval("own")),
        (Duration::from_secs(1), Duration::ZERO)
    );
}
