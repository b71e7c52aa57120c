//! What routes do to requests and responses. The words and the order are Envoy 1.40's, given the same configuration.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    site,
    subject::{Subject, entry, eventually, host, map, mesh, routes, shape, through},
};

/// A sidecar with routes for httpbin.org, and the site behind it.
pub fn routed(http: &str) -> (Subject, site::Site) {
    let site = site::http();
    let options = [host("httpbin.org", "198.18.0.10"), map("198.18.0.10:80", site.address)].concat();
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry("httpbin.org", 80, "HTTP"),
        routes("httpbin.org", http),
    ];
    (Subject::start(&policy, &options), site)
}

pub const TO_HTTPBIN: &str = "route: [{destination: {host: httpbin.org}}]";

#[test]
fn paths_are_rewritten_as_they_were_matched_and_the_log_keeps_the_original() {
    let (subject, site) = routed(&format!(
        "[{{match: [{{uri: {{prefix: /pre}}}}], rewrite: {{uri: /new}}, {TO_HTTPBIN}}}, \
          {{match: [{{uri: {{prefix: /slash/}}}}], rewrite: {{uri: /}}, {TO_HTTPBIN}}}, \
          {{match: [{{uri: {{exact: /exact}}}}], rewrite: {{uri: /whole}}, {TO_HTTPBIN}}}, \
          {{match: [{{uri: {{regex: '/rx.*'}}}}], rewrite: {{uri: /rxnew}}, {TO_HTTPBIN}}}, \
          {{match: [{{uri: {{prefix: /CI}}, ignoreUriCase: true}}], rewrite: {{uri: /cinew}}, {TO_HTTPBIN}}}, \
          {{match: [{{uri: {{prefix: /sub}}}}], rewrite: {{uriRegexRewrite: {{match: '/([a-z]+)/([0-9]+)', rewrite: '/\\2/\\1/\\0\\\\$1'}}}}, {TO_HTTPBIN}}}, \
          {{rewrite: {{uri: /v2}}, {TO_HTTPBIN}}}]"
    ));
    let cases = [
        ("/pre", "/new"),
        ("/pre/x", "/new/x"),
        ("/prefix?q=1", "/newfix?q=1"),
        ("/slash/a", "/a"),
        ("/slash//a", "//a"),
        ("/exact?x=1", "/whole?x=1"),
        ("/rxyz/1?q=2", "/rxnew?q=2"),
        ("/ci/x", "/cinew/x"),
        ("/sub/ab/12?z", "/sub/12/ab//ab/12\\$1?z"),
        ("/get", "/v2get"),
    ];
    for (number, (asked, sent)) in cases.into_iter().enumerate() {
        let answer = through(&subject, &[&format!("http://httpbin.org{asked}")]);
        assert_eq!(answer.status(), 200, "{asked}");
        let seen = site.last_head();
        assert!(seen.starts_with(&format!("GET {sent} HTTP/1.1\r\n")), "{asked}: {seen}");
        assert!(
            seen.contains(&format!("\r\nx-envoy-original-path: {asked}\r\n")),
            "{asked}: {seen}"
        );
        let log = subject.log(number + 1);
        assert!(
            log[number].contains(&format!("\"GET {asked} HTTP/1.1\" 200 ")),
            "{}",
            log[number]
        );
    }
}

#[test]
fn a_rewritten_host_is_what_the_site_and_the_log_see() {
    for rewrite in [
        "rewrite: {authority: 'new.com:81'}",
        "headers: {request: {set: {Host: 'new.com:81'}}}",
    ] {
        let (subject, site) = routed(&format!("[{{{rewrite}, {TO_HTTPBIN}}}]"));
        through(&subject, &["http://httpbin.org/x"]);
        let seen = site.last_head();
        assert!(seen.contains("\r\nhost: new.com:81\r\n"), "{seen}");
        assert!(seen.contains("\r\nx-envoy-original-host: httpbin.org\r\n"), "{seen}");
        assert!(
            subject.log(1)[0].contains(" \"new.com:81\" \"198.18.0.10:80\" "),
            "{:?}",
            subject.log(1)
        );
    }
}

