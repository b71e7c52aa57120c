//! Which of several endpoints is called, and who is left out. The words, the numbers and the endpoints that hashes lead to are
//! Envoy 1.40's, given the same configuration.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use crate::{
    site,
    subject::{Curl, PATIENCE, Subject, eventually, host, map, mesh, routes, through},
};

const HOST: &str = "many.example.com";

/// A sidecar of one worker with the endpoints 127.0.0.1:21001 and following, which are at `sites`.
fn balanced(port: u16, protocol: &str, policy: &str, sites: &[SocketAddr]) -> Subject {
    let mut options = vec!["--workers".to_string(), "1".into()];
    options.extend(host(HOST, "198.18.0.10"));
    let mut endpoints = Vec::new();
    for (number, site) in (21001..).zip(sites) {
        options.extend(map(&format!("127.0.0.1:{number}"), *site));
        endpoints.push(format!("{{address: 127.0.0.1, ports: {{p: {number}}}}}"));
    }
    let entry = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: many, namespace: default}}\nspec:\n  hosts: \
         [{HOST}]\n  ports: [{{number: {port}, name: p, protocol: {protocol}}}]\n  resolution: STATIC\n  endpoints: [{}]\n",
        endpoints.join(", ")
    );
    let rule = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: many, namespace: default}}\nspec: \
         {{host: {HOST}, trafficPolicy: {policy}}}\n"
    );
    let mut policy = vec![mesh("REGISTRY_ONLY"), entry, rule];
    if protocol == "HTTP" {
        let to_it = format!("retries: {{attempts: 0}}, route: [{{destination: {{host: {HOST}}}}}]");
        policy.push(routes(
            HOST,
            &format!("[{{match: [{{uri: {{prefix: /soon}}}}], timeout: 0.3s, {to_it}}}, {{{to_it}}}]"),
        ));
    }
    Subject::start(&policy, &options)
}

fn ask(subject: &Subject, path: &str, arguments: &[&str]) -> Curl {
    let url = format!("http://{HOST}{path}");
    through(subject, &[arguments, &[&*url]].concat())
}

/// The last digits of the endpoint that a line of the log names.
fn called(line: &str) -> u32 {
    let port = line
        .split("\"127.0.0.1:2100")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    port.unwrap_or_else(|| panic!("no endpoint in {line}")).parse().unwrap()
}

#[test]
fn an_endpoint_that_fails_too_often_is_left_out_and_the_others_serve() {
    let site = site::http();
    let policy = "{loadBalancer: {simple: ROUND_ROBIN}, \
                  outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 1h, maxEjectionPercent: 50}}";
    let subject = balanced(80, "HTTP", policy, &[site::nobody(), site.address, site.address]);
    let statuses: Vec<u16> = (0..15).map(|_| ask(&subject, "/", &[]).status()).collect();
    let failed = statuses.iter().filter(|status| **status == 503).count();
    assert_eq!(failed, 2, "{statuses:?}");
    assert_eq!(statuses[6..], [200; 9], "{statuses:?}");
    let log = subject.log(15);
    let mut later: Vec<u32> = log[6..].iter().map(|line| called(line)).collect();
    later.sort_unstable();
    later.dedup();
    assert_eq!(later, [2, 3]);

    let ejected = &subject.config()["ejected"];
    assert_eq!(ejected[0]["cluster"], "outbound|80||many.example.com", "{ejected}");
    assert_eq!(ejected[0]["address"], "127.0.0.1:21001", "{ejected}");
    let metrics = subject.admin_get("/metrics").1;
    for name in ["ejections_active", "ejections_enforced_total"] {
        let line =
            format!("envoy_cluster_outlier_detection_{name}{{cluster_name=\"outbound|80||many.example.com\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[test]
fn where_all_are_left_out_nobody_is_called_until_one_may_return() {
    let site = site::http();
    let policy = "{outlierDetection: {consecutive5xxErrors: 3, interval: 100ms, baseEjectionTime: 1s, \
                  maxEjectionPercent: 100}}";
    let subject = balanced(80, "HTTP", policy, &[site.address]);
    for _ in 0..3 {
        assert_eq!(ask(&subject, "/status/500", &[]).status(), 500);
    }
    let refused = ask(&subject, "/", &[]);
    assert_eq!((refused.status(), &*refused.body), (503, "no healthy upstream"));
    let log = subject.log(4);
    assert!(log[3].contains(" 503 UH no_healthy_upstream - \"-\" "), "{}", log[3]);
    assert!(log[3].contains(" \"-\" outbound|80||many.example.com "), "{}", log[3]);
    eventually("its return", || (ask(&subject, "/", &[]).status() == 200).then_some(()));
    assert_eq!(subject.config()["ejected"], serde_json::json!([]));
}

#[test]
fn by_default_no_more_than_a_tenth_is_left_out() {
    let site = site::http();
    let subject = balanced(
        80,
        "HTTP",
        "{outlierDetection: {consecutive5xxErrors: 1}}",
        &[site.address],
    );
    for _ in 0..4 {
        let answer = ask(&subject, "/status/500", &[]);
        assert!(
            answer.head.contains("x-site: 1") || answer.head.contains("X-Site: 1"),
            "{}",
            answer.head
        );
    }
}

#[test]
fn an_endpoint_that_was_not_asked_is_not_to_blame_for_a_timeout() {
    let site = site::http();
    let policy = "{connectionPool: {tcp: {maxConnections: 1}}, \
                  outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 1h, maxEjectionPercent: 100}}";
    let subject = balanced(80, "HTTP", policy, &[site.address]);
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&subject, "/delay/3", &[]).status());
        eventually("the first request at the site", || {
            (site.connections() > 0).then_some(())
        });
        assert_eq!(ask(&subject, "/soon", &[]).status(), 504, "it waits for the connection");
        assert_eq!(first.join().unwrap(), 200);
    });
    assert_eq!(subject.config()["ejected"], serde_json::json!([]));
    assert_eq!(ask(&subject, "/", &[]).status(), 200);
}

