//! One request to its upstream: attempts, timeouts, the upstream's answer or the words for its absence.

use std::{
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    time::{Duration, Instant},
};

use hyper::{
    HeaderMap, Request, Response, StatusCode, body::Incoming, header::HeaderValue, http::request::Parts,
    upgrade::OnUpgrade,
};
use tokio::time;

use super::{
    Finish,
    exchange::{Lease, Lost, Reached, Target, exchange},
    hashing::hashing,
    headers,
    interim::Heard,
    upgrade::{declined, switch},
};
use crate::{
    flow::{
        Worker,
        body::{Deadline, RequestBody, ResponseBody},
        breaker::{Breaker, Overflow, Share},
        choice::Wish,
        grpc, reply,
        reset::Reset,
        upstream::{Failed, Why},
    },
    net::DialError,
    policy::{Forward, RetryPolicy},
};

/// Sends the request and gives the response, ours or the upstream's.
pub(super) async fn forward(
    worker: &Rc<Worker>,
    forward: Forward<'_>,
    destination: SocketAddr,
    parts: Parts,
    body: RequestBody,
    mut finish: Box<Finish>,
    on_upgrade: Option<OnUpgrade>,
) -> Response<ResponseBody> {
    // A delay that a fault injected is over by now, and no part of the timeout.
    let progress = finish.progress.clone().unwrap_or_default();
    let hashing = hashing(&forward, &parts, &finish.flow);
    let mut deadline = forward.timeout.map(|timeout| Deadline::new(timeout, progress));
    let answer = {
        // Pinned where it stands: awaited by value, each place that awaits it would have room for it.
        let answer = pin!(attempts(
            worker,
            &forward,
            destination,
            parts,
            body,
            &mut finish,
            hashing.hash
        ));
        match &mut deadline {
            None => Some(answer.await),
            Some(deadline) => {
                tokio::select! {
                    biased;
                    answer = answer => Some(answer),
                    () = deadline => None,
                }
            }
        }
    };
    let Some(answer) = answer else {
        finish.timed_out();
        return finish.reply(504, "UT", "response_timeout", reply::TIMED_OUT);
    };
    match answer {
        Ok((mut response, lease, service_time)) => {
            let ended = finish.request_ended();
            let service_time = Some(service_time).filter(|_| ended);
            finish.flow.upstream_time = service_time;
            finish.flow.details = "via_upstream".into();
            finish.http_part().status = response.status().as_u16();
            let upgrades = on_upgrade.is_some() && !worker.observes();
            if response.status() == StatusCode::SWITCHING_PROTOCOLS
                && let Some(client) = on_upgrade
            {
                let upstream = hyper::upgrade::on(&mut response);
                let head = Response::from_parts(response.into_parts().0, ());
                return switch(client, upstream, head, lease, finish);
            }
            let version = lease.version();
            let (mut head, body) = response.into_parts();
            headers::strip_response(&mut head.headers);
            if upgrades && !head.status.is_client_error() && !head.status.is_server_error() {
                return declined(head, finish);
            }
            finish.lease = Some(lease);
            headers::prepare_response(&mut head.headers, service_time);
            hashing.give(&mut head.headers);
            // The upstream's own words for its status are replaced by the standard ones.
            head.extensions.clear();
            if let Some(phrase) = reply::phrase(head.status) {
                head.extensions.insert(phrase);
            }
            head.version = hyper::Version::HTTP_11;
            let response = Response::from_parts(head, ResponseBody::upstream(body, version, deadline, finish));
            if ended { response } else { reply::close(response) }
        }
        Err(_) if finish.is_abandoned() => finish.abandoned(),
        Err(refusal) => refuse(refusal, finish),
    }
}

/// What the upstream is told of the time it has: that of an attempt, and no more than is left of the whole.
pub(super) fn expected(forward: &Forward<'_>, elapsed: Duration) -> Option<Duration> {
    let per_try = forward.retries.and_then(|retries| retries.per_try_timeout);
    let own = per_try.or(forward.timeout)?;
    let left = forward.timeout.map_or(own, |timeout| timeout.saturating_sub(elapsed));
    Some(own.min(left).max(LEAST))
}

/// None would be no limit.
const LEAST: Duration = Duration::from_millis(1);

type Answered = (Response<Incoming>, Lease, Duration);

/// A request that got no response.
struct Refusal {
    lost: Lost,
    /// The last of several attempts.
    retried: bool,
    /// Why there was no further one: `URX`, `UO` or nothing.
    flags: &'static str,
}

