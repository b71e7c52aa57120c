//! Limits of a DestinationRule's `connectionPool`: what is too much at once, in Envoy's words.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use crate::{
    site,
    subject::{Curl, PATIENCE, Subject, entry, eventually, host, map, mesh, through},
};

/// A sidecar of one worker with a DestinationRule for `limited.example.com`, and the site behind it.
fn limited(port: u16, protocol: &str, pool: &str, site: site::Site) -> (Subject, site::Site) {
    let options = [
        host("limited.example.com", "198.18.0.10").to_vec(),
        map(&format!("198.18.0.10:{port}"), site.address).to_vec(),
        vec!["--workers".into(), "1".into()],
    ]
    .concat();
    let rule = format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: limits, namespace: default}}\nspec: \
         {{host: limited.example.com, trafficPolicy: {{connectionPool: {pool}}}}}\n"
    );
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry("limited.example.com", port, protocol),
        rule,
    ];
    (Subject::start(&policy, &options), site)
}

/// What comes of `count` requests while another one waits for its answer, which is the last.
fn beside_one(subject: &Subject, site: &site::Site, count: usize) -> Vec<Curl> {
    let ask = |path: &str| through(subject, &[&format!("http://limited.example.com{path}")]);
    thread::scope(|scope| {
        let first = scope.spawn(|| ask("/delay/3"));
        eventually("the first request at the site", || {
            (site.connections() > 0).then_some(())
        });
        let others: Vec<_> = (0..count).map(|_| scope.spawn(|| ask("/headers"))).collect();
        let others = others.into_iter().chain([first]);
        others.map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn more_requests_than_may_be_are_refused_and_so_are_more_than_may_wait() {
    for (pool, others, expected) in [
        ("{http: {http2MaxRequests: 1}}", 1, vec![200, 503]),
        (
            "{tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}",
            2,
            vec![200, 200, 503],
        ),
    ] {
        let (subject, site) = limited(80, "HTTP", pool, site::http());
        let mut answers = beside_one(&subject, &site, others);
        answers.sort_by_key(Curl::status);
        let statuses: Vec<u16> = answers.iter().map(Curl::status).collect();
        assert_eq!(statuses, expected, "{pool}");
        let refused = &answers[others];
        assert_eq!(
            refused.body,
            "upstream connect error or disconnect/reset before headers. reset reason: overflow"
        );
        assert!(
            refused.head.contains("\r\nx-envoy-overloaded: true"),
            "{}",
            refused.head
        );
        let log = subject.log(expected.len());
        let line = log.iter().find(|line| line.contains(" 503 ")).unwrap();
        assert!(
            line.contains(" 503 UO upstream_reset_before_response_started{overflow} "),
            "{line}"
        );
    }
}

#[test]
fn a_request_waits_for_the_only_connection_and_uses_it() {
    let (subject, site) = limited(80, "HTTP", "{tcp: {maxConnections: 1}}", site::http());
    let answers = beside_one(&subject, &site, 3);
    assert!(answers.iter().all(|answer| answer.status() == 200), "{answers:?}");
    assert_eq!(site.connections(), 1);
}

#[test]
fn a_connection_serves_no_more_requests_than_it_may() {
    let (subject, site) = limited(80, "HTTP", "{http: {maxRequestsPerConnection: 2}}", site::http());
    for _ in 0..5 {
        assert_eq!(through(&subject, &["http://limited.example.com/"]).status(), 200);
    }
    assert_eq!(site.connections(), 3);
}

#[test]
fn a_stream_beyond_the_limit_is_cut_and_one_after_another_is_not() {
    let (subject, site) = limited(5432, "TCP", "{tcp: {maxConnections: 1}}", site::speaks_first());
    let open = || {
        let mut stream = TcpStream::connect(subject.explicit).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "CONNECT limited.example.com:5432 HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = vec![0; "HTTP/1.1 200 Connection established\r\n\r\n".len()];
        stream.read_exact(&mut answer).unwrap();
        let mut greeting = [0; 22];
        stream.read_exact(&mut greeting).ok().map(|()| stream)
    };
    let first = open().expect("the first stream reaches the site");
    assert!(open().is_none(), "a second one at once is one too many");
    drop(first);
    assert!(subject.log(2)[0].contains(" 0 UO "), "{:?}", subject.log(2));
    assert!(open().is_some(), "its place is free again");
    assert_eq!(site.connections(), 2);
}
