//! The sidecar as an HTTP proxy: no root, no namespace.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    site,
    subject::{PATIENCE, Subject, entry, eventually, host, map, mesh, shape, through, timeout},
};

#[test]
fn http_is_decided_request_by_request_on_one_connection() {
    let site = site::http();
    let options = [
        host("httpbin.org", "198.18.0.10"),
        host("other.example.com", "198.18.0.11"),
        map("198.18.0.10:80", site.address),
        map("198.18.0.11:80", site.address),
    ]
    .concat();
    let subject = Subject::start(&[mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")], &options);
    let mut proxy = TcpStream::connect(subject.explicit).unwrap();
    proxy.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut ask = |name: &str| {
        write!(
            proxy,
            "GET http://{name}/headers HTTP/1.1\r\nHost: {name}\r\nUser-Agent: raw\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        // Both answers end with an empty line.
        while !(answer.ends_with(b"\r\n\r\n")
            && answer.windows(4).filter(|end| end == b"\r\n\r\n").count() >= ends(&answer))
        {
            let mut byte = [0];
            assert_eq!(
                proxy.read(&mut byte).unwrap(),
                1,
                "closed after {}",
                String::from_utf8_lossy(&answer)
            );
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    };
    let allowed = ask("httpbin.org");
    let blocked = ask("other.example.com");
    let again = ask("httpbin.org");
    assert!(allowed.starts_with("HTTP/1.1 200 OK\r\n"), "{allowed}");
    assert!(again.starts_with("HTTP/1.1 200 OK\r\n"), "{again}");
    assert!(blocked.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{blocked}");
    assert!(
        blocked.contains("content-length: 0\r\n") && blocked.contains("server: envoy\r\n"),
        "{blocked}"
    );
    assert!(blocked.contains("date: "), "{blocked}");
    assert_eq!(site.connections(), 1, "the upstream connection is kept");
    let log = subject.log(3);
    assert_eq!(
        shape(&log[0]),
        format!(
            "[TIME] \"GET /headers HTTP/1.1\" 200 - via_upstream - \"-\" 0 {} MS MS \"-\" \"raw\" \"ID\" \"httpbin.org\" \"198.18.0.10:80\" outbound|80||httpbin.org LOCAL 198.18.0.10:80 LOCAL - default",
            allowed.split_once("\r\n\r\n").unwrap().1.len()
        )
    );
    assert_eq!(
        shape(&log[1]),
        "[TIME] \"GET /headers HTTP/1.1\" 502 - direct_response - \"-\" 0 0 MS - \"-\" \"raw\" \"ID\" \"other.example.com\" \"-\" - - 198.18.0.11:80 LOCAL - block_all"
    );
}

/// Empty lines in an answer: one ends its head, a second one its body where the site echoes a head.
fn ends(answer: &[u8]) -> usize {
    if answer.starts_with(b"HTTP/1.1 200") { 2 } else { 1 }
}

#[test]
fn the_site_sees_what_envoy_adds_and_nothing_that_belongs_to_one_connection() {
    let site = site::http();
    let options = [host("httpbin.org", "198.18.0.10"), map("198.18.0.10:80", site.address)].concat();
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry("httpbin.org", 80, "HTTP"),
        timeout("httpbin.org", "3s"),
    ];
    let subject = Subject::start(&policy, &options);
    let answer = through(
        &subject,
        &[
            "-H",
            "X-Envoy-Max-Retries: 9",
            "-H",
            "X-Own: Kept",
            "-H",
            "Connection: X-Own-Hop",
            "-H",
            "X-Own-Hop: 1",
            "http://httpbin.org/a/../headers",
        ],
    );
    assert_eq!((answer.exit, answer.status()), (0, 200));
    let seen = site.last_head();
    assert!(seen.starts_with("GET /headers HTTP/1.1\r\n"), "{seen}");
    for expected in [
        "\r\nhost: httpbin.org\r\n",
        "\r\nx-own: Kept\r\n",
        "\r\nx-forwarded-proto: http\r\n",
        "\r\nx-request-id: ",
        "\r\nx-envoy-decorator-operation: httpbin.org:80/*\r\n",
        "\r\nx-envoy-expected-rq-timeout-ms: 3000\r\n",
        "\r\nx-envoy-attempt-count: 1\r\n",
    ] {
        assert!(seen.contains(expected), "{expected:?} in {seen}");
    }
    for unexpected in ["x-envoy-max-retries", "x-own-hop", "connection", "\r\nHost"] {
        assert!(!seen.contains(unexpected), "{unexpected:?} in {seen}");
    }
    assert!(answer.head.starts_with("HTTP/1.1 200 OK\r\n"), "{}", answer.head);
    assert!(answer.head.contains("server: envoy") && answer.head.contains("x-envoy-upstream-service-time: "));
    assert!(!answer.head.contains("Server: site"), "{}", answer.head);
}

#[test]
fn a_timeout_of_the_policy_answers_504() {
    let site = site::http();
    let options = [host("httpbin.org", "198.18.0.10"), map("198.18.0.10:80", site.address)].concat();
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry("httpbin.org", 80, "HTTP"),
        timeout("httpbin.org", "1s"),
    ];
    let subject = Subject::start(&policy, &options);
    let answer = through(&subject, &["http://httpbin.org/delay/5"]);
    assert_eq!(
        (answer.status(), answer.body.as_str()),
        (504, "upstream request timeout")
    );
    assert_eq!(
        shape(&subject.log(1)[0]),
        "[TIME] \"GET /delay/5 HTTP/1.1\" 504 UT response_timeout - \"-\" 0 24 MS - \"-\" \"curl/test\" \"ID\" \"httpbin.org\" \"198.18.0.10:80\" outbound|80||httpbin.org LOCAL 198.18.0.10:80 LOCAL - -"
    );
}

#[test]
fn an_upstream_that_refuses_or_hangs_up_is_told_in_envoys_words() {
    let hangs_up = site::hangs_up();
    let options = [
        host("refuses.example.com", "198.18.0.10"),
        host("hangs-up.example.com", "198.18.0.11"),
        map("198.18.0.10:80", site::nobody()),
        map("198.18.0.11:80", hangs_up.address),
    ]
    .concat();
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry("refuses.example.com", 80, "HTTP"),
        entry("hangs-up.example.com", 80, "HTTP"),
        entry("no-address.example.com", 80, "HTTP"),
    ];
    let subject = Subject::start(&policy, &options);
    let refused = through(&subject, &["http://refuses.example.com/"]);
    assert_eq!(refused.status(), 503);
    assert_eq!(
        refused.body,
        "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure"
    );
    let hung_up = through(&subject, &["http://hangs-up.example.com/"]);
    assert_eq!(hung_up.status(), 503);
    assert!(
        hung_up.body.ends_with("reset reason: connection termination"),
        "{}",
        hung_up.body
    );
    let log = subject.log(2);
    assert!(
        log[0].contains(
            "503 URX,UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused} - \"delayed_connect_error:_Connection_refused\""
        ),
        "{}",
        log[0]
    );
    assert!(
        log[1].contains(" upstream_reset_before_response_started{connection_termination} "),
        "{}",
        log[1]
    );
}

#[test]
fn a_tunnel_is_decided_by_its_sni_and_not_by_the_name_of_connect() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("site.pem");
    let site = site::https(&["www.google.com", "edition.cnn.com"], &trust);
    let options = [
        host("www.google.com", "198.18.0.20"),
        host("edition.cnn.com", "198.18.0.30"),
        map("198.18.0.20:443", site.address),
        map("198.18.0.30:443", site.address),
    ]
    .concat();
    let subject = Subject::start(
        &[mesh("REGISTRY_ONLY"), entry("www.google.com", 443, "HTTPS")],
        &options,
    );
    let trust = ["--cacert", trust.to_str().unwrap()];
    let allowed = through(&subject, &[&trust[..], &["https://www.google.com/headers"]].concat());
    assert_eq!((allowed.exit, allowed.status()), (0, 200), "{allowed:?}");
    assert!(allowed.head.contains("Server: site"), "the sidecar cannot look into it");
    let blocked = through(&subject, &[&trust[..], &["https://edition.cnn.com/"]].concat());
    assert_eq!(blocked.exit, 35, "{blocked:?}");
    let log = subject.log(2);
    let bytes: Vec<&str> = log[0].split(' ').collect();
    assert!(
        bytes[9].parse::<u64>().unwrap() > 200 && bytes[10].parse::<u64>().unwrap() > 500,
        "{}",
        log[0]
    );
    assert_eq!(
        shape(&log[1]),
        "[TIME] \"- - -\" 0 UH - - \"-\" 0 0 MS - \"-\" \"-\" \"-\" \"-\" \"-\" BlackHoleCluster - 198.18.0.30:443 LOCAL edition.cnn.com -"
    );
}

#[test]
fn the_live_stream_names_what_is_blocked() {
    let options = [host("edition.cnn.com", "198.18.0.30")].concat();
    let subject = Subject::start(&[mesh("REGISTRY_ONLY")], &options);
    let mut stream = TcpStream::connect(subject.admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /flows HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut read = |until: &str| {
        while !text.contains(until) {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap();
            assert!(length > 0, "the stream ended after {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        text.clone()
    };
    read("\r\n\r\n");
    // Nothing declares 443 or 8080: Istio's own log would not name these.
    assert_eq!(through(&subject, &["https://edition.cnn.com/"]).exit, 35);
    assert_ne!(through(&subject, &["-p", "http://edition.cnn.com:8080/"]).exit, 0);
    let told = read("\"destination\":\"198.18.0.30:8080\"");
    let told = read(if told.ends_with("}\n\r\n") { "}" } else { "\n\r\n" });
    let records: Vec<serde_json::Value> = told
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records[0]["verdict"], "blocked");
    assert_eq!(records[0]["sni"], "edition.cnn.com");
    assert_eq!(records[1]["verdict"], "blocked");
    assert_eq!(records[1]["host"], "edition.cnn.com:8080");
}

/// A caller of a sidecar beside a site that speaks first.
fn before_a_tunnel() -> (Subject, site::Site, TcpStream) {
    let site = site::speaks_first();
    let options = [
        host("mongo.example.com", "198.18.0.50"),
        map("198.18.0.50:27017", site.address),
    ]
    .concat();
    let subject = Subject::start(&[mesh("ALLOW_ANY")], &options);
    let proxy = TcpStream::connect(subject.explicit).unwrap();
    proxy.set_read_timeout(Some(PATIENCE)).unwrap();
    (subject, site, proxy)
}

#[test]
fn a_tunnel_ends_its_two_directions_on_their_own() {
    let (subject, _site, mut proxy) = before_a_tunnel();
    write!(
        proxy,
        "CONNECT mongo.example.com:27017 HTTP/1.1\r\nhost: mongo.example.com:27017\r\n\r\n"
    )
    .unwrap();
    let mut greeting = vec![0; "HTTP/1.1 200 Connection established\r\n\r\nhello from the server\n".len()];
    proxy.read_exact(&mut greeting).unwrap();
    assert!(
        greeting.ends_with(b"hello from the server\n"),
        "the server speaks first"
    );
    proxy.write_all(&[7; 300_000]).unwrap();
    proxy.shutdown(std::net::Shutdown::Write).unwrap();
    let mut echoed = Vec::new();
    proxy.read_to_end(&mut echoed).unwrap();
    assert_eq!(
        echoed.len(),
        300_000,
        "what is on its way arrives after the client's end"
    );
    assert_eq!(
        shape(&subject.log(1)[0]),
        "[TIME] \"- - -\" 0 - - - \"-\" 300000 300022 MS - \"-\" \"-\" \"-\" \"-\" \"198.18.0.50:27017\" PassthroughCluster LOCAL 198.18.0.50:27017 LOCAL - -"
    );
}

#[test]
fn what_comes_with_the_request_for_a_tunnel_goes_through_it() {
    let (_subject, _site, mut proxy) = before_a_tunnel();
    write!(proxy, "CONNECT mongo.example.com:27017 HTTP/1.1\r\n\r\nat once").unwrap();
    proxy.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    proxy.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello from the server\nat once"), "{answer}");
}

#[test]
fn names_that_do_not_resolve_are_told_and_recorded() {
    let subject = Subject::start(&[mesh("ALLOW_ANY")], &[]);
    let answer = through(&subject, &["http://no-such-host.invalid/"]);
    assert_eq!(answer.status(), 502);
    assert!(subject.log(1)[0].contains("no-such-host.invalid"));
}

#[test]
fn metrics_count_by_verdict_and_by_istios_names() {
    let site = site::http();
    let options = [
        host("httpbin.org", "198.18.0.10"),
        host("nobody.declares.it", "198.18.0.99"),
        map("198.18.0.10:80", site.address),
    ]
    .concat();
    let policy = [mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")];
    let subject = Subject::start(&policy, &options);
    assert_eq!(through(&subject, &["http://httpbin.org/status/418"]).status(), 418);
    assert_eq!(through(&subject, &["http://nobody.declares.it/"]).status(), 502);
    let metrics = eventually("both requests in the metrics", || {
        let metrics = subject.admin_get("/metrics").1;
        (metrics.matches("istio_requests_total{").count() == 2).then_some(metrics)
    });
    let line = metrics
        .lines()
        .find(|line| line.starts_with("istio_requests_total{") && line.contains("418"))
        .unwrap();
    for label in [
        "response_code=\"418\"",
        "destination_service_name=\"httpbin.org\"",
        "reporter=\"source\"",
    ] {
        assert!(line.contains(label), "{label} in {line}");
    }
    let blocked = metrics
        .lines()
        .find(|line| line.contains("response_code=\"502\""))
        .unwrap();
    assert!(
        blocked.contains("destination_service_name=\"BlackHoleCluster\""),
        "{blocked}"
    );
    assert!(
        !metrics.contains("nobody.declares.it"),
        "a caller's text must not make series"
    );
    assert!(
        metrics.contains("egret_flows_total{verdict=\"registered\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn what_is_never_captured_is_passed_on_by_the_proxy_and_not_recorded() {
    let site = site::http();
    let subject = Subject::start(&[mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")], &[]);
    let here = format!("http://{}/headers", site.address);
    for tunnel in [&[][..], &["--proxytunnel"]] {
        let answer = through(&subject, &[tunnel, &[&here]].concat());
        assert_eq!((answer.exit, answer.status()), (0, 200), "{tunnel:?}");
    }
    // Nobody listens there: an answer all the same.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let answer = through(&subject, &[&format!("http://{nobody}/")]);
    assert_eq!((answer.exit, answer.status()), (0, 503));
    // What policy does not capture is not the sidecar's to record; what came last would be there.
    let registered = format!("http://httpbin.org:{}/", site.address.port());
    assert_eq!(through(&subject, &[&registered]).status(), 502);
    let log = subject.log(1);
    assert!(log.len() == 1 && log[0].contains("httpbin.org"), "{log:?}");
}
