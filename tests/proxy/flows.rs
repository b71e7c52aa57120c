//! `/flows` with a reader that stalls: a port-forward that hangs, a terminal that is paused.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::{
    observe::Flows,
    subject::{PATIENCE, Subject, entry, host, mesh},
};

/// Requests whose records take far more than the sockets' buffers and the queue together.
const REQUESTS: usize = 3_000;

/// A caller that sends its requests over one connection.
struct Caller(BufReader<TcpStream>);

impl Caller {
    fn of(subject: &Subject) -> Self {
        let stream = TcpStream::connect(subject.explicit).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Sends `count` requests that are blocked, each with a long path: its record has it twice.
    fn send(&mut self, count: usize) {
        let request = format!(
            "GET http://unknown.org/{} HTTP/1.1\r\nhost: unknown.org\r\n\r\n",
            "x".repeat(7_000)
        );
        for _ in 0..count {
            self.0.get_mut().write_all(request.as_bytes()).unwrap();
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(self.0.read_line(&mut head).unwrap() > 0, "it ended after {head}");
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            self.0.read_exact(&mut body).unwrap();
            assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        }
    }
}

/// A number in `/metrics`.
fn metric(subject: &Subject, name: &str) -> u64 {
    let metrics = subject.admin_get("/metrics").1;
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {name} in {metrics}"))
        .parse()
        .unwrap()
}

#[test]
fn a_reader_that_stalls_takes_little_memory_and_is_told_what_it_missed_when_it_reads_on() {
    // Something is HTTP on port 80: what is blocked there is answered.
    let policy = [mesh("REGISTRY_ONLY"), entry("httpbin.org", 80, "HTTP")];
    let subject = Subject::start(&policy, &host("unknown.org", "198.18.0.10"));
    let resident = || metric(&subject, "process_resident_memory_bytes");
    let mut caller = Caller::of(&subject);
    caller.send(100);
    let before = resident();

    let mut stalls = Flows::of(&subject);
    caller.send(REQUESTS);
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes for records that nobody reads");
    let missed = metric(&subject, "egret_flows_dropped_total");
    assert!(missed > 0);

    // A second reader gets what happens from now on, beside the one that stalls.
    let mut reads = Flows::of(&subject);
    caller.send(1);
    let record: Value = serde_json::from_str(&reads.line()).unwrap();
    assert_eq!(record["host"], "unknown.org");

    // What had been sent is read first, then what was missed is told, then it goes on.
    let (mut read, mut told) = (0, 0);
    while read + told < REQUESTS as u64 + 1 {
        let line: Value = serde_json::from_str(&stalls.line()).unwrap();
        match line["dropped"].as_u64() {
            Some(dropped) => told += dropped,
            None => read += 1,
        }
    }
    assert!(told >= missed, "{told} told, {missed} counted before");
    assert_eq!(
        told,
        metric(&subject, "egret_flows_dropped_total"),
        "the second reader missed nothing"
    );
    caller.send(1);
    let record: Value = serde_json::from_str(&stalls.line()).unwrap();
    assert_eq!(record["verdict"], "blocked");
}
