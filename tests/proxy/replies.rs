//! Attempts and answers of the sidecar's own, as they were seen of Envoy on a live mesh (`make fidelity`).

use crate::{
    actions::{TO_HTTPBIN, routed},
    subject::through,
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
          {{match: [{{uri: {{prefix: /own}}}}], directResponse: {{status: 418, body: {{string: tea}}}}}}, {TO_HTTPBIN}]"
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
    ] {
        assert_eq!(
            names(&arguments),
            (status.into(), expected.iter().map(ToString::to_string).collect())
        );
    }
}