#[test]
fn a_stream_endpoint_that_refuses_is_left_out() {
    let policy = "{outlierDetection: {consecutive5xxErrors: 3, baseEjectionTime: 1h, maxEjectionPercent: 100}}";
    let subject = balanced(5432, "TCP", policy, &[site::nobody()]);
    for (number, flags) in ["UF,URX", "UF,URX", "UF,URX", "UH"].into_iter().enumerate() {
        let mut stream = tunnel(&subject);
        // The sidecar ends it, one way or another.
        let _ = stream.read(&mut [0; 1]);
        let row = &subject.log(number + 1)[number];
        assert_eq!(row.split(' ').nth(5), Some(flags), "{row}");
    }
}

#[test]
fn a_header_leads_to_the_endpoint_that_it_leads_to_with_envoy() {
    let sites: Vec<site::Site> = (0..5).map(|_| site::http()).collect();
    let addresses: Vec<SocketAddr> = sites.iter().map(|site| site.address).collect();
    for (algorithm, expected) in [("", RING), (", maglev: {tableSize: 65537}", MAGLEV)] {
        let policy = format!("{{loadBalancer: {{consistentHash: {{httpHeaderName: x-user{algorithm}}}}}}}");
        let subject = balanced(80, "HTTP", &policy, &addresses);
        for user in 0..10 {
            ask(&subject, "/", &["-H", &format!("x-user: user-{user}")]);
        }
        let log = subject.log(10);
        let went: Vec<u32> = log.iter().map(|line| called(line)).collect();
        assert_eq!(went, expected, "{algorithm}");
    }
}

/// Where Envoy went for `user-0` to `user-9`.
const RING: [u32; 10] = [5, 4, 5, 2, 3, 1, 3, 2, 4, 5];
const MAGLEV: [u32; 10] = [2, 1, 4, 4, 4, 5, 2, 2, 4, 5];

#[test]
fn who_has_no_cookie_is_given_one_that_keeps_it_where_it_is() {
    let sites: Vec<site::Site> = (0..5).map(|_| site::http()).collect();
    let addresses: Vec<SocketAddr> = sites.iter().map(|site| site.address).collect();
    let policy = "{loadBalancer: {consistentHash: {httpCookie: {name: sess, path: /p, ttl: 60s}}}}";
    let subject = balanced(80, "HTTP", policy, &addresses);
    let first = ask(&subject, "/", &[]);
    let line = first.head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let line = line.unwrap_or_else(|| panic!("no cookie in {}", first.head));
    let (value, rest) = line.strip_prefix("sess=\"").unwrap().split_once('"').unwrap();
    assert_eq!(rest, "; Max-Age=60; Path=/p; HttpOnly");
    assert!(
        value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{value}"
    );
    for _ in 0..4 {
        let again = ask(&subject, "/", &["-H", &format!("cookie: a=b; sess=\"{value}\"")]);
        assert!(!again.head.contains("set-cookie"), "{}", again.head);
    }
    let went: Vec<u32> = subject.log(5).iter().map(|line| called(line)).collect();
    assert_eq!(went, [went[0]; 5]);
}

#[test]
fn an_idle_upstream_connection_is_closed_when_the_rule_says_so() {
    let site = site::http();
    let subject = balanced(
        80,
        "HTTP",
        "{connectionPool: {http: {idleTimeout: 1s}}}",
        &[site.address],
    );
    ask(&subject, "/", &[]);
    ask(&subject, "/", &[]);
    assert_eq!(site.connections(), 1, "it serves again within the time");
    eventually("its end", || (site.open() == 0).then_some(()));
    ask(&subject, "/", &[]);
    assert_eq!(site.connections(), 2);
}

/// A tunnel to the service.
fn tunnel(subject: &Subject) -> TcpStream {
    let mut stream = TcpStream::connect(subject.explicit).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "CONNECT {HOST}:5432 HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = vec![0; "HTTP/1.1 200 Connection established\r\n\r\n".len()];
    stream.read_exact(&mut answer).unwrap();
    stream
}

#[test]
fn a_stream_ends_when_nothing_passes_or_when_it_is_too_old() {
    for (pool, flags) in [
        ("idleTimeout: 1s", "-"),
        ("idleTimeout: 0s, maxConnectionDuration: 1s", "DT"),
    ] {
        let site = site::speaks_first();
        let subject = balanced(
            5432,
            "TCP",
            &format!("{{connectionPool: {{tcp: {{{pool}}}}}}}"),
            &[site.address],
        );
        let mut stream = tunnel(&subject);
        let mut greeting = [0; 22];
        stream.read_exact(&mut greeting).unwrap();
        if flags == "-" {
            // What passes keeps it open for longer than it might be idle.
            for _ in 0..4 {
                thread::sleep(Duration::from_millis(400));
                stream.write_all(b"x").unwrap();
                stream.read_exact(&mut [0; 1]).unwrap();
            }
        }
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)), "it is ended");
        let log = subject.log(1);
        assert!(log[0].contains(&format!("\" 0 {flags} - - ")), "{}", log[0]);
    }
}
