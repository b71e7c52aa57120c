//! Upstream connections that speak HTTP/2: how many there are, and when they end.

use std::{thread, time::Duration};

use h2::Reason;
use tokio::time;

use crate::{
    http2::{NAME, TARGET, behind, rule, serving, url},
    site,
    streams::{Caller, Site, get, run, until, whole},
    subject::{Subject, entry, eventually, host, map, mesh, through},
};

#[test]
fn many_streams_share_a_connection_and_more_than_it_takes_have_another() {
    let site = Site::start(20);
    let subject = behind(&site, "HTTP2", &[]);
    site.hold(110);
    run(async {
        let mut caller = Caller::connect(subject.explicit, TARGET).await;
        // By now the sidecar knows how many the site takes.
        caller.ask(get(&url("/"))).await.unwrap();
        caller.ask(get(&url("/"))).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..108 {
            waiting.push(caller.begin(get(&url("/gate")), true).await.unwrap().0);
        }
        for response in waiting {
            let (head, mut body) = response.await.unwrap().into_parts();
            assert_eq!(
                (head.status.as_u16(), whole(&mut body).await.unwrap().0),
                (200, b"open".to_vec())
            );
        }
    });
    // 108 streams at once, 20 on each.
    assert_eq!(site.connections(), 6);
    subject.log(110);
}

#[test]
fn an_upstream_that_goes_away_serves_what_it_has_begun_and_another_connection_the_rest() {
    let (subject, site) = serving("HTTP2", &[]);
    run(async {
        let mut caller = Caller::connect(subject.explicit, TARGET).await;
        for path in ["/goaway", "/", "/"] {
            assert_eq!(caller.ask(get(&url(path))).await.unwrap().status, 200, "{path}");
        }
    });
    assert_eq!(site.connections(), 2);
}

#[test]
fn a_connection_whose_last_stream_was_reset_is_closed_when_it_was_idle_for_long_enough() {
    let (subject, site) = serving("HTTP2", &[rule("{connectionPool: {http: {idleTimeout: 1s}}}")]);
    for before in [0, 1] {
        run(async {
            let mut caller = Caller::connect(subject.explicit, TARGET).await;
            for _ in 0..before {
                caller.ask(get(&url("/"))).await.unwrap();
            }
            let known = site.asked().len();
            let (_response, mut send) = caller.begin(get(&url("/hang")), false).await.unwrap();
            until(|| (site.asked().len() > known).then_some(())).await;
            // Busy for longer than it may be idle.
            time::sleep(Duration::from_millis(1500)).await;
            assert_eq!(site.open(), 1, "it is busy");
            send.send_reset(Reason::CANCEL);
            until(|| (site.open() == 0).then_some(())).await;
        });
    }
}

#[test]
fn a_connection_carries_no_more_than_its_destination_rule_allows() {
    for (pool, connections) in [
        ("{http: {h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 2}}", 2),
        ("{http: {maxRequestsPerConnection: 1}}", 4),
        ("{tcp: {maxConnections: 1}}", 1),
    ] {
        let (subject, site) = serving("HTTP2", &[rule(&format!("{{connectionPool: {pool}}}"))]);
        site.hold(4);
        run(async {
            let mut caller = Caller::connect(subject.explicit, TARGET).await;
            let mut waiting = Vec::new();
            for _ in 0..4 {
                waiting.push(caller.begin(get(&url("/gate")), true).await.unwrap().0);
            }
            for response in waiting {
                assert_eq!(response.await.unwrap().status(), 200, "{pool}");
            }
        });
        assert_eq!(site.connections(), connections, "{pool}");
    }
}

#[test]
fn a_connection_that_may_be_idle_for_long_delays_the_end_of_none_that_may_not() {
    let (long, short) = (site::http(), site::http());
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry(NAME, 80, "HTTP"),
        entry("long.example.com", 80, "HTTP"),
        rule("{connectionPool: {http: {idleTimeout: 1s}}}"),
    ];
    let options = [
        host(NAME, "198.18.0.10"),
        host("long.example.com", "198.18.0.11"),
        map(TARGET, short.address),
        map("198.18.0.11:80", long.address),
        ["--workers".into(), "1".into()],
    ];
    let subject = Subject::start(&policy, &options.concat());
    for url in ["http://long.example.com/", &url("/")] {
        assert_eq!(through(&subject, &[url]).status(), 200);
        // Until then it is known how long nobody need look.
        thread::sleep(Duration::from_millis(500));
    }
    eventually("the end of the idle connection", || (short.open() == 0).then_some(()));
    assert_eq!(long.open(), 1);
}
