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
    /// Addresses of the pod it ran in; empty where they do not tell flows apart.
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
    let address = ran.answer.address;
    // Without a sidecar nobody writes a line.
    let patience = if ran.sidecar { start.record() } else { Duration::ZERO };
    let flow = traffic.await_newest(before, patience, |row| target.is(row, address) && ran.is_source_of(row));
    let destination = address.map(|address| SocketAddr::new(address, target.port));
    let seen = Seen {
        came: match target.scheme {
            Scheme::Tcp => Came::of_stream(ran.exit, address.is_some(), !ran.answer.body.is_empty()),
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
