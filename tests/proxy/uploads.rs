//! Requests whose callers break their bodies off.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use h2::Reason;
use http::Request;

use crate::{
    actions::{self, TO_HTTPBIN},
    http2::{NAME, TARGET, TO_IT, routed, serving, url},
    site,
    streams::{Caller, call, get, run, until},
    subject::{PATIENCE, Subject, entry, eventually, host, map, mesh, through},
};

/// A DestinationRule for `host`.
fn rule(host: &str, policy: &str) -> String {
    let name = host.replace('.', "-");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: default}}\nspec: \
         {{host: {host}, trafficPolicy: {policy}}}\n"
    )
}

fn post(url: &str) -> Request<()> {
    let request = Request::post(url).version(http::Version::HTTP_2);
    request.body(()).unwrap()
}

/// Sends a part of a chunked body and no more.
fn cut_upload(subject: &Subject, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(subject.explicit).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST http://{NAME}{path} HTTP/1.1\r\nhost: {NAME}\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n"
    )
    .unwrap();
    stream
}

/// Ends what was begun, and waits until the sidecar has ended it too.
fn leave(mut stream: TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
    // It ends with FIN, or with RST.
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn an_upload_that_is_cancelled_while_it_is_held_up_leaves_the_worker_to_others() {
    // Takes connections, and never says a word of TLS.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = crate::streams::Site::start(100);
    let slow = "slow.example.com";
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry(NAME, 80, "HTTP2"),
        entry(slow, 80, "HTTP2"),
        rule(slow, "{tls: {mode: SIMPLE}}"),
        routed(&format!(
            "[{{match: [{{uri: {{prefix: /held}}}}], fault: {{delay: {{percentage: {{value: 100}}, fixedDelay: 60s}}}}, {TO_IT}}}, {{{TO_IT}}}]"
        )),
    ];
    let options = [
        host(NAME, "198.18.0.10"),
        host(slow, "198.18.0.11"),
        map(TARGET, site.address.unwrap()),
        map("198.18.0.11:80", silent.local_addr().unwrap()),
    ];
    let subject = Subject::start(&policy, &options.concat());
    let held = url("/held");
    let opening = format!("http://{slow}/");
    let mut rows = 0;
    for target in [&held, &opening] {
        for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR] {
            run(async {
                let mut caller = Caller::connect(subject.explicit, TARGET).await;
                let (_response, mut send) = caller.begin(post(target), false).await.unwrap();
                send.send_data("part".into(), false).unwrap();
                // What comes behind it on the connection is read behind it.
                assert_eq!(caller.ask(get(&url("/"))).await.unwrap().status, 200);
                send.send_reset(reason);
                assert_eq!(caller.ask(get(&url("/"))).await.unwrap().status, 200);
            });
            rows += 3;
            let log = subject.log(rows);
            let line = log[rows - 3..].iter().find(|line| line.contains("\"POST "));
            assert!(
                line.is_some_and(|line| line.contains("DR http2.remote_reset ")),
                "{target} {reason}: {log:?}"
            );
        }
    }
}

#[test]
fn an_upload_that_is_cut_while_it_is_held_up_reaches_nobody_as_a_whole() {
    let (site, shadow) = (site::http(), site::http());
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry(NAME, 80, "HTTP"),
        entry("shadow.example.com", 80, "HTTP"),
        rule(NAME, "{connectionPool: {tcp: {maxConnections: 1}}}"),
        routed(&format!(
            "[{{mirrors: [{{destination: {{host: shadow.example.com}}}}], retries: {{attempts: 2, retryOn: reset, backoff: 1ms}}, {TO_IT}}}]"
        )),
    ];
    let options = [
        host(NAME, "198.18.0.10").to_vec(),
        host("shadow.example.com", "198.18.0.11").to_vec(),
        map(TARGET, site.address).to_vec(),
        map("198.18.0.11:80", shadow.address).to_vec(),
        vec!["--workers".into(), "1".into()],
    ];
    let subject = Subject::start(&policy, &options.concat());
    thread::scope(|scope| {
        // Has the only connection for as long as the upload is held up.
        scope.spawn(|| through(&subject, &[&url("/delay/3")]));
        eventually("the first request at the site", || {
            (site.connections() > 0).then_some(())
        });
        let upload = cut_upload(&subject, "/");
        eventually("the copy of the upload", || (shadow.connections() > 1).then_some(()));
        leave(upload);
    });
    let log = subject.log(2);
    assert!(
        log.iter().any(|line| line.contains("DC downstream_remote_disconnect ")),
        "{log:?}"
    );
    let whole = through(
        &subject,
        &["-H", "transfer-encoding: chunked", "--data", "whole", &url("/")],
    );
    assert_eq!(whole.status(), 200);
    for (who, seen) in [("the upstream", &site), ("the mirror", &shadow)] {
        let bodies = eventually("the whole upload", || {
            Some(seen.bodies()).filter(|bodies| bodies.iter().any(|body| body == "whole"))
        });
        assert_eq!(bodies, ["", "whole"], "{who}");
    }
}

#[test]
fn no_endpoint_is_to_blame_for_a_caller_that_breaks_its_upload_off() {
    let strict = rule(
        NAME,
        "{outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 1h, maxEjectionPercent: 100}}",
    );
    let (subject, site) = serving("HTTP2", std::slice::from_ref(&strict));
    run(async {
        let mut caller = Caller::connect(subject.explicit, TARGET).await;
        for (number, path) in ["/hang", "/echo"].into_iter().enumerate() {
            let (response, mut send) = caller.begin(call(&url(path)), false).await.unwrap();
            send.send_data("part".into(), false).unwrap();
            if path == "/echo" {
                response.await.unwrap();
            }
            until(|| (site.asked().len() > 2 * number).then_some(())).await;
            send.send_reset(Reason::INTERNAL_ERROR);
            assert_eq!(caller.ask(get(&url("/"))).await.unwrap().status, 200, "{path}");
        }
    });
    let first = site::http();
    let policy = [mesh("REGISTRY_ONLY"), entry(NAME, 80, "HTTP"), strict];
    let options = [host(NAME, "198.18.0.10"), map(TARGET, first.address)].concat();
    let subject = Subject::start(&policy, &options);
    let upload = cut_upload(&subject, "/");
    eventually("the upload at the site", || (first.connections() > 0).then_some(()));
    leave(upload);
    let line = &subject.log(1)[0];
    assert!(line.contains("DC downstream_remote_disconnect "), "{line}");
    assert_eq!(through(&subject, &[&url("/")]).status(), 200);
}

#[test]
fn an_attempts_time_begins_when_the_request_has_come_whole() {
    let limit = "[{retries: {attempts: 1, perTryTimeout: 300ms, retryOn: gateway-error}, ";
    let (subject, _site) = actions::routed(&format!("{limit}{TO_HTTPBIN}}}]"));
    let mut stream = TcpStream::connect(subject.explicit).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        "POST http://httpbin.org/ HTTP/1.1\r\nhost: httpbin.org\r\nconnection: close\r\ncontent-length: 8\r\n\r\n";
    write!(stream, "{head}some").unwrap();
    thread::sleep(Duration::from_secs(1));
    write!(stream, "more").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
