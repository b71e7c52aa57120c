//! Copies of requests (`mirror`), as Envoy 1.40 sends them.

use crate::{
    actions::TO_HTTPBIN,
    site,
    subject::{Subject, entry, eventually, host, map, mesh, routes, through},
};

#[test]
fn copies_carry_the_edited_request_and_its_body_and_nobody_waits_for_them() {
    let (site, shadow, never) = (site::http(), site::http(), site::http());
    let options = [
        host("httpbin.org", "198.18.0.10"),
        host("shadow.example.com", "198.18.0.11"),
        host("refuses.example.com", "198.18.0.12"),
        map("198.18.0.10:80", site.address),
        map("198.18.0.11:80", shadow.address),
        map("198.18.0.12:80", site::nobody()),
        host("never.example.com", "198.18.0.13"),
        map("198.18.0.13:80", never.address),
    ]
    .concat();
    let mirrors = "[{destination: {host: shadow.example.com}}, {destination: {host: refuses.example.com}}, \
                    {destination: {host: gone.example.com}}, {destination: {host: never.example.com}, percentage: {value: 0}}]";
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry("httpbin.org", 80, "HTTP"),
        entry("shadow.example.com", 80, "HTTP"),
        entry("refuses.example.com", 80, "HTTP"),
        entry("never.example.com", 80, "HTTP"),
        routes(
            "httpbin.org",
            &format!(
                "[{{rewrite: {{uri: /mm}}, match: [{{uri: {{prefix: /m}}}}], headers: {{request: {{set: {{x-q: '1'}}}}}}, mirrors: {mirrors}, {TO_HTTPBIN}}}]"
            ),
        ),
    ];
    let subject = Subject::start(&policy, &options);
    let body = "x".repeat(200_000);
    let upload = subject.folder.path().join("upload");
    std::fs::write(&upload, &body).unwrap();
    let upload = format!("@{}", upload.display());
    let answer = through(
        &subject,
        &[
            "-H",
            "x-forwarded-for: 1.1.1.1",
            "-H",
            "Expect:",
            "-d",
            &upload,
            "http://httpbin.org/m?q",
        ],
    );
    assert_eq!(answer.status(), 200);
    assert!(
        answer.body.starts_with("POST /mm?q HTTP/1.1\r\n"),
        "the site's own answer: {}",
        answer.body
    );
    let copied = eventually("the copy", || (shadow.last_body() == body).then(|| shadow.last_head()));
    for expected in [
        "POST /mm?q HTTP/1.1\r\n",
        "\r\nhost: httpbin.org\r\n",
        "\r\nx-q: 1\r\n",
        "\r\nx-envoy-internal: true\r\n",
        "\r\nx-forwarded-for: 1.1.1.1,127.0.0.1\r\n",
        "\r\ncontent-length: 200000\r\n",
        "\r\nx-envoy-original-path: /m?q\r\n",
    ] {
        assert!(copied.contains(expected), "{expected:?} in {copied}");
    }
    assert_eq!(site.last_body(), body);
    assert!(!site.last_head().contains("x-envoy-internal"), "{}", site.last_head());
    let again = through(&subject, &["http://httpbin.org/m"]);
    assert_eq!(again.status(), 200);
    let log = subject.log(2);
    assert_eq!(log.len(), 2, "copies are in no log: {log:?}");
    eventually("the second copy", || {
        (shadow.last_head().starts_with("GET ")).then_some(())
    });
    assert_eq!(never.connections(), 0, "a share of 0 % is no copy");
}

#[test]
fn before_istio_1_28_the_host_of_a_copy_ends_with_shadow() {
    let (site, shadow) = (site::http(), site::http());
    let options = [
        host("httpbin.org", "198.18.0.10").to_vec(),
        host("shadow.example.com", "198.18.0.11").to_vec(),
        map("198.18.0.10:80", site.address).to_vec(),
        map("198.18.0.11:80", shadow.address).to_vec(),
        vec!["--istio-version".into(), "1.27".into()],
    ]
    .concat();
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry("httpbin.org", 80, "HTTP"),
        entry("shadow.example.com", 80, "HTTP"),
        routes(
            "httpbin.org",
            &format!("[{{mirrors: [{{destination: {{host: shadow.example.com}}}}], {TO_HTTPBIN}}}]"),
        ),
    ];
    let subject = Subject::start(&policy, &options);
    let answer = through(&subject, &["http://httpbin.org/"]);
    assert!(answer.body.contains("\r\nhost: httpbin.org\r\n"), "{}", answer.body);
    eventually("the copy", || {
        let head = shadow.last_head();
        head.contains("\r\nhost: httpbin.org-shadow\r\n").then_some(())
    });
}
