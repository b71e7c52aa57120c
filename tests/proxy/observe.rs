//! `--observe`: everything passes, and its record has the verdict that it would get.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::{
    namespace::inside,
    site,
    subject::{PATIENCE, Subject, curl, entry, host, map, mesh, through, timeout},
};

/// Records as they come.
pub struct Flows(BufReader<TcpStream>);

impl Flows {
    pub fn of(subject: &Subject) -> Self {
        let mut stream = TcpStream::connect(subject.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /flows HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
        let mut flows = Self(BufReader::new(stream));
        while flows.line() != "\r\n" {}
        flows
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// What happened, what would have, and the log's line.
    fn next(&mut self) -> (Value, Value, String) {
        let record: Value = serde_json::from_str(&self.line()).unwrap();
        (
            record["verdict"].clone(),
            record["would"].clone(),
            record["line"].as_str().unwrap().into(),
        )
    }
}

#[test]
fn requests_pass_whatever_policy_says_and_carry_what_it_would_have_said() {
    let site = site::http();
    let policy = [
        mesh("REGISTRY_ONLY"),
        entry("httpbin.org", 80, "HTTP"),
        timeout("httpbin.org", "0.3s"),
    ];
    let options = [
        vec!["--observe".into()],
        host("httpbin.org", "198.18.0.10").to_vec(),
        host("unknown.org", "198.18.0.10").to_vec(),
        map("198.18.0.10:80", site.address).to_vec(),
        map("198.18.0.10:8080", site.address).to_vec(),
    ]
    .concat();
    let subject = Subject::start(&policy, &options);
    assert_eq!(subject.config()["observe"], true);
    let mut flows = Flows::of(&subject);
    let passed = |url: &str| assert_eq!(through(&subject, &[url]).status(), 200, "{url}");

    passed("http://unknown.org/");
    let (verdict, would, line) = flows.next();
    assert_eq!((verdict, would), ("passthrough".into(), "blocked".into()));
    assert!(
        line.contains(" PassthroughCluster ") && line.ends_with(" allow_any"),
        "{line}"
    );
    // Longer than policy would allow.
    passed("http://httpbin.org/delay/1");
    let (verdict, would, _) = flows.next();
    assert_eq!((verdict, would), ("passthrough".into(), "registered".into()));
    assert!(
        !site.last_head().contains("x-envoy-expected-rq-timeout-ms"),
        "{}",
        site.last_head()
    );
    // A port that nothing declares.
    passed("http://unknown.org:8080/");
    let (verdict, would, line) = flows.next();
    assert_eq!((verdict, would), ("passthrough".into(), "blocked".into()), "{line}");
    let metrics = subject.admin_get("/metrics").1;
    assert!(
        metrics.contains("egret_observed_flows_total{verdict=\"blocked\"} 2\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("egret_flows_total{verdict=\"passthrough\"} 3\n"),
        "{metrics}"
    );
}

#[test]
fn a_sidecar_that_enforces_says_nothing_of_what_would_have_been() {
    let subject = Subject::start(&[mesh("REGISTRY_ONLY")], &host("unknown.org", "198.18.0.10"));
    let mut flows = Flows::of(&subject);
    through(&subject, &["http://unknown.org/"]);
    let record: Value = serde_json::from_str(&flows.line()).unwrap();
    assert_eq!((&record["verdict"], record.get("would")), (&"blocked".into(), None));
}

#[test]
fn captured_streams_pass_whoever_speaks_first() {
    inside("observe::captured_streams_pass_whoever_speaks_first", || {
        let place = tempfile::tempdir().unwrap();
        let trust = place.path().join("site.pem");
        let (tls, mongo) = (site::https(&["www.google.com"], &trust), site::speaks_first());
        let options = [
            vec!["--observe".into()],
            map("198.18.0.20:443", tls.address).to_vec(),
            map("198.18.0.50:443", mongo.address).to_vec(),
            map("198.18.0.50:27017", mongo.address).to_vec(),
        ]
        .concat();
        // An entry for another host: the port has inspectors, and waits for the client.
        let policy = [mesh("REGISTRY_ONLY"), entry("other.com", 443, "TLS")];
        let subject = Subject::start_on("[::]:15001", &policy, &options);
        let mut flows = Flows::of(&subject);
        let answer = curl(&[
            "--resolve",
            "www.google.com:443:198.18.0.20",
            "--cacert",
            trust.to_str().unwrap(),
            "https://www.google.com/headers",
        ]);
        assert_eq!((answer.exit, answer.status()), (0, 200));
        let (verdict, would, line) = flows.next();
        assert_eq!((verdict, would), ("passthrough".into(), "blocked".into()), "{line}");
        for port in [27017, 443] {
            let mut stream = TcpStream::connect(("198.18.0.50", port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut greeting = [0; "hello from the server\n".len()];
            stream.read_exact(&mut greeting).unwrap();
            drop(stream);
            let (verdict, would, line) = flows.next();
            assert_eq!((verdict, would), ("passthrough".into(), "blocked".into()), "{line}");
        }
    });
}
