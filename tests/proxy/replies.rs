//! Attempts and answers of the sidecar's own, as they were seen of Envoy on a live mesh (`make fidelity`).

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use crate::{
    actions::{TO_HTTPBIN, routed},
    site,
    subject::{PATIENCE, Subject, entry, eventually, host, map, mesh, routes, shape, through},
};

#[test]
fn a_request_with_a_body_is_tried_again_with_all_of_it() {
    let (subject, site) = routed(&format!(
        "[{{retries: {{attempts: 2, retryOn: 5xx, perTryTimeout: 2s}}, {TO_HTTPBIN}}}]"
    ));
    let answer = through(&subject, &["--data", "text", "http://httpbin.org/status/503"]);
    assert_eq!(answer.status(), 503);
    let seen = site.last_head();
    assert!(seen.contains("\r\nx-envoy-attempt-count: 3\r\n"), "{seen}");
    assert!(seen.contains("\r\ncontent-length: 4\r\n"), "{seen}");
    assert_eq!(site.last_body(), "text");
    // What the upstream is told is the time of the attempt.
    assert!(seen.contains("\r\nx-envoy-expected-rq-timeout-ms: 2000\r\n"), "{seen}");
}

#[test]
fn an_answer_to_a_request_that_is_not_read_ends_the_connection() {
    let (subject, _site) = routed(&format!(
        "[{{match: [{{uri: {{prefix: /old}}}}], redirect: {{uri: /new}}}}, \
          {{match: [{{uri: {{prefix: /bare}}}}], directResponse: {{status: 502}}}}, \
          {{match: [{{uri: {{prefix: /own}}}}], directResponse: {{status: 418, body: {{string: tea}}}}}}, \
          {{match: [{{uri: {{prefix: /last}}}}], directResponse: {{status: 599}}}}, \
          {{match: [{{uri: {{prefix: /other}}}}], directResponse: {{status: 203}}}}, {TO_HTTPBIN}]"
    ));
    let names = |arguments: &[&str]| -> (String, Vec<String>) {
        let head = through(&subject, arguments).head;
        let (status, lines) = head.split_once("\r\n").unwrap();
        let names = lines.lines().filter_map(|line| line.split_once(':'));
        (status.into(), names.map(|(name, _)| name.to_string()).collect())
    };
    for (arguments, status, expected) in [
        (
            ["-d", "", "http://httpbin.org/bare"],
            "HTTP/1.1 502 Bad Gateway",
            &["date", "server", "content-length"][..],
        ),
        (
            ["-d", "text", "http://httpbin.org/bare"],
            "HTTP/1.1 502 Bad Gateway",
            &["date", "server", "connection", "content-length"],
        ),
        (
            ["-d", "text", "http://httpbin.org/old"],
            "HTTP/1.1 301 Moved Permanently",
            &["location", "date", "server", "connection", "content-length"],
        ),
        (
            ["-d", "text", "http://httpbin.org/own"],
            "HTTP/1.1 418 Unknown",
            &["content-length", "content-type", "date", "server", "connection"],
        ),
        (
            ["-d", "", "http://httpbin.org/last"],
            "HTTP/1.1 599 Last Unassigned Server Error Code",
            &["date", "server", "content-length"],
        ),
        (
            ["-d", "", "http://httpbin.org/other"],
            "HTTP/1.1 203 Non-Authoritative Information",
            &["date", "server", "content-length"],
        ),
    ] {
        assert_eq!(
            names(&arguments),
            (status.into(), expected.iter().map(ToString::to_string).collect())
        );
    }
}

