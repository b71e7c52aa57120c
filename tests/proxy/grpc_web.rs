//! gRPC-Web, which is made into gRPC where a service's port is declared so. The words are Envoy 1.40's, with its filter and
//! the same configuration.

use crate::{
    http2::{TO_IT, behind, routed, serving, url},
    streams::Site,
    subject::{Curl, Subject, curl, entry},
};

const BINARY: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";

/// A call over HTTP/1.1, as browsers make it.
fn call(subject: &Subject, path: &str, headers: &[&str], body: &str) -> Curl {
    let proxy = format!("http://{}", subject.explicit);
    let headers: Vec<&str> = headers.iter().flat_map(|line| ["-H", line]).collect();
    let through = ["--proxytunnel", "--proxy", &proxy, "--data-binary", body, &url(path)];
    curl(&[&headers[..], &through].concat())
}

fn kind(kind: &str) -> String {
    format!("content-type: {kind}")
}

/// Lines of a head whose names begin with one of these, in order.
fn lines<'a>(answer: &'a Curl, names: &[&str]) -> Vec<&'a str> {
    let is_asked = |line: &&str| names.iter().any(|name| line.starts_with(name));
    let mut lines: Vec<&str> = answer.head.lines().filter(is_asked).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_call_arrives_as_one_of_grpc_and_its_trailers_come_back_as_a_message() {
    let (subject, site) = serving("GRPC-Web", &[]);
    let answer = call(&subject, "/echo", &[&kind(TEXT)], "AAAAAANhYmM=");
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(
        lines(&answer, &["content-", "transfer-", "grpc-"]),
        ["content-type: application/grpc-web+proto", "transfer-encoding: chunked"]
    );
    // Behind the message's flag, which is no UTF-8, stand its length and the trailers.
    assert_eq!(answer.body, "\0\0\0\0\x03abc\u{fffd}\0\0\0\x0fgrpc-status:0\r\n");
    let asked = &site.asked()[0];
    let text = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(
        ["content-type", "te", "grpc-accept-encoding", "content-length"].map(text),
        [Some("application/grpc"), Some("trailers"), Some("identity"), None]
    );
    let line = &subject.log(1)[0];
    assert!(line.contains(" HTTP/1.1\" 200 - via_upstream - \"-\" 12 28 "), "{line}");
}

#[test]
fn who_accepts_base64_is_answered_in_it() {
    let (subject, site) = serving("GRPC-Web", &[]);
    let accept = format!("accept: {TEXT}+proto");
    let headers = [&*kind(TEXT), &accept, "grpc-accept-encoding: gzip"];
    let answer = call(&subject, "/echo", &headers, "AAAAAANhYmM=");
    assert_eq!(
        lines(&answer, &["content-"]),
        ["content-type: application/grpc-web-text+proto"]
    );
    assert_eq!(answer.body, "AAAAAANhYmM=gAAAAA9ncnBjLXN0YXR1czowDQo=");
    assert_eq!(site.asked()[0].headers["grpc-accept-encoding"], "gzip");
    let gone = call(&subject, "/status/5", &[&kind(BINARY), &accept], "");
    assert_eq!(
        lines(&gone, &["content-", "grpc-", "transfer-"]),
        [
            "content-length: 0",
            "content-type: application/grpc-web-text+proto",
            "grpc-status: 5"
        ]
    );
}

