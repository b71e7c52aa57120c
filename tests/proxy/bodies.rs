//! Where requests and responses end, and what is believed of what a proxy before says of them, as it was seen of Envoy on a
//! live mesh (`make fidelity`).

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use h2::Reason;

use crate::{
    actions::{TO_HTTPBIN, routed},
    site,
    streams::{Caller, get, run},
    subject::{PATIENCE, Subject, entry, host, map, mesh, routes, through},
};

/// What comes back for `request`, up to where its sender closes or the head ends.
fn raw(subject: &Subject, request: &str) -> String {
    let mut stream = TcpStream::connect(subject.explicit).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_request_has_ended_with_its_trailers() {
    let site = site::http();
    let rules = format!(
        "[{{match: [{{uri: {{prefix: /delay}}}}], timeout: 300ms, {TO_HTTPBIN}}}, \
          {{retries: {{attempts: 2, retryOn: 5xx}}, {TO_HTTPBIN}}}]"
    );
    let options = [
        host("httpbin.org", "198.18.0.10").to_vec(),
        map("198.18.0.10:80", site.address).to_vec(),
        vec!["--workers".into(), "1".into()],
    ];
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry("httpbin.org", 80, "HTTP"),
        routes("httpbin.org", &rules),
    ];
    let subject = Subject::start(&policy, &options.concat());
    // On a connection that is open nothing is read ahead.
    assert_eq!(through(&subject, &["http://httpbin.org/"]).status(), 200);
    let ask = |path: &str| {
        let request = format!(
            "POST http://httpbin.org{path} HTTP/1.1\r\nhost: httpbin.org\r\ntransfer-encoding: chunked\r\n\r\n\
             4\r\ntext\r\n0\r\nx-end: 1\r\n\r\n"
        );
        raw(&subject, &request)
    };
    let failed = ask("/status/503");
    assert!(failed.starts_with("HTTP/1.1 503 "), "{failed}");
    let seen = site.last_head();
    assert!(seen.contains("\r\nx-envoy-attempt-count: 3\r\n"), "{seen}");
    assert_eq!(site.last_body(), "text");
    // The time that a route gives runs from the end of the request.
    let late = ask("/delay/5");
    assert!(late.starts_with("HTTP/1.1 504 "), "{late}");
}

#[test]
fn an_answer_without_a_body_is_whole() {
    let (subject, _site) = routed(&format!(
        "[{{match: [{{uri: {{prefix: /own}}}}], directResponse: {{status: 418, body: {{string: tea}}}}}}, \
          {{match: [{{uri: {{prefix: /bare}}}}], directResponse: {{status: 502}}}}, {{{TO_HTTPBIN}}}]"
    ));
    for (number, (path, lines, logged)) in [
        (
            "/own",
            "content-length: 3\r\ncontent-type: text/plain\r\n",
            "418 - direct_response",
        ),
        ("/bare", "server: envoy\r\n", "502 - direct_response"),
        ("/headers", "content-length: ", "200 - via_upstream"),
    ]
    .into_iter()
    .enumerate()
    {
        let head = raw(
            &subject,
            &format!("HEAD http://httpbin.org{path} HTTP/1.1\r\nhost: httpbin.org\r\n\r\n"),
        );
        assert!(head.to_lowercase().contains(lines), "{path}: {head}");
        let line = &subject.log(number + 1)[number];
        assert!(line.contains(&format!("\" {logged} ")), "{path}: {line}");
    }
}

#[test]
fn an_upgrade_that_is_declined_ends_the_connection_and_only_failures_are_passed_on_whole() {
    let (subject, _site) = routed(&format!("[{{{TO_HTTPBIN}}}]"));
    for (number, (path, status, details)) in [
        ("/headers", "200 OK", "200 - websocket_handshake_unsuccessful"),
        (
            "/status/301",
            "301 Moved Permanently",
            "301 - websocket_handshake_unsuccessful",
        ),
        ("/status/404", "404 Not Found", "404 - via_upstream"),
    ]
    .into_iter()
    .enumerate()
    {
        let head = raw(
            &subject,
            &format!(
                "GET http://httpbin.org{path} HTTP/1.1\r\nhost: httpbin.org\r\nconnection: upgrade\r\nupgrade: \
                 websocket\r\n\r\n"
            ),
        );
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{path}: {head}");
        let head = head.to_lowercase();
        for line in ["x-site: 1", "server: envoy", "connection: close", "content-length: 0"] {
            assert!(head.lines().any(|own| own == line), "{path}: {line}: {head}");
        }
        assert!(!head.contains("x-envoy-upstream-service-time"), "{path}: {head}");
        let line = &subject.log(number + 1)[number];
        assert!(line.contains(&format!("\" {details} ")), "{path}: {line}");
    }
}

#[test]
fn a_body_that_breaks_off_is_no_http_and_what_came_of_it_is_passed_on() {
    let site = site::breaks_off();
    let options = [host("httpbin.org", "198.18.0.10"), map("198.18.0.10:80", site.address)].concat();
    let policy = [mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")];
    let subject = Subject::start(&policy, &options);
    assert_eq!(through(&subject, &["http://httpbin.org/"]).body, "se");
    for _ in 0..20 {
        run(async {
            let mut caller = Caller::connect(subject.explicit, "198.18.0.10:80").await;
            let (response, _send) = caller.begin(get("http://httpbin.org/"), true).await.unwrap();
            let mut body = response.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "se");
            let end = body.data().await.unwrap().unwrap_err();
            assert_eq!(end.reason(), Some(Reason::INTERNAL_ERROR));
        });
    }
    for line in subject.log(21) {
        let broken = " 200 UPE upstream_reset_after_response_started{protocol_error} - \"-\" 0 2 ";
        assert!(line.contains(broken), "{line}");
    }
}

#[test]
fn the_log_names_the_caller_that_the_last_proxy_before_has_forwarded_for() {
    let (subject, _site) = routed(&format!("[{{{TO_HTTPBIN}}}]"));
    for (number, (forwarded, logged)) in [
        ("198.51.100.1, 203.0.113.7", " 203.0.113.7:0 "),
        ("2001:db8::1", " [2001:db8::1]:0 "),
        ("somebody", " 127.0.0.1:"),
    ]
    .into_iter()
    .enumerate()
    {
        let header = format!("x-forwarded-for: {forwarded}");
        assert_eq!(through(&subject, &["-H", &header, "http://httpbin.org/"]).status(), 200);
        let line = &subject.log(number + 1)[number];
        assert!(line.contains(logged), "{line}");
    }
}

#[test]
fn a_request_has_the_scheme_that_the_proxy_before_tells() {
    let (subject, _site) = routed(&format!(
        "[{{match: [{{scheme: {{exact: https}}}}], redirect: {{uri: /secure}}}}, {{{TO_HTTPBIN}}}]"
    ));
    let told = |scheme: &str| {
        let header = format!("x-forwarded-proto: {scheme}");
        through(&subject, &["-H", &header, "http://httpbin.org/"])
    };
    assert_eq!(told("http").status(), 200);
    let redirected = told("https").head;
    assert!(
        redirected.contains("\r\nlocation: https://httpbin.org/secure\r\n"),
        "{redirected}"
    );
}