#[test]
fn an_attempt_that_takes_too_long_and_a_cluster_that_is_missing_are_answered_and_logged_as_by_envoy() {
    let delayed = |path: &str, retry_on: &str| {
        format!(
            "{{match: [{{uri: {{prefix: /delay/{path}}}}}], retries: {{attempts: 1, perTryTimeout: 300ms, retryOn: \
             {retry_on}}}, {TO_HTTPBIN}}}"
        )
    };
    let (subject, site) = routed(&format!(
        "[{}, {}, {{route: [{{destination: {{host: nowhere.com}}}}]}}]",
        delayed("1", "gateway-error"),
        delayed("2", "connect-failure")
    ));
    // By default, and by failed connections, an attempt's time is no reason for another one.
    for (number, (path, status, body, sent, logged)) in [
        (
            "/delay/1",
            504,
            "upstream request timeout",
            2,
            "504 URX,UT upstream_per_try_timeout",
        ),
        (
            "/delay/2",
            504,
            "upstream request timeout",
            3,
            "504 UT upstream_per_try_timeout",
        ),
        ("/", 503, "", 3, "503 NC cluster_not_found"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = through(&subject, &[&format!("http://httpbin.org{path}")]);
        assert_eq!((answer.status(), answer.body.as_str()), (status, body), "{path}");
        assert_eq!(site.heads().len(), sent, "{path}");
        let line = &subject.log(number + 1)[number];
        assert!(line.contains(&format!("\" {logged} ")), "{path}: {line}");
    }
}

#[test]
fn a_request_that_is_held_up_is_read_on_and_its_answer_leaves_the_connection_open() {
    let options = [
        host("httpbin.org", "198.18.0.10"),
        map("198.18.0.10:80", site::nobody()),
    ]
    .concat();
    let routed = routes(
        "httpbin.org",
        &format!(
            "[{{match: [{{uri: {{prefix: /abort}}}}], fault: {{delay: {{percentage: {{value: 100}}, fixedDelay: 100ms}}, abort: {{percentage: {{value: 100}}, httpStatus: 418}}}}, {TO_HTTPBIN}}}, \
              {{match: [{{uri: {{prefix: /own}}}}], fault: {{delay: {{percentage: {{value: 100}}, fixedDelay: 100ms}}}}, {TO_HTTPBIN}}}, \
              {{match: [{{uri: {{prefix: /once}}}}], retries: {{attempts: 0}}, {TO_HTTPBIN}}}, {{{TO_HTTPBIN}}}]"
        ),
    );
    let policy = [mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP"), routed];
    let subject = Subject::start(&policy, &options);
    for path in ["/abort", "/own", "/once", "/again"] {
        let answer = through(&subject, &["-d", "text", &format!("http://httpbin.org{path}")]);
        assert!(!answer.head.contains("connection: close"), "{path}: {}", answer.head);
    }
    for line in subject.log(4).iter().map(|line| shape(line)) {
        // Behind the reason of the failure stands what was received.
        assert!(line.contains("\" 4 "), "{line}");
    }
}

#[test]
fn a_caller_that_leaves_is_in_the_log_before_the_upstream_has_answered() {
    let (subject, site) = routed(&format!("[{{{TO_HTTPBIN}}}]"));
    for ends in [Shutdown::Write, Shutdown::Both] {
        let mut stream = TcpStream::connect(subject.explicit).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let before = site.connections();
        let request = "GET http://httpbin.org/delay/3 HTTP/1.1\r\nhost: httpbin.org\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        eventually("the request at the site", || {
            (site.connections() > before).then_some(())
        });
        stream.shutdown(ends).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "");
    }
    for line in subject.log(2) {
        assert!(line.contains(" 0 DC downstream_remote_disconnect - "), "{line}");
    }
}

#[test]
fn edits_of_a_redirect_see_the_path_with_its_new_prefix() {
    let (subject, _site) = routed(&format!(
        "[{{match: [{{uri: {{prefix: /old}}}}], redirect: {{prefixRewrite: /new}}, headers: {{response: {{set: {{x-p: '%REQ(:path)%'}}}}}}}}, \
          {{match: [{{uri: {{prefix: /all}}}}], redirect: {{uri: /new}}, headers: {{response: {{set: {{x-p: '%REQ(:path)%'}}}}}}}}, {TO_HTTPBIN}]"
    ));
    for (path, to, seen) in [("/old/a?q", "/new/a?q", "/new/a?q"), ("/all/a?q", "/new?q", "/all/a?q")] {
        let head = through(&subject, &[&format!("http://httpbin.org{path}")]).head;
        assert!(
            head.contains(&format!("\r\nlocation: http://httpbin.org{to}\r\n")),
            "{head}"
        );
        assert!(head.contains(&format!("\r\nx-p: {seen}\r\n")), "{head}");
    }
}

#[test]
fn a_retry_prefers_an_address_that_was_not_tried() {
    let site = site::http();
    let options = [
        host("two.example.com", "198.18.0.10"),
        map("198.18.0.11:80", site::nobody()),
        map("198.18.0.12:80", site.address),
        ["--workers".into(), "1".into()],
    ]
    .concat();
    let two = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: two, namespace: default}\nspec:\n  hosts: [two.example.com]\n  ports: [{number: 80, name: p, protocol: HTTP}]\n  resolution: STATIC\n  endpoints: [{address: 198.18.0.11, weight: 3}, {address: 198.18.0.12, weight: 1}]\n";
    // Of four choices one is for who serves: without the preference a retry goes to who refused, in turn.
    let in_turn = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: two, namespace: default}\nspec: {host: two.example.com, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}\n";
    let policy = [
        mesh("REGISTRY_ONLY"),
        two.to_string(),
        in_turn.to_string(),
        routes(
            "two.example.com",
            "[{retries: {attempts: 1, retryOn: connect-failure, backoff: 1ms}, route: [{destination: {host: two.example.com}}]}]",
        ),
    ];
    let subject = Subject::start(&policy, &options);
    let mut again = 0;
    for number in 0..6 {
        let answer = through(&subject, &["http://two.example.com/"]);
        assert_eq!(answer.status(), 200, "request {number}");
        // The site answers with the head that it saw.
        again += usize::from(answer.body.contains("\r\nx-envoy-attempt-count: 2\r\n"));
    }
    assert!(again > 0, "some are led to who refuses first");
}