#[test]
fn headers_are_removed_set_and_added_in_envoys_order_with_operators_filled_in() {
    let (subject, site) = routed(&format!(
        "[{{name: edited, headers: {{request: {{\
            set: {{x-a: set, user-agent: edited, x-own: '', x-g: 'a%REQ(absent)%b', x-two: '%REQ(absent?:METHOD)%', x-host: '%HOSTNAME%'}}, \
            add: {{x-a: add, x-c: '%REQ(x-own)%', x-d: '%REQ(absent)%', x-e: '100%%', x-envoy-attempt-count: '77', \
                   x-f: '%PROTOCOL% %UPSTREAM_CLUSTER% %ROUTE_NAME% %REQ(:path)% %REQ(:authority)% %DOWNSTREAM_LOCAL_ADDRESS%'}}, \
            remove: [x-rem, x-request-id]}}, \
          response: {{set: {{x-h: '%HOSTNAME% %START_TIME(begun %% %Z)%', x-n: '%RESP(content-length)% %RESPONSE_CODE% %REQ(x-own)% %RESP(absent)%', server: mine}}, \
            add: {{x-envoy-upstream-service-time: mine, x-up: '3'}}, remove: [X-Site]}}}}, \
          {TO_HTTPBIN}}}]"
    ));
    let answer = through(
        &subject,
        &[
            "-H",
            "x-own: mine",
            "-H",
            "x-a: client",
            "-H",
            "x-rem: 1",
            "http://httpbin.org/hdr",
        ],
    );
    let seen = site.last_head();
    let lines = |name: &str| -> Vec<&str> {
        seen.lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .collect()
    };
    assert_eq!(lines("x-a"), ["set", "add"], "{seen}");
    assert_eq!(lines("user-agent"), ["edited"]);
    assert_eq!(lines("x-own"), ["mine"], "an empty value is no edit");
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(lines("x-host"), [hostname.trim()]);
    assert!(
        answer
            .head
            .contains(&format!("\r\nx-h: {} begun % UTC", hostname.trim())),
        "{}",
        answer.head
    );
    assert_eq!((lines("x-g"), lines("x-two")), (vec!["ab"], vec!["GET"]));
    assert_eq!(
        (lines("x-c"), lines("x-d"), lines("x-e")),
        (vec!["mine"], vec![], vec!["100%"])
    );
    assert_eq!(lines("x-envoy-attempt-count"), ["1,77"], "one line, as Envoy keeps it");
    assert_eq!(
        lines("x-f"),
        ["HTTP/1.1 outbound|80||httpbin.org edited /hdr httpbin.org 198.18.0.10:80"]
    );
    assert_eq!((lines("x-rem"), lines("x-request-id")), (vec![], vec![]));
    let head = &answer.head;
    let length = answer.body.len();
    assert!(head.contains(&format!("\r\nx-n: {length} 200 mine")), "{head}");
    assert!(
        head.contains("\r\nserver: envoy") && head.contains("\r\nx-up: 3"),
        "{head}"
    );
    assert!(head.contains(",mine"), "{head}");
    assert!(!head.to_lowercase().contains("x-site"), "{head}");
    assert!(
        shape(&subject.log(1)[0]).contains("\"edited\" \"-\" \"httpbin.org\""),
        "the log shows the request as it was sent: {:?}",
        subject.log(1)
    );
}

#[test]
fn edits_of_one_of_several_destinations_come_before_those_of_the_route() {
    let (subject, site) = routed(
        "[{headers: {request: {add: {x-a: r, x-own: r}, set: {x-s: r}}, response: {add: {x-r: r}, set: {x-rs: r}}}, \
           route: [{destination: {host: httpbin.org}, weight: 100, headers: {\
              request: {add: {x-a: w}, set: {x-s: w, host: weighted.com}, remove: [x-own]}, response: {add: {x-r: w}, set: {x-rs: w}}}}, \
             {destination: {host: other.example.com}, weight: 0}]}]",
    );
    let answer = through(
        &subject,
        &["-H", "x-a: c", "-H", "x-s: c", "-H", "x-own: c", "http://httpbin.org/"],
    );
    let seen = site.last_head();
    for expected in [
        "\r\nx-a: c\r\nx-a: w\r\nx-a: r\r\n",
        "\r\nx-s: r\r\n",
        "\r\nx-own: r\r\n",
        "\r\nhost: weighted.com\r\n",
    ] {
        assert!(seen.contains(expected), "{expected:?} in {seen}");
    }
    assert!(!seen.contains("x-envoy-original-host"), "{seen}");
    assert!(answer.head.contains("\r\nx-r: w\r\nx-r: r"), "{}", answer.head);
    assert!(answer.head.contains("\r\nx-rs: r"), "{}", answer.head);
}

