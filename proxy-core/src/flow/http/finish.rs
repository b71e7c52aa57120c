//! A request's flow in the making: recorded once, when its response has ended.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Instant};

use hyper::{
    HeaderMap, Response,
    header::{self, HeaderName},
};
use tokio::sync::Notify;

use super::{Caller, exchange::Lease, heads::Refused, http2::Streams, idle::Carried, interim::Interims};
use crate::{
    flow::{
        Worker,
        body::{Broken, Progress, ResponseBody, Unreadable},
        grpc, headers,
        hosts::Busy,
        outlier::Outcome,
        reply,
        reset::Reset,
    },
    policy::{Action, Decision, Forward, HttpVersion, Snapshot, Verdict},
    record::{Flow, HttpPart},
};

/// A flow in the making; recorded once, when the response has ended.
#[derive(Debug)]
pub struct Finish {
    pub worker: Rc<Worker>,
    pub flow: Flow,
    /// What the caller speaks.
    pub version: HttpVersion,
    /// The caller's connection, where it carries many requests.
    streams: Option<Rc<Streams>>,
    /// Ends it, where it carries one request after another.
    pub ends: Option<Rc<Notify>>,
    /// It is not idle meanwhile.
    _carried: Option<Carried>,
    /// What the caller is told before its answer, where it knows of that.
    pub interims: Option<Arc<Interims>>,
    started: Instant,
    pub progress: Option<Rc<Progress>>,
    /// The endpoint is busy with the request for as long.
    pub busy: Option<Busy>,
    /// Given back to the pool when the response ended well.
    pub lease: Option<Lease>,
    /// A fault made the request wait.
    pub delayed: bool,
    /// The request has no end: CONNECT, or one that asks for an upgrade.
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
        caller: &Caller,
        destination: SocketAddr,
    ) -> Self {
        let version = caller.version();
        let protocol = match version {
            HttpVersion::H2c => "http2",
            _ => "http",
        };
        let flow = Flow {
            protocol,
            http: Some(http),
            ..Flow::begin(Verdict::Blocked, caller.source, destination, snapshot.hash())
        };
        Self {
            worker,
            flow,
            version,
            streams: caller.streams.clone(),
            ends: caller.ends.clone(),
            _carried: Some(Carried::by(caller.idle.clone())),
            interims: None,
            started: Instant::now(),
            progress: None,
            busy: None,
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

    /// The request asks for a head alone.
    pub fn asks_for_head(&self) -> bool {
        self.flow.http.as_ref().is_some_and(|http| http.method == "HEAD")
    }

    /// The answer is a head alone. Source: RFC 9112, section 6.3.
    pub fn answers_without_body(&self) -> bool {
        let status = self.flow.http.as_ref().map_or(0, |http| http.status);
        self.asks_for_head() || matches!(status, 204 | 304)
    }

    /// The log shows the request as it is sent, but for its path.
    pub fn sent_as(&mut self, headers: &HeaderMap) {
        let text = |name: HeaderName| headers::text(headers, name);
        let http = self.http_part();
        http.authority = text(header::HOST);
        http.user_agent = text(header::USER_AGENT);
        http.forwarded_for = text(headers::FORWARDED_FOR);
        http.request_id = text(headers::REQUEST_ID);
    }

    /// Answers here.
    pub fn reply(
        self: Box<Self>,
        status: u16,
        flags: &'static str,
        details: &str,
        body: impl AsRef<[u8]>,
    ) -> Response<ResponseBody> {
        let grpc = grpc::status_for(status);
        self.reply_as(status, grpc, flags, details, body)
    }

    /// Answers here; `grpc` is what gRPC is told.
    pub fn reply_as(
        mut self: Box<Self>,
        status: u16,
        grpc: u8,
        flags: &'static str,
        details: &str,
        body: impl AsRef<[u8]>,
    ) -> Response<ResponseBody> {
        self.flow.flags = flags;
        self.flow.details = details.to_string();
        let ended = self.request_ended();
        let response = if self.http_part().answers_as_grpc() {
            self.http_part().status = 200;
            reply::grpc(grpc, body.as_ref(), self)
        } else {
            self.http_part().status = status;
            reply::local(status, body.as_ref(), self)
        };
        if ended { response } else { reply::close(response) }
    }

    /// The caller broke its request off: nobody reads an answer, but for who sent something that is no body.
    pub fn abandoned(mut self: Box<Self>) -> Response<ResponseBody> {
        if let Some(unreadable) = self.unreadable() {
            let (flags, details, text) = words_for(unreadable);
            return reply::close(self.reply(400, flags, details, text));
        }
        self.left();
        let silent = Box::new(self.silent());
        self.complete();
        reply::local(400, b"", silent)
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
            // A connection that is ended because the request is.
            Broken::Upstream(_) if self.is_abandoned() => self.left(),
            Broken::Upstream(reset) => self.cut_off(*reset),
        }
    }

    /// The same where its head was held back.
    pub fn broken_unheard(mut self: Box<Self>, broken: &Broken) -> Response<ResponseBody> {
        self.broken(broken);
        self.flow.upstream_time = None;
        let (flags, details) = (self.flow.flags, self.flow.details.clone());
        match broken {
            Broken::TimedOut => self.reply(504, flags, &details, reply::TIMED_OUT),
            Broken::Upstream(reset) => {
                let text = reply::no_answer("", reset.words());
                self.reply(reset.status(), flags, &details, text)
            }
        }
    }

    /// The upstream ended what it had begun to answer.
    pub fn cut_off(&mut self, reset: Reset) {
        self.flow.flags = reset.flags();
        self.flow.details = format!("upstream_reset_after_response_started{{{}}}", reset.details());
        if let Some(busy) = &self.busy {
            busy.report(Outcome::Failed);
        }
    }

    /// True where nothing more comes of the request: with an answer before that Envoy ends the connection, and how long the
    /// upstream took it does not say.
    pub fn request_ended(&self) -> bool {
        !self.endless && self.progress.as_ref().is_none_or(|progress| progress.ended.get())
    }

    /// True where the caller has been told something of the answer.
    pub fn has_begun(&self) -> bool {
        self.interims.as_ref().is_some_and(|interims| interims.has_begun())
    }

    /// The time that the endpoint had for its answer is over.
    pub fn timed_out(&self) {
        if let Some(busy) = &self.busy {
            busy.timed_out();
        }
    }

    /// True where the caller broke its request off.
    pub fn is_abandoned(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.broken.get())
    }

    fn unreadable(&self) -> Option<Unreadable> {
        self.progress.as_ref()?.unreadable.get()
    }

    /// The caller went away before the end.
    pub fn left(&mut self) {
        self.lease = None;
        if let Some(unreadable) = self.unreadable() {
            let (flags, details, _) = words_for(unreadable);
            self.flow.flags = flags;
            self.flow.details = details.into();
            return;
        }
        // A stream that ends on a connection that goes on was reset.
        let reset = self.streams.as_ref().is_some_and(|streams| !streams.ended.get());
        (self.flow.flags, self.flow.details) = match reset {
            true => ("DR", "http2.remote_reset".into()),
            false => ("DC", "downstream_remote_disconnect".into()),
        };
    }

    /// A stand-in that records nothing: for the head of an upgraded connection, whose flow goes on.
    pub fn silent(&self) -> Self {
        Self {
            worker: self.worker.clone(),
            flow: self.flow.clone(),
            version: self.version,
            streams: None,
            ends: None,
            _carried: None,
            interims: None,
            started: self.started,
            progress: None,
            busy: None,
            lease: None,
            delayed: false,
            endless: false,
            silent: true,
        }
    }

    /// Records the flow and gives the upstream connection back.
    pub fn complete(mut self: Box<Self>) {
        self.record();
        let lease = self.lease.take().filter(|_| self.request_ended());
        if let Some(lease) = lease {
            lease.give_back(&self.worker);
        }
        if let Some(progress) = &self.progress {
            progress.answered();
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
            self.left();
            if self.worker.draining.get() {
                self.flow.flags = "DC";
                self.flow.details = "downstream_local_disconnect".into();
            }
            self.record();
        }
    }
}

/// Flags, details and text of the answer to a body that cannot be read.
fn words_for(unreadable: Unreadable) -> (&'static str, &'static str, &'static str) {
    let no_base64 = "Bad gRPC-web request, invalid base64 data.";
    match unreadable {
        Unreadable::Framing => {
            let (_, details, text) = Refused::Malformed.answer();
            ("DPE", details, text)
        }
        Unreadable::Base64Size => ("", "grpc_base_64_decode_failed_bad_size", no_base64),
        Unreadable::Base64 => ("", "grpc_base_64_decode_failed", no_base64),
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
        "DR" => "DI,DR",
        "UR" => "DI,UR",
        "URX,UR" => "DI,URX,UR",
        "UPE" => "DI,UPE",
        "URX,UPE" => "DI,URX,UPE",
        "UO,UR" => "DI,UO,UR",
        "UO,UPE" => "DI,UO,UPE",
        other => other,
    }
}
