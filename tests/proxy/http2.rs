//! HTTP/2: each stream is a request of its own. The words and the order are Envoy 1.40's, given the same configuration.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use h2::Reason;
use http::{HeaderMap, Request, Version};

use crate::{
    streams::{Answer, Caller, Site, TUNNELLED, call, get, run, until, whole},
    subject::{PATIENCE, Subject, curl, entry, host, map, mesh, routes, shape},
};

pub const NAME: &str = "calls.example.com";
pub const TARGET: &str = "198.18.0.10:80";

/// A sidecar with one service on port 80 and what else is said of it, and the site behind it.
pub fn serving(protocol: &str, more: &[String]) -> (Subject, Site) {
    let site = Site::start(100);
    (behind(&site, protocol, more), site)
}

pub fn behind(site: &Site, protocol: &str, more: &[String]) -> Subject {
    start(
        site,
        [&[mesh("REGISTRY_ONLY"), entry(NAME, 80, protocol)], more].concat(),
    )
}

fn start(site: &Site, policy: Vec<String>) -> Subject {
    let options = [host(NAME, "198.18.0.10"), map(TARGET, site.address.unwrap())].concat();
    Subject::start(&policy, &options)
}

pub fn routed(http: &str) -> String {
    routes(NAME, http)
}

pub const TO_IT: &str = "route: [{destination: {host: calls.example.com}}]";

/// A DestinationRule for the service.
pub fn rule(policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: rule, namespace: default}}\nspec: \
         {{host: {NAME}, trafficPolicy: {policy}}}\n"
    )
}

pub fn url(path: &str) -> String {
    format!("http://{NAME}{path}")
}

/// One request on a connection of its own.
pub fn ask(subject: &Subject, request: Request<()>) -> Result<Answer, h2::Error> {
    run(async { Caller::connect(subject.explicit, TARGET).await.ask(request).await })
}

pub fn names(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}

#[test]
fn each_stream_is_decided_and_recorded_on_its_own() {
    let (subject, site) = serving("HTTP2", &[]);
    run(async {
        let mut caller = Caller::connect(subject.explicit, TARGET).await;
        let allowed = caller.ask(get(&url("/a/../b?c"))).await.unwrap();
        assert_eq!((allowed.status, &*allowed.body), (200, "two"));
        assert_eq!(
            names(&allowed.headers),
            ["x-site", "server", "x-envoy-upstream-service-time", "date"]
        );
        let blocked = caller.ask(get("http://nobody.example.com/x")).await.unwrap();
        assert_eq!((blocked.status, &*blocked.body), (502, ""));
        assert_eq!(names(&blocked.headers), ["date", "server"]);
    });
    let asked = &site.asked()[0];
    assert_eq!((asked.version, asked.uri.to_string()), (Version::HTTP_2, url("/b?c")));
    let seen = [
        "x-forwarded-proto",
        "x-request-id",
        "x-envoy-decorator-operation",
        "x-envoy-attempt-count",
    ];
    assert_eq!(names(&asked.headers), seen);
    let log: Vec<String> = subject.log(2).iter().map(|line| shape(line)).collect();
    assert_eq!(
        log,
        [
            "[TIME] \"GET /b?c HTTP/2\" 200 - via_upstream - \"-\" 0 3 MS MS \"-\" \"-\" \"ID\" \"calls.example.com\" \
             \"198.18.0.10:80\" outbound|80||calls.example.com LOCAL 198.18.0.10:80 LOCAL - default",
            "[TIME] \"GET /x HTTP/2\" 502 - direct_response - \"-\" 0 0 MS - \"-\" \"-\" \"ID\" \"nobody.example.com\" \
             \"-\" - - 198.18.0.10:80 LOCAL - block_all",
        ]
    );
}

#[test]
fn curl_with_prior_knowledge_is_served() {
    let (subject, _site) = serving("HTTP2", &[]);
    let proxy = format!("http://{}", subject.explicit);
    let through = ["--proxytunnel", "--proxy", &proxy, "--http2-prior-knowledge"];
    let answer = curl(&[&through[..], &["--data", "text", &url("/")]].concat());
    assert_eq!((answer.status(), &*answer.body), (200, "two"), "{answer:?}");
    assert!(answer.head.starts_with("HTTP/2 200"), "{answer:?}");
    let head = curl(&[&through[..], &["--head", "http://nobody.example.com/"]].concat());
    assert_eq!(head.status(), 502, "{head:?}");
}