#[test]
fn edits_of_responses_hold_for_answers_of_the_sidecar_too() {
    let edits = "headers: {response: {set: {x-r: '%REQ(user-agent)% %RESPONSE_CODE%', server: mine}, remove: [date]}}";
    let (subject, site) = routed(&format!(
        "[{{match: [{{uri: {{prefix: /direct}}}}], directResponse: {{status: 403, body: {{string: 'no'}}}}, {edits}}}, \
          {{match: [{{uri: {{prefix: /redirect}}}}], redirect: {{uri: /r}}, {edits}}}, \
          {{match: [{{uri: {{prefix: /gone}}}}], route: [{{destination: {{host: gone.example.com}}}}], {edits}}}, \
          {{timeout: 1s, {TO_HTTPBIN}, {edits}}}]"
    ));
    for (path, status, body) in [
        ("/direct", 403, "no"),
        ("/redirect", 301, ""),
        ("/gone", 503, ""),
        ("/delay/5", 504, "upstream request timeout"),
    ] {
        let answer = through(&subject, &[&format!("http://httpbin.org{path}")]);
        assert_eq!((answer.status(), answer.body.as_str()), (status, body), "{path}");
        for line in [
            &*format!("\r\nx-r: curl/test {status}"),
            "\r\nserver: envoy",
            "\r\ndate: ",
        ] {
            assert!(answer.head.contains(line), "{line:?} in {}", answer.head);
        }
    }
    let strange = ["-H", "connection: upgrade", "-H", "upgrade: strange"];
    let refused = through(&subject, &[&strange[..], &["http://httpbin.org/"]].concat());
    assert!(refused.head.contains("\r\nx-r: curl/test 403\r\n"), "{}", refused.head);
    drop(site);
}

#[test]
fn faults_abort_and_delay_with_envoys_flags() {
    let (subject, site) = routed(&format!(
        "[{{match: [{{uri: {{prefix: /abort}}}}], fault: {{abort: {{percentage: {{value: 100}}, httpStatus: 418}}}}, {TO_HTTPBIN}}}, \
          {{match: [{{uri: {{prefix: /both}}}}], fault: {{delay: {{percentage: {{value: 100}}, fixedDelay: 10ms}}, abort: {{percentage: {{value: 100}}, httpStatus: 503}}}}, {TO_HTTPBIN}}}, \
          {{match: [{{uri: {{prefix: /never}}}}], fault: {{abort: {{httpStatus: 418}}}}, {TO_HTTPBIN}}}, \
          {{fault: {{delay: {{percentage: {{value: 100}}, fixedDelay: 1500ms}}}}, timeout: 1s, {TO_HTTPBIN}}}]"
    ));
    let ask = |path: &str| {
        let answer = through(&subject, &[&format!("http://httpbin.org{path}")]);
        (answer.status(), answer.body)
    };
    assert_eq!(ask("/abort"), (418, "fault filter abort".into()));
    assert_eq!(ask("/both"), (503, "fault filter abort".into()));
    assert_eq!(site.connections(), 0, "an aborted request reaches no site");
    assert_eq!(
        ask("/never").0,
        200,
        "a fault without a percentage holds for no request"
    );
    assert_eq!(ask("/headers").0, 200, "a delay is no part of the timeout");
    assert_eq!(ask("/delay/5").0, 504);
    let log: Vec<String> = subject.log(5).iter().map(|line| shape(line)).collect();
    assert_eq!(
        log[0],
        "[TIME] \"GET /abort HTTP/1.1\" 418 FI fault_filter_abort - \"-\" 0 18 MS - \"-\" \"curl/test\" \"ID\" \"httpbin.org\" \"-\" outbound|80||httpbin.org - 198.18.0.10:80 LOCAL - -"
    );
    for (line, expected) in [
        (&log[1], " 503 DI,FI fault_filter_abort "),
        (&log[2], " 200 - via_upstream "),
        (&log[3], " 200 DI via_upstream "),
        (&log[4], " 504 DI,UT response_timeout "),
    ] {
        assert!(line.contains(expected), "{expected} in {line}");
    }
}