#[test]
fn an_answer_that_is_none_of_grpc_is_told_in_a_head() {
    let respond = "directResponse: {status: 418, body: {string: \"100 %\\n\"}}";
    let fault = "fault: {abort: {percentage: {value: 100}, httpStatus: 403}}";
    let edit = "headers: {response: {set: {x-edit: edited}}}";
    let matched = |prefix: &str, rest: &str| format!("{{match: [{{uri: {{prefix: {prefix}}}}}], {rest}}}");
    let routes = [
        matched("/hang", &format!("timeout: 0.2s, {TO_IT}")),
        matched("/teapot", respond),
        matched("/forbidden", &format!("{fault}, {TO_IT}")),
        matched("/plain", &format!("{edit}, {TO_IT}")),
        matched("/reset", TO_IT),
    ];
    let (subject, _site) = serving("GRPC-Web", &[routed(&format!("[{}]", routes.join(", ")))]);
    let reset = "upstream connect error or disconnect/reset before headers. reset reason: remote reset";
    let cases = [
        ("/plain", 200, "2", "two", "- via_upstream"),
        ("/hang", 504, "14", "upstream request timeout", "UT response_timeout"),
        ("/teapot", 418, "2", "100 %25%0A", "- direct_response"),
        ("/forbidden", 403, "7", "fault filter abort", "FI fault_filter_abort"),
        (
            "/reset/2",
            503,
            "14",
            reset,
            "UR upstream_reset_before_response_started{remote_reset}",
        ),
    ];
    for (number, (path, status, code, message, logged)) in cases.into_iter().enumerate() {
        let answer = call(&subject, path, &[&kind(BINARY)], "abc");
        assert_eq!((answer.status(), &*answer.body), (status, ""), "{answer:?}");
        let expected = [
            "content-length: 0",
            "content-type: application/grpc-web+proto",
            &format!("grpc-message: {message}"),
            &format!("grpc-status: {code}"),
        ];
        assert_eq!(lines(&answer, &["content-", "grpc-", "transfer-"]), expected);
        let line = &subject.log(number + 1)[number];
        assert!(line.contains(&format!(" HTTP/1.1\" {status} {logged} ")), "{line}");
    }
    // One that breaks off before it is told, and one that takes too long, are as to everyone else.
    let (subject, _site) = serving(
        "GRPC-Web",
        &[routed(&format!(
            "[{{timeout: 0.3s, retries: {{attempts: 0}}, {TO_IT}}}]"
        ))],
    );
    let reset = "upstream connect error or disconnect/reset before headers. reset reason: remote reset";
    let cut = call(&subject, "/cut/2", &[&kind(BINARY)], "abc");
    assert_eq!((cut.status(), &*cut.body), (503, reset), "{cut:?}");
    let stalled = call(&subject, "/stall", &[&kind(BINARY)], "abc");
    assert_eq!(
        (stalled.status(), &*stalled.body),
        (504, "upstream request timeout"),
        "{stalled:?}"
    );
    let lines = subject.log(2);
    assert!(
        lines[0].contains(" 503 UR upstream_reset_after_response_started{remote_reset} "),
        "{lines:?}"
    );
    assert!(lines[1].contains(" 504 UT response_timeout "), "{lines:?}");
}

#[test]
fn an_answer_without_a_body_says_nothing_of_grpc() {
    let (subject, _site) = serving(
        "GRPC-Web",
        &[routed(&format!("[{{match: [{{uri: {{prefix: /echo}}}}], {TO_IT}}}]"))],
    );
    let nowhere = call(&subject, "/nowhere", &[&kind(BINARY)], "abc");
    assert_eq!(
        (nowhere.status(), lines(&nowhere, &["content-", "grpc-"])),
        (
            404,
            vec!["content-length: 0", "content-type: application/grpc-web+proto"]
        )
    );
}

#[test]
fn what_is_no_base64_is_refused() {
    let (subject, _site) = serving("GRPC-Web", &[]);
    let cases = [
        ("AAAAAANhYmM", "grpc_base_64_decode_failed_bad_size"),
        ("!!!!", "grpc_base_64_decode_failed"),
        ("QQ==QUJD", "grpc_base_64_decode_failed"),
    ];
    for (number, (body, details)) in cases.into_iter().enumerate() {
        let answer = call(&subject, "/echo", &[&kind(TEXT)], body);
        assert_eq!(answer.status(), 400, "{answer:?}");
        assert_eq!(
            lines(&answer, &["connection", "content-", "grpc-"]),
            [
                "connection: close",
                "content-length: 0",
                "content-type: application/grpc-web+proto",
                "grpc-message: Bad gRPC-web request, invalid base64 data.",
                "grpc-status: 13",
            ]
        );
        let line = &subject.log(number + 1)[number];
        assert!(
            line.contains(&format!(" 400 - {details} - \"-\" {} 0 ", body.len())),
            "{line}"
        );
    }
}

#[test]
fn only_the_four_content_types_are_grpc_web_and_only_where_it_is_declared() {
    let passes = |subject: &Subject, site: &Site, kind: &str| {
        let answer = call(subject, "/echo", &[&self::kind(kind)], "abc");
        assert_eq!((answer.status(), &*answer.body), (200, "abc"), "{answer:?}");
        assert_eq!(site.asked().last().unwrap().headers["content-type"], kind);
    };
    let (subject, site) = serving("GRPC-Web", &[]);
    for kind in [
        "application/grpc-web; charset=x",
        "Application/grpc-web",
        "application/grpc-web+json",
    ] {
        passes(&subject, &site, kind);
    }
    let (subject, site) = serving("GRPC", &[]);
    passes(&subject, &site, BINARY);
    // Istio: what the service says that comes first on a port holds for all of it.
    let site = Site::start(100);
    let other = entry("other.example.com", 80, "GRPC-Web");
    let later = behind(&site, "GRPC", std::slice::from_ref(&other));
    passes(&later, &site, BINARY);
}
