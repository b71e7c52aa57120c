//! Headers as Envoy's connection manager treats them on a sidecar's outbound side.

use std::{net::IpAddr, time::Duration};

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};

use super::grpc;
use crate::policy::HeaderLines;

/// What the names of Envoy's control headers begin with.
const CONTROL: &str = "x-envoy-";

/// Control headers that Envoy strips from callers it takes for external: sidecars do, for they do not use the remote
/// address.
const STRIPPED: [&str; 13] = [
    "x-envoy-retry-on",
    "x-envoy-max-retries",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-ip-tags",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-internal",
    "x-envoy-original-url",
];

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Whom a request comes from, as the proxies on its way tell.
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What a request is known by.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const OPERATION: HeaderName = HeaderName::from_static("x-envoy-decorator-operation");
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const ATTEMPT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// What belongs to one connection only.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TRANSFER_ENCODING,
    header::TE,
];

/// Removes of a request what belongs to one connection only. What a WebSocket handshake names is left to it, as by Envoy.
pub(super) fn strip_request(headers: &mut HeaderMap, keep_upgrade: bool) {
    // As below: many have none of them.
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    let takes_trailers = tokens(headers, header::TE).any(|token| token == "trailers");
    if !keep_upgrade {
        let named: Vec<HeaderName> = tokens(headers, header::CONNECTION)
            .filter_map(|name| name.parse().ok())
            .collect();
        // A caller cannot have the Host removed by naming it here.
        for name in named.iter().filter(|name| **name != header::HOST) {
            headers.remove(name);
        }
    }
    strip(headers, keep_upgrade);
    if takes_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(header::TE);
    }
}

/// The same of an answer. What its `Connection` names stays, as with Envoy.
pub(super) fn strip_response(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    strip(headers, false);
    headers.remove(header::TE);
}

fn strip(headers: &mut HeaderMap, keep_upgrade: bool) {
    if !keep_upgrade {
        headers.remove(header::CONNECTION);
        headers.remove(header::UPGRADE);
    }
    headers.remove(KEEP_ALIVE);
    headers.remove(PROXY_CONNECTION);
    headers.remove(header::TRANSFER_ENCODING);
}

/// What a header lists, over all of its lines.
pub(super) fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter();
    let lines = lines.filter_map(|value| value.to_str().ok());
    lines.flat_map(|value| value.split(',')).map(str::trim)
}

/// What the upstream sees beside the caller's own headers.
pub(super) fn prepare_request(
    headers: &mut HeaderMap,
    request_id: &str,
    operation: Option<&str>,
    timeout: Option<Duration>,
) {
    // Most callers have none of them; to look at each name once costs less than to look each of these up.
    if headers.keys().any(|name| name.as_str().starts_with(CONTROL)) {
        for name in STRIPPED {
            headers.remove(name);
        }
    }
    headers
        .entry(FORWARDED_PROTO)
        .or_insert(HeaderValue::from_static("http"));
    insert(headers, REQUEST_ID, request_id);
    if let Some(operation) = operation {
        insert(headers, OPERATION, operation);
    }
    expect_within(headers, timeout);
    number_attempt(headers, 1);
}

/// Numbers the attempt, behind all edits of the first one.
pub(super) fn number_attempt(headers: &mut HeaderMap, attempt: u32) {
    headers.insert(ATTEMPT, HeaderValue::from(attempt));
}

/// Tells the upstream how long it has, where there is a limit.
pub(super) fn expect_within(headers: &mut HeaderMap, timeout: Option<Duration>) {
    if let Some(timeout) = timeout {
        headers.insert(EXPECTED_TIMEOUT, HeaderValue::from(timeout.as_millis() as u64));
        if grpc::is_grpc(headers) {
            grpc::expect_within(headers, timeout);
        }
    }
}

/// One line of cookies: HTTP/2 may send them in pieces. Source: RFC 9113, section 8.2.3.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let header::Entry::Occupied(pieces) = headers.entry(header::COOKIE) else {
        return;
    };
    if pieces.iter().count() < 2 {
        return;
    }
    let (name, pieces) = pieces.remove_entry_mult();
    let pieces: Vec<HeaderValue> = pieces.collect();
    let pieces: Vec<&[u8]> = pieces.iter().map(HeaderValue::as_bytes).collect();
    if let Ok(line) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(name, line);
    }
}