#[test]
fn cross_origin_requests_are_answered_as_the_policy_says() {
    let (subject, site) = routed(&format!(
        "[{{match: [{{uri: {{prefix: /ignore}}}}], corsPolicy: {{allowOrigins: [{{exact: 'http://a.com'}}], unmatchedPreflights: IGNORE}}, {TO_HTTPBIN}}}, \
          {{corsPolicy: {{allowOrigins: [{{exact: 'http://a.com'}}, {{regex: 'http://r.*'}}], allowMethods: [GET, POST], allowHeaders: [x-h], exposeHeaders: [x-e], maxAge: 24h, allowCredentials: true}}, {TO_HTTPBIN}}}]"
    ));
    let ask = |path: &str, origin: &str, preflight: bool| {
        let (url, origin) = (format!("http://httpbin.org{path}"), format!("Origin: {origin}"));
        let mut arguments = vec!["-H", &origin];
        if preflight {
            arguments.extend(["-X", "OPTIONS", "-H", "Access-Control-Request-Method: GET"]);
        }
        arguments.push(&url);
        let answer = through(&subject, &arguments);
        assert_eq!(answer.status(), 200);
        let lines = answer.head.lines().filter(|line| line.starts_with("access-control-"));
        let mut lines: Vec<String> = lines.map(|line| line["access-control-".len()..].to_string()).collect();
        lines.sort();
        (lines, answer.body.is_empty())
    };
    let actual = [
        "allow-credentials: true",
        "allow-origin: http://a.com",
        "expose-headers: x-e",
    ];
    let preflight = [
        "allow-credentials: true",
        "allow-headers: x-h",
        "allow-methods: GET,POST",
        "allow-origin: http://a.com",
        "expose-headers: x-e",
        "max-age: 86400",
    ];
    assert_eq!(
        ask("/cors", "http://a.com", true),
        (preflight.map(String::from).to_vec(), true)
    );
    assert_eq!(ask("/ignore", "nope", true), (vec![], true), "answered, without leave");
    assert_eq!(site.connections(), 0, "preflights reach no site");
    assert_eq!(
        ask("/cors", "http://a.com", false),
        (actual.map(String::from).to_vec(), false)
    );
    assert_eq!(ask("/cors", "http://rx", false).0[1], "allow-origin: http://rx");
    assert_eq!(
        ask("/cors", "http://A.com", false),
        (vec![], false),
        "origins are told apart by case"
    );
    assert_eq!(
        ask("/cors", "nope", true),
        (vec![], false),
        "another origin's preflight is the site's to answer"
    );
    assert!(
        shape(&subject.log(1)[0]).contains("\"OPTIONS /cors HTTP/1.1\" 200 - cors_response "),
        "{:?}",
        subject.log(1)
    );
}

#[test]
fn the_routes_time_ends_an_answer_that_its_caller_has_stopped_reading() {
    let (subject, site) = routed(&format!("[{{timeout: 1s, {TO_HTTPBIN}}}]"));
    let mut caller = TcpStream::connect(subject.explicit).unwrap();
    write!(
        caller,
        "GET http://httpbin.org/bytes/50000000 HTTP/1.1\r\nhost: httpbin.org\r\n\r\n"
    )
    .unwrap();
    let mut begun = [0; 12];
    caller.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let line = &subject.log(1)[0];
    assert!(line.contains(" 200 UT response_timeout "), "{line}");
    eventually("the end of the site's connection", || (site.open() == 0).then_some(()));
    drop(caller);
}