#[test]
fn services_are_spoken_to_in_the_http_that_istio_gives_their_cluster() {
    let pool = |http: &str| rule(&format!("{{connectionPool: {{http: {{{http}}}}}}}"));
    let upgraded = pool("h2UpgradePolicy: UPGRADE");
    let kept = pool("useClientProtocol: true");
    let (plain, all) = (
        mesh("REGISTRY_ONLY"),
        mesh("REGISTRY_ONLY") + "    h2UpgradePolicy: UPGRADE\n",
    );
    let (one, two) = (Version::HTTP_11, Version::HTTP_2);
    // What a caller that speaks HTTP/1.1 and one that speaks HTTP/2 are sent on in.
    for (mesh, protocol, more, expected) in [
        (&plain, "HTTP", vec![], [one, one]),
        (&plain, "HTTP2", vec![], [two, two]),
        (&plain, "GRPC", vec![], [two, two]),
        (&plain, "''", vec![], [one, two]),
        (&plain, "HTTP", vec![upgraded.clone()], [two, two]),
        (&plain, "''", vec![upgraded], [one, two]),
        (&plain, "HTTP", vec![kept.clone()], [one, two]),
        (&plain, "GRPC", vec![kept], [one, two]),
        (&all, "HTTP", vec![], [two, two]),
        (&all, "''", vec![], [one, two]),
        (&all, "HTTP", vec![pool("h2UpgradePolicy: DO_NOT_UPGRADE")], [one, one]),
    ] {
        let site = Site::start(100);
        let policy = [vec![mesh.clone(), entry(NAME, 80, protocol)], more].concat();
        let subject = start(&site, policy.clone());
        let proxy = format!("http://{}", subject.explicit);
        let first = curl(&["--proxytunnel", "--proxy", &proxy, &url("/")]);
        let second = ask(&subject, get(&url("/"))).unwrap();
        assert_eq!((first.status(), second.status), (200, 200), "{protocol} {policy:?}");
        let spoken: Vec<Version> = site.asked().iter().map(|asked| asked.version).collect();
        assert_eq!(spoken, expected, "{protocol} {policy:?}");
        assert!(
            site.asked().iter().all(|asked| asked.version == two
                && asked.uri.authority().is_some_and(|authority| authority == NAME)
                || names(&asked.headers)[0] == "host"),
            "{:?}",
            site.asked()
        );
    }
}

#[test]
fn what_passes_through_keeps_its_protocol() {
    let site = Site::start(100);
    let subject = Subject::start(&[mesh("ALLOW_ANY")], &map("198.18.0.9:80", site.address.unwrap()));
    // Port 80 needs a service for HTTP to be read there.
    subject.set_policy(&[mesh("ALLOW_ANY"), entry(NAME, 80, "HTTP")]);
    let answer = run(async {
        let mut caller = Caller::connect(subject.explicit, "198.18.0.9:80").await;
        caller.ask(get("http://unknown.example.com/")).await.unwrap()
    });
    assert_eq!((answer.status, site.asked()[0].version), (200, Version::HTTP_2));
    assert!(
        subject.log(1)[0].contains(" PassthroughCluster "),
        "{:?}",
        subject.log(1)
    );
}

#[test]
fn tls_that_the_sidecar_originates_agrees_on_http2() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.pem");
    let site = Site::secure(NAME, &trust);
    let options = [host(NAME, "198.18.0.10"), map(TARGET, site.address.unwrap())].concat();
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry(NAME, 80, "HTTP2"),
        rule("{tls: {mode: SIMPLE}}"),
    ];
    let subject = Subject::start_trusting(&trust, &policy, &options);
    let answer = ask(&subject, get(&url("/"))).unwrap();
    // The scheme stays the caller's.
    assert_eq!((answer.status, site.asked()[0].uri.to_string()), (200, url("/")));
}

#[test]
fn a_timeout_is_answered_before_the_response_and_ends_the_stream_after_it() {
    let (subject, _site) = serving("HTTP2", &[routed(&format!("[{{timeout: 0.2s, {TO_IT}}}]"))]);
    let late = ask(&subject, get(&url("/hang"))).unwrap();
    assert_eq!((late.status, &*late.body), (504, "upstream request timeout"));
    let line = &subject.log(1)[0];
    assert!(
        line.contains("\"GET /hang HTTP/2\" 504 UT response_timeout - \"-\" 0 24 "),
        "{line}"
    );
    let ended = ask(&subject, get(&url("/stall"))).unwrap_err();
    assert_eq!(ended.reason(), Some(Reason::INTERNAL_ERROR));
    let line = &subject.log(2)[1];
    assert!(
        line.contains("\"GET /stall HTTP/2\" 200 UT response_timeout - \"-\" 0 4 "),
        "{line}"
    );
}

