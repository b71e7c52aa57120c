//! One test request with a real client, from wherever it starts, with what the engine expected of it.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use proxy_core::policy::Snapshot;

use super::{
    MAX_SECONDS,
    answer::{self, Answer},
    came::Came,
    expect::{Seen, expectation},
    target::{Scheme, Target},
    wget,
};
use crate::{
    dto::RequestResult,
    fault::{Fault, Result},
    traffic::{Row, Traffic},
};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Where a request starts.
pub trait Start {
    /// Runs an HTTP client there and waits for its end.
    fn run(&self, request: &Request<'_>) -> Result<Ran>;

    /// How long the record of a finished request may take to arrive: it comes by another way than the answer.
    fn record(&self) -> Duration;
}

/// What is to be sent.
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a Target,
}

/// What a client is: how far its exit code can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Curl,
    Wget,
}

/// What a client got, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub client: Client,
    pub answer: Answer,
    pub stderr: String,
    pub exit: i32,
    /// The command as a person would type it.
    pub shown: String,
    /// False where no sidecar stands beside the client.
    pub sidecar: bool,
    /// Addresses that its flows come from; empty where they do not tell flows apart.
    pub sources: Vec<IpAddr>,
}

impl Ran {
    /// What curl, or what stands in for it, printed.
    pub fn of_curl(stdout: &str, stderr: String, exit: i32, shown: String) -> Self {
        Self {
            client: Client::Curl,
            answer: Answer::read(stdout),
            stderr,
            exit,
            shown,
            sidecar: true,
            sources: Vec::new(),
        }
    }

    fn is_source_of(&self, row: &Row) -> bool {
        self.sources.is_empty() || self.sources.contains(&row.record.source.ip())
    }
}

impl Request<'_> {
    /// curl's options: `-i`, the method, the limit, the format of what stands behind the answer.
    pub fn curl_options(&self) -> Vec<String> {
        let format = answer::format();
        let fixed = ["--max-time", MAX_SECONDS, "-w", &format, "--", &self.target.url];
        ["-i"]
            .into_iter()
            .chain(self.verb())
            .chain(fixed)
            .map(str::to_string)
            .collect()
    }

    /// The same as a person would type it.
    pub fn curl_shown(&self) -> String {
        let words: Vec<&str> = ["-i"]
            .into_iter()
            .chain(self.verb())
            .chain([&*self.target.url])
            .collect();
        words.join(" ")
    }

    fn verb(&self) -> Vec<&str> {
        match self.method {
            "GET" => vec![],
            // With -X HEAD curl would wait for a body.
            "HEAD" => vec!["-I"],
            method => vec!["-X", method],
        }
    }
}

/// Sends `method` `url` and tells what came of it, with the flow it made and what `snapshot`, the policy of the one who
/// sends, says of it.
pub fn send_request(
    start: &dyn Start,
    traffic: &Traffic,
    snapshot: &Snapshot,
    (method, url): (&str, &str),
) -> Result<RequestResult> {
    let target = Target::parse(url)?;
    if !METHODS.contains(&method) {
        return Err(Fault::input(format!("{method:?} is none of {}.", METHODS.join(", "))));
    }
    let before = traffic.last_id();
    let started = Instant::now();
    let ran = start.run(&Request {
        method,
        target: &target,
    })?;
    let took = started.elapsed();
    // A client with a proxy in its pod connects to loopback: whom the proxy went to for it, the flow tells.
    let address = ran.answer.address.filter(|address| !address.is_loopback());
    // Without a sidecar nobody writes a line.
    let patience = if ran.sidecar { start.record() } else { Duration::ZERO };
    let flow = traffic.await_newest(before, patience, |row| target.is(row, address) && ran.is_source_of(row));
    let destination = address.map(|address| SocketAddr::new(address, target.port));
    let seen = Seen {
        came: match target.scheme {
            Scheme::Tcp => Came::of_stream(ran.exit, ran.answer.address.is_some(), !ran.answer.body.is_empty()),
            _ => Came::of(ran.client, ran.exit, ran.answer.status),
        },
        flow: flow.as_ref(),
        sidecar: ran.sidecar,
        limit: MAX_SECONDS,
    };
    let destination = destination.or(flow.as_ref().map(|row| row.record.destination));
    Ok(RequestResult {
        expectation: expectation(snapshot, &target, method, destination, &seen),
        command: ran.shown,
        status: ran.answer.status,
        exit: ran.exit,
        took_ms: ran.answer.took_ms.unwrap_or(took.as_millis() as u64),
        verdict: flow.as_ref().map(|row| row.record.verdict.into()),
        line: flow
            .as_ref()
            .map(|row| row.record.line.clone())
            .filter(|line| !line.is_empty()),
        flow_id: flow.map(|row| row.id),
        site_saw: ran.answer.site_saw(),
        response_headers: ran.answer.headers,
        body: ran.answer.body,
        stderr: ran.stderr.trim().to_string(),
        beside: None,
        beside_fault: None,
        limits: (ran.client == Client::Wget).then(|| wget::LIMITS.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proxy_core::source::Folder;

    use super::*;
    use crate::session::View;

    /// A client with the sidecar as its proxy, whose flow has come by the time that it ends.
    struct Proxied<'a>(&'a Traffic, &'static str, i32);

    impl Start for Proxied<'_> {
        fn run(&self, _: &Request<'_>) -> Result<Ran> {
            let mut flow = crate::change::tests::flow("google.com", "198.19.0.20:443", "tls");
            flow.source = (Ipv4Addr::LOCALHOST, 40000).into();
            self.0.add(flow);
            let mut ran = Ran::of_curl(self.1, String::new(), self.2, String::new());
            ran.sources = vec![[10, 88, 0, 9].into(), Ipv4Addr::LOCALHOST.into()];
            Ok(ran)
        }

        fn record(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn a_request_through_a_proxy_has_the_verdict_of_its_flow_and_no_answer_of_the_proxys_own() {
        let folder = tempfile::tempdir().unwrap();
        let view = View::new(folder.path(), Folder::open(folder.path()).unwrap().reading(), 1);
        let connected = "HTTP/1.1 200 Connection established\r\n\r\n";
        let behind = "\n\u{1}egret-time=0.2 127.0.0.1\n";
        for (answer, exit, status) in [("", 35, None), ("HTTP/2 404\r\n\r\n", 0, Some(404))] {
            let traffic = Traffic::default();
            let said: &'static str = format!("{connected}{answer}{behind}").leak();
            let start = Proxied(&traffic, said, exit);
            let sent = send_request(
                &start,
                &traffic,
                &view.snapshot("default/sleep"),
                ("GET", "https://google.com"),
            )
            .unwrap();
            assert_eq!((sent.status, sent.exit), (status, exit));
            assert!(sent.verdict.is_some(), "its flow is found");
        }
    }
}