/// What the caller sees beside the upstream's own headers. How long the upstream took is known where the request had ended.
pub(super) fn prepare_response(headers: &mut HeaderMap, service_time: Option<Duration>) {
    headers.insert(header::SERVER, HeaderValue::from_static("envoy"));
    if let Some(service_time) = service_time {
        headers.insert(SERVICE_TIME, HeaderValue::from(service_time.as_millis() as u64));
    }
    if !headers.contains_key(header::DATE)
        && let Some(date) = super::reply::date()
    {
        headers.insert(header::DATE, date);
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Values come from policy objects; one that cannot stand in a header is left out rather than sent broken.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The caller's request id, or a new one.
pub(super) fn request_id(headers: &HeaderMap, random: impl Fn() -> u64) -> String {
    match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()) {
        Some(id) => id.to_string(),
        None => {
            let (high, low) = (random(), random());
            uuid(high, low)
        }
    }
}

/// A random UUID, version 4. Source: RFC 9562, section 5.4.
fn uuid(high: u64, low: u64) -> String {
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let bits = u128::from(high) << 64 | u128::from(low);
    let mut text = String::with_capacity(36);
    for (place, byte) in bits.to_be_bytes().into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// Text of a header, empty where it is missing or not text.
pub(super) fn text(headers: &HeaderMap, name: HeaderName) -> String {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_string()
}

/// For whom the caller forwards: Istio's sidecars believe the last that `x-forwarded-for` names.
pub(super) fn named_source(headers: &HeaderMap) -> Option<IpAddr> {
    let named = headers.get(FORWARDED_FOR)?.to_str().ok()?;
    named.rsplit(',').next()?.trim().parse().ok()
}

/// Header lines for a decision.
#[derive(Debug)]
pub(super) struct Lines<'h>(pub &'h HeaderMap);

impl HeaderLines for Lines<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.0
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(test)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_random_uuid_whatever_is_drawn() {
        assert_eq!(uuid(0, 0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u64::MAX, u64::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(
            uuid(0x0123_4567_89ab_cdef, 0x0123_4567_89ab_cdef),
            "01234567-89ab-4def-8123-456789abcdef"
        );
    }

    #[test]
    fn connection_headers_stay_on_their_connection() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "keep-alive, x-own, host".parse().unwrap());
        headers.insert("x-own", "1".parse().unwrap());
        headers.insert("host", "a".parse().unwrap());
        headers.insert("te", "gzip".parse().unwrap());
        strip_request(&mut headers, false);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["host"]);
    }

    #[test]
    fn of_the_encodings_that_a_caller_takes_only_trailers_are_passed_on() {
        for (lines, kept) in [
            (&["trailers, gzip"][..], Some("trailers")),
            (&["gzip;q=0.5", "trailers"], Some("trailers")),
            (&["gzip"], None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("connection", "te".parse().unwrap());
            for line in lines {
                headers.append("te", line.parse().unwrap());
            }
            strip_request(&mut headers, false);
            let lines: Vec<_> = headers.get_all("te").iter().collect();
            assert_eq!(lines, kept.as_slice());
        }
    }

    #[test]
    fn what_an_upgrade_names_stays_with_it() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "Upgrade, x-own".parse().unwrap());
        headers.insert("upgrade", "websocket".parse().unwrap());
        headers.insert("x-own", "1".parse().unwrap());
        strip_request(&mut headers, true);
        let mut kept: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        kept.sort_unstable();
        assert_eq!(kept, ["connection", "upgrade", "x-own"]);
    }

    #[test]
    fn control_headers_of_callers_are_stripped_and_ours_set() {
        let mut headers = HeaderMap::new();
        headers.insert("x-envoy-upstream-rq-timeout-ms", "1".parse().unwrap());
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        prepare_request(&mut headers, "id", Some("a:80/*"), Some(Duration::from_secs(3)));
        assert!(!headers.contains_key("x-envoy-upstream-rq-timeout-ms"));
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-envoy-decorator-operation"], "a:80/*");
        assert_eq!(headers["x-envoy-expected-rq-timeout-ms"], "3000");
    }
}
