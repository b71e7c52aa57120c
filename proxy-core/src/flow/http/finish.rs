//! A request's flow in the making: recorded once, when its response has ended.

use std::{net::SocketAddr, rc::Rc, time::Instant};

use hyper::{
    HeaderMap, Response,
    header::{self, HeaderName},
};

use super::exchange::Lease;
use crate::{
    flow::{
        Worker,
        body::{Broken, Progress, ResponseBody},
        headers, reply,
    },
    policy::{Action, Decision, Forward, Snapshot, Verdict},
    record::{Flow, HttpPart},
};

/// A flow in the making; recorded once, when the response has ended.
#[derive(Debug)]
pub struct Finish {
    pub worker: Rc<Worker>,
    pub flow: Flow,
    started: Instant,
    pub progress: Option<Rc<Progress>>,
    /// Given back to the pool when the response ended well.
    pub lease: Option<Lease>,
    /// A fault made the request wait.
    pub delayed: bool,
    /// The request has no end: CONNECT.
    pub endless: bool,
    /// True once recorded, or where another records.
    pub silent: bool,
}

impl Finish {
    /// A flow that begins now.
    pub fn new(
        worker: Rc<Worker>,
        snapshot: &Snapshot,
        http: HttpPart,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        let flow = Flow {
            protocol: "http",
            http: Some(http),
            ..Flow::begin(Verdict::Blocked, source, destination, snapshot.hash())
        };
        Self {
            worker,
            flow,
            started: Instant::now(),
            progress: None,
            lease: None,
            delayed: false,
            endless: false,
            silent: false,
        }
    }

    /// Notes what was decided.
    pub fn decided(&mut self, decision: &Decision<'_>) {
        self.flow.verdict = decision.verdict;
        self.flow.route = decision.route.unwrap_or_default().to_string();
        if let Action::Forward(Forward { cluster, .. }) = decision.action {
            self.flow.cluster = cluster.name.to_string();
            self.flow.service_host = cluster.host.to_string();
            self.flow.service_namespace = cluster.namespace().to_string();
        }
    }

    /// The HTTP part; this flow always has one.
    pub fn http_part(&mut self) -> &mut HttpPart {
        self.flow.http.get_or_insert_default()
    }

    /// The log shows the request as it is sent, but for its path.
    pub fn sent_as(&mut self, headers: &HeaderMap) {
        let text = |name: HeaderName| headers::text(headers, name);
        let http = self.http_part();
        http.authority = text(header::HOST);
        http.user_agent = text(header::USER_AGENT);
        http.forwarded_for = text(HeaderName::from_static("x-forwarded-for"));
        http.request_id = text(HeaderName::from_static("x-request-id"));
    }

    /// Answers here.
    pub fn reply(
        mut self: Box<Self>,
        status: u16,
        flags: &'static str,
        details: &str,
        body: &str,
    ) -> Response<ResponseBody> {
        self.http_part().status = status;
        self.flow.flags = flags;
        self.flow.details = details.to_string();
        // Before the request has ended Envoy's answer ends the connection.
        let unread = self.endless || self.progress.as_ref().is_some_and(|progress| !progress.ended.get());
        let response = reply::local(status, body, self);
        if unread { reply::close(response) } else { response }
    }

    /// Policy cuts the connection that carries it.
    pub fn cut(mut self: Box<Self>, cluster: Option<&str>, flags: &'static str) {
        self.flow.http = None;
        self.flow.cluster = cluster.unwrap_or_default().to_string();
        self.flow.flags = flags;
        self.complete();
    }

    /// Counts bytes to the caller.
    pub fn sent(&mut self, bytes: usize) {
        self.flow.sent += bytes as u64;
    }

    /// The response broke off after its head.
    pub fn broken(&mut self, broken: &Broken) {
        self.lease = None;
        match broken {
            Broken::TimedOut => {
                self.flow.flags = "UT";
                self.flow.details = "response_timeout".into();
            }
            Broken::Upstream(_) => {
                self.flow.flags = "UC";
                self.flow.details = "upstream_reset_after_response_started{connection_termination}".into();
            }
        }
    }

    /// The caller went away before the end.
    pub fn left(&mut self) {
        self.lease = None;
        self.flow.flags = "DC";
        self.flow.details = "downstream_remote_disconnect".into();
    }

    /// A stand-in that records nothing: for the head of an upgraded connection, whose flow goes on.
    pub fn silent(&self) -> Self {
        Self {
            worker: self.worker.clone(),
            flow: self.flow.clone(),
            started: self.started,
            progress: None,
            lease: None,
            delayed: false,
            endless: false,
            silent: true,
        }
    }

    /// Records the flow and gives the upstream connection back.
    pub fn complete(mut self: Box<Self>) {
        self.record();
        if let Some(lease) = self.lease.take() {
            lease.give_back(&self.worker);
        }
    }

    fn record(&mut self) {
        if std::mem::replace(&mut self.silent, true) {
            return;
        }
        if let Some(progress) = &self.progress {
            self.flow.received = progress.bytes.get();
        }
        if self.delayed {
            self.flow.flags = after_delay(self.flow.flags);
        }
        self.flow.duration = self.started.elapsed();
        self.worker.recorder.record(&self.flow);
    }
}

/// A request that ends without any response still has its row: the caller left, or a drain's deadline cut it.
impl Drop for Finish {
    fn drop(&mut self) {
        if !self.silent {
            self.flow.flags = "DC";
            self.flow.details = if self.worker.draining.get() {
                "downstream_local_disconnect".into()
            } else {
                "downstream_remote_disconnect".into()
            };
            self.record();
        }
    }
}

/// Flags stand in the order in which they were set, and a delay comes before everything else.
fn after_delay(flags: &'static str) -> &'static str {
    match flags {
        "" => "DI",
        "FI" => "DI,FI",
        "UT" => "DI,UT",
        "URX,UT" => "DI,URX,UT",
        "UF" => "DI,UF",
        "URX,UF" => "DI,URX,UF",
        "UC" => "DI,UC",
        "URX,UC" => "DI,URX,UC",
        "URX" => "DI,URX",
        "UH" => "DI,UH",
        "UO" => "DI,UO",
        "UO,UF" => "DI,UO,UF",
        "UO,UC" => "DI,UO,UC",
        "UO,UT" => "DI,UO,UT",
        "DF" => "DI,DF",
        "NC" => "DI,NC",
        "DC" => "DI,DC",
        other => other,
    }
}