/// Tries until a response need not be retried. A request is only tried again when all of its body is at hand, or none of
/// it has left.
async fn attempts(
    worker: &Rc<Worker>,
    forward: &Forward<'_>,
    destination: SocketAddr,
    parts: Parts,
    mut body: RequestBody,
    finish: &mut Finish,
    hash: Option<u64>,
) -> Result<Answered, Refusal> {
    let begun = Instant::now();
    let allowed = forward.retries.map_or(0, |retries| retries.attempts);
    let is_empty = body.is_empty();
    let kept = (allowed > 0 && !is_empty).then(|| body.keep());
    let mut body = Some(body);
    let mut attempt = 0;
    let mut tried = Vec::new();
    let breaker = forward.retries.and_then(|_| worker.breaking.of(forward.cluster));
    let mut retrying: Option<Share> = None;
    loop {
        attempt += 1;
        let progress = || finish.progress.clone().unwrap_or_default();
        let own = match (body.take(), &kept) {
            (Some(body), _) => body,
            (None, Some(kept)) => RequestBody::again(kept, progress()),
            (None, None) => RequestBody::empty(progress()),
        };
        let mut request = Request::from_parts(parts.clone(), own);
        if attempt > 1 {
            headers::number_attempt(request.headers_mut(), attempt);
            headers::expect_within(request.headers_mut(), expected(forward, begun.elapsed()));
        }
        let answer = one(
            worker,
            forward,
            destination,
            request,
            finish,
            Wish { hash, tried: &tried },
        )
        .await;
        // Envoy: who has been told something is not asked to begin again.
        let left = attempt <= allowed && !finish.has_begun();
        let repeatable = is_empty || kept.as_ref().is_some_and(|kept| kept.is_whole());
        match answer {
            Ok(answered) => {
                let status = answered.0.status().as_u16();
                let headers = answered.0.headers();
                let again = repeatable
                    && forward
                        .retries
                        .is_some_and(|retries| retries_status(retries, status, headers));
                if !again {
                    return Ok(answered);
                }
                let why = match left {
                    true => retry(breaker.as_ref(), &mut retrying).err(),
                    false => Some("URX"),
                };
                if let Some(flags) = why {
                    finish.flow.flags = flags;
                    return Ok(answered);
                }
            }
            Err((lost, unsent)) => {
                let wanted = forward.retries.is_some_and(|retries| match &lost {
                    Lost::Connect(Failed { why: Why::Dial(_), .. }) => retries.connect_failure,
                    Lost::Connect(_) | Lost::Overflow => false,
                    Lost::Reset(Reset::Refused) => retries.refused_stream,
                    Lost::Reset(_) => retries.reset,
                    Lost::PerTry => retries.server_error || retries.gateway_error,
                });
                body = unsent;
                let possible = (body.is_some() || repeatable) && !finish.is_abandoned();
                let retried = attempt > 1;
                if !(wanted && left && possible) {
                    if let Some(body) = &mut body
                        && let Lost::Connect(Failed { why: Why::Dial(_), .. }) = &lost
                    {
                        body.read_what_came().await;
                    }
                    let flags = if wanted && retried { "URX" } else { "" };
                    return Err(Refusal {
                        lost,
                        retried: wanted && retried,
                        flags,
                    });
                }
                if let Err(flags) = retry(breaker.as_ref(), &mut retrying) {
                    return Err(Refusal { lost, retried, flags });
                }
            }
        }
        if forward.retries.is_some_and(|retries| retries.avoid_previous_hosts) {
            tried.extend(finish.flow.upstream);
        }
        // Envoy: full jitter in `[0, (2^n - 1) * base)`, at most ten times the base.
        let base = forward.retries.map_or(Duration::ZERO, |retries| retries.back_off);
        let ceiling = base * (2u32.saturating_pow(attempt) - 1).min(10);
        let jitter = worker.draw() % (ceiling.as_millis() as u64).max(1);
        let pause = time::sleep(Duration::from_millis(jitter));
        match &mut body {
            Some(body) => body.while_reading(pause).await,
            None => pause.await,
        }
    }
}

/// Another attempt has its share of the cluster's retries; the flag where there is none left.
fn retry(breaker: Option<&Breaker>, retrying: &mut Option<Share>) -> Result<(), &'static str> {
    // That of the attempt before, if any, is free again.
    *retrying = None;
    *retrying = breaker.map(Breaker::retry).transpose().map_err(|Overflow| "UO")?;
    Ok(())
}

