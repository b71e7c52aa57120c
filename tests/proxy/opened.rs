//! What a Sidecar wants to listen on by itself (`captureMode: NONE`).

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use crate::{
    site,
    subject::{PATIENCE, Subject, entry, eventually, host, map, mesh, shape},
};

/// A port of the loopback that nobody listens on.
fn free() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// A Sidecar that has these listeners and imports everything.
fn sidecar(listeners: &[(SocketAddr, &str)]) -> String {
    let listeners: String = listeners
        .iter()
        .map(|(at, protocol)| {
            let port = format!("{{number: {}, protocol: {protocol}, name: p}}", at.port());
            format!(
                "  - {{port: {port}, bind: {}, captureMode: NONE, hosts: ['*/*']}}\n",
                at.ip()
            )
        })
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: s, namespace: default}}\nspec:\n  egress:\n\
         {listeners}  - {{hosts: ['*/*']}}\n"
    )
}

/// The status of a request with this Host.
fn status(at: SocketAddr, host: &str) -> u16 {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn what_a_sidecar_wants_to_listen_on_is_open_for_as_long_as_it_says_so() {
    let site = site::http();
    let (proxy, anywhere) = (free(), SocketAddr::from(([0, 0, 0, 0], free().port())));
    let called = SocketAddr::from(([127, 0, 0, 1], anywhere.port()));
    let options = [
        host("httpbin.org", "198.18.0.10"),
        map("198.18.0.10:80", site.address),
        host("other.example", "198.18.0.11"),
        map(&format!("198.18.0.11:{}", anywhere.port()), site.address),
    ]
    .concat();
    let rest = [
        mesh("ALLOW_ANY"),
        entry("httpbin.org", 80, "HTTP"),
        entry("other.example", anywhere.port(), "HTTP"),
    ];
    let with = |listeners: &[(SocketAddr, &str)]| [&rest[..], &[sidecar(listeners)]].concat();
    let subject = Subject::start(&with(&[(proxy, "HTTP_PROXY")]), &options);
    assert_eq!(status(proxy, "httpbin.org"), 200);
    subject.log(1);
    // Nobody else was called, so there is nowhere to pass this through to.
    assert_eq!(status(proxy, "unknown.example"), 503);
    let log = subject.log(2);
    assert!(shape(&log[0]).contains("outbound|80||httpbin.org"), "{}", log[0]);
    assert!(
        log[1].contains("UH no_healthy_upstream") && log[1].contains("PassthroughCluster"),
        "{}",
        log[1]
    );

    let refused = |at: SocketAddr| eventually("a closed socket", || TcpStream::connect(at).is_err().then_some(()));
    subject.set_policy(&with(&[(anywhere, "HTTP")]));
    refused(proxy);
    assert_eq!(status(called, "other.example"), 200);
    assert_eq!(status(called, "unknown.example"), 503);
    subject.set_policy(&rest);
    refused(called);
    assert_eq!(subject.config()["unopened"], serde_json::json!([]));
}

/// A sidecar that is to listen on `of_others`, which it cannot, and on `own`.
fn beside_taken(of_others: SocketAddr, own: SocketAddr, site: &site::Site) -> Subject {
    let options = [host("httpbin.org", "198.18.0.10"), map("198.18.0.10:80", site.address)].concat();
    let both = sidecar(&[(of_others, "HTTP_PROXY"), (own, "HTTP_PROXY")]);
    let subject = Subject::start(&[mesh("ALLOW_ANY"), entry("httpbin.org", 80, "HTTP"), both], &options);
    let told = subject.message("captureMode NONE");
    assert!(told.contains(&of_others.to_string()), "{told}");
    let unopened = subject.config()["unopened"].clone();
    let reason = unopened[0].as_str().unwrap();
    assert!(
        reason.contains("in use") && reason.ends_with("it is tried again"),
        "{unopened}"
    );
    assert_eq!(unopened.as_array().map(Vec::len), Some(1), "{unopened}");
    assert_eq!(status(own, "httpbin.org"), 200, "nothing else suffers");
    subject
}

fn all_open(subject: &Subject) -> Option<()> {
    (subject.config()["unopened"] == serde_json::json!([])).then_some(())
}

#[test]
fn a_socket_that_cannot_be_had_is_told_and_opened_once_it_is_free() {
    let site = site::http();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (of_others, own) = (taken.local_addr().unwrap(), free());
    let subject = beside_taken(of_others, own, &site);
    let before = subject.hash();
    drop(taken);
    eventually("the socket", || all_open(&subject));
    assert_eq!(status(of_others, "httpbin.org"), 200);
    assert_eq!(subject.hash(), before, "under the same policy");
}

#[test]
fn a_socket_that_cannot_be_had_is_tried_no_more_once_the_policy_asks_for_it_no_more() {
    let site = site::http();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (of_others, own) = (taken.local_addr().unwrap(), free());
    let subject = beside_taken(of_others, own, &site);
    let fewer = sidecar(&[(own, "HTTP_PROXY")]);
    subject.set_policy(&[mesh("ALLOW_ANY"), entry("httpbin.org", 80, "HTTP"), fewer]);
    all_open(&subject).expect("nothing is waited for");
    drop(taken);
    // It is asked for again, and the one that was let go of stays free until then.
    let again = TcpListener::bind(of_others).expect("nobody else has it");
    drop(again);
    let both = sidecar(&[(of_others, "HTTP_PROXY"), (own, "HTTP_PROXY")]);
    subject.set_policy(&[mesh("ALLOW_ANY"), entry("httpbin.org", 80, "HTTP"), both]);
    assert_eq!(status(of_others, "httpbin.org"), 200);
}