#[test]
fn how_an_upstream_ends_a_stream_is_told_and_recorded() {
    let (subject, _site) = serving("HTTP2", &[routed(&format!("[{{retries: {{attempts: 0}}, {TO_IT}}}]"))]);
    for (number, (path, status, reason, logged)) in [
        (
            "/reset/8",
            503,
            "remote reset",
            "UR upstream_reset_before_response_started{remote_reset}",
        ),
        (
            "/reset/0",
            503,
            "remote reset",
            "UR upstream_reset_before_response_started{remote_reset}",
        ),
        (
            "/reset/7",
            503,
            "remote refused stream reset",
            "UR upstream_reset_before_response_started{remote_refused_stream_reset}",
        ),
        (
            "/reset/1",
            502,
            "protocol error",
            "UPE upstream_reset_before_response_started{protocol_error}",
        ),
        (
            "/close",
            503,
            "connection termination",
            "UC upstream_reset_before_response_started{connection_termination}",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ask(&subject, get(&url(path))).unwrap();
        let text = format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
        assert_eq!((answer.status, answer.body), (status, text), "{path}");
        let line = &subject.log(number + 1)[number];
        assert!(line.contains(&format!(" {status} {logged} ")), "{line}");
    }
}

#[test]
fn a_body_that_is_cut_does_not_pass_for_a_whole_one() {
    let (subject, site) = serving("HTTP2", &[]);
    for (number, code) in [0, 2, 8].into_iter().enumerate() {
        let cut = ask(&subject, get(&url(&format!("/cut/{code}")))).unwrap_err();
        assert_eq!(
            cut.reason(),
            Some(Reason::INTERNAL_ERROR),
            "a response that ends with {code}"
        );
        let line = &subject.log(number + 1)[number];
        let logged = " 200 UR upstream_reset_after_response_started{remote_reset} ";
        assert!(line.contains(logged), "{line}");
    }
    run(async {
        let mut caller = Caller::connect(subject.explicit, TARGET).await;
        let (response, mut send) = caller.begin(call(&url("/echo")), false).await.unwrap();
        let (_, mut body) = response.await.unwrap().into_parts();
        send.send_data("part".into(), false).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "part");
        send.send_reset(Reason::CANCEL);
        let end = until(|| site.asked()[3].end.clone()).await;
        assert!(end.is_err(), "{end:?}");
    });
    let line = &subject.log(4)[3];
    assert!(line.contains(" 200 DR http2.remote_reset - \"-\" 4 4 "), "{line}");
}

#[test]
fn draining_says_goaway_and_lets_streams_end() {
    let (mut subject, site) = serving("HTTP2", &[]);
    site.hold(2);
    run(async {
        let mut caller = Caller::connect(subject.explicit, TARGET).await;
        let (response, _) = caller.begin(get(&url("/gate")), true).await.unwrap();
        until(|| (site.asked().len() == 1).then_some(())).await;
        subject.terminate();
        // The request that opens the gate comes from elsewhere: the sidecar takes none any more.
        let mut other = Caller::direct(site.address.unwrap()).await;
        subject.message("draining");
        let opener = other.ask(get(&url("/gate"))).await.unwrap();
        assert_eq!(opener.status, 200);
        let (head, mut body) = response.await.unwrap().into_parts();
        assert_eq!(
            (head.status.as_u16(), whole(&mut body).await.unwrap().0),
            (200, b"open".to_vec())
        );
        assert!(matches!(caller.ended().await, None | Some(Reason::NO_ERROR)));
    });
    assert!(subject.ended().success());
    assert!(subject.log(1)[0].contains("\"GET /gate HTTP/2\" 200 - via_upstream "));
}

#[test]
fn a_request_without_an_authority_ends_its_connection() {
    let (subject, _site) = serving("HTTP2", &[]);
    let mut caller = TcpStream::connect(subject.explicit).unwrap();
    caller.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(caller, "CONNECT {TARGET} HTTP/1.1\r\n\r\n").unwrap();
    caller.read_exact(&mut [0; TUNNELLED.len()]).unwrap();
    caller.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    // Empty SETTINGS, then HEADERS that end stream 1: `:method: GET`, `:scheme: http`, `:path: /`.
    caller.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    caller
        .write_all(&[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84])
        .unwrap();
    // It ends with FIN, or with RST where more had arrived.
    let _ = caller.read_to_end(&mut Vec::new());
    let line = &subject.log(1)[0];
    assert!(
        line.contains("\"- - HTTP/2\" 0 DPE http2.violation.of.messaging.rule "),
        "{line}"
    );
}

#[test]
fn streams_that_are_reset_as_fast_as_they_are_opened_end_their_connection() {
    let (subject, _site) = serving("HTTP2", &[]);
    let reason = run(async {
        let mut caller = Caller::connect(subject.explicit, TARGET).await;
        caller.ask(get(&url("/"))).await.unwrap();
        for _ in 0..90 {
            let Ok((_, mut send)) = caller.begin(get(&url("/hang")), false).await else {
                break;
            };
            send.send_reset(Reason::CANCEL);
        }
        caller.ended().await
    });
    assert_eq!(reason, Some(Reason::ENHANCE_YOUR_CALM));
}