fn retries_status(retries: &RetryPolicy, status: u16, headers: &HeaderMap) -> bool {
    retries.server_error && (500..600).contains(&status)
        || retries.gateway_error && (502..=504).contains(&status)
        || retries.conflict && status == 409
        || retries.statuses.contains(&status)
        || !retries.grpc_statuses.is_empty()
            && grpc::status(headers).is_some_and(|status| retries.grpc_statuses.contains(&status))
}

/// One attempt. On failure the body comes back where nothing of it was sent.
async fn one(
    worker: &Rc<Worker>,
    forward: &Forward<'_>,
    destination: SocketAddr,
    mut request: Request<RequestBody>,
    finish: &mut Finish,
    wish: Wish<'_>,
) -> Result<Answered, (Lost, Option<RequestBody>)> {
    let started = Instant::now();
    let target = Target {
        worker,
        cluster: forward.cluster,
        source: Some(finish.flow.source),
        destination,
        authority: finish.flow.http.as_ref().map_or("", |http| http.authority.as_str()),
        scheme: finish.flow.http.as_ref().map_or("http", |http| http.scheme),
        wish,
        caller: finish.version,
        limit: forward.retries.and_then(|retries| retries.per_try_timeout),
    };
    let interims = finish.interims.clone();
    let passing = interims.map(|interims| (Heard::of(&mut request), interims));
    let reached = Reached {
        upstream: &mut finish.flow.upstream,
        local: &mut finish.flow.upstream_local,
        busy: &mut finish.busy,
    };
    let sent = {
        let sending = pin!(exchange(&target, request, reached));
        match &passing {
            Some((heard, interims)) => heard.pass_until(interims, sending).await,
            None => sending.await,
        }
    };
    if let Err((Lost::PerTry, _)) = &sent {
        finish.timed_out();
    }
    sent.map(|(response, lease)| (response, lease, started.elapsed()))
}

/// Envoy's words for a request that got no response.
fn refuse(refusal: Refusal, mut finish: Box<Finish>) -> Response<ResponseBody> {
    let Refusal { lost, retried, flags } = refusal;
    let (reason, short, own) = match &lost {
        Lost::PerTry => {
            let flags = both(flags, "UT");
            return finish.reply(504, flags, "upstream_per_try_timeout", reply::TIMED_OUT);
        }
        Lost::Connect(Failed {
            why: Why::NoEndpoint, ..
        }) => {
            return finish.reply(503, "UH", "no_healthy_upstream", "no healthy upstream");
        }
        Lost::Connect(Failed {
            why: Why::Unresolvable(why),
            ..
        }) => {
            let details = format!("dns_resolution_failure{why}");
            return finish.reply(503, "DF", &details, "DNS resolution failure");
        }
        Lost::Connect(
            failed @ Failed {
                why: Why::Dial(error), ..
            },
        ) => {
            finish.flow.transport_failure = failed.transport_failure();
            match error {
                DialError::TimedOut(_) => ("connection timeout", "connection_timeout".to_string(), "UF"),
                DialError::Refused(_) | DialError::Tls(_) | DialError::Proxy(_) => (
                    "remote connection failure",
                    format!("remote_connection_failure|{}", failed.transport_failure()),
                    "UF",
                ),
            }
        }
        Lost::Reset(reset) => (reset.words(), reset.details().to_string(), reset.flags()),
        Lost::Overflow | Lost::Connect(Failed { why: Why::Overflow, .. }) => ("overflow", "overflow".to_string(), "UO"),
    };
    let again = if retried { "retried and the latest " } else { "" };
    let body = reply::no_answer(again, reason);
    let when = if finish.has_begun() { "after" } else { "before" };
    let details = format!("upstream_reset_{when}_response_started{{{short}}}");
    let status = match lost {
        Lost::Reset(reset) => reset.status(),
        _ => 503,
    };
    let mut response = finish.reply(status, both(flags, own), &details, &body);
    if own == "UO" {
        response
            .headers_mut()
            .insert("x-envoy-overloaded", HeaderValue::from_static("true"));
    }
    response
}

/// Two flags, in the order in which Envoy's router sets them.
fn both(first: &'static str, second: &'static str) -> &'static str {
    match (first, second) {
        ("URX", "UF") => "URX,UF",
        ("URX", "UC") => "URX,UC",
        ("URX", "UT") => "URX,UT",
        ("URX", "UR") => "URX,UR",
        ("URX", "UPE") => "URX,UPE",
        ("UO", "UF") => "UO,UF",
        ("UO", "UC") => "UO,UC",
        ("UO", "UT") => "UO,UT",
        ("UO", "UR") => "UO,UR",
        ("UO", "UPE") => "UO,UPE",
        _ => second,
    }
}
