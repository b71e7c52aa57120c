//! Headers as Envoy's connection manager treats them on a sidecar's outbound side.

use std::{net::IpAddr, time::Duration};

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};

use super::grpc;
use crate::policy::HeaderLines;

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

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const OPERATION: HeaderName = HeaderName::from_static("x-envoy-decorator-operation");
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const ATTEMPT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// Removes what belongs to one connection only. `upgrade` stays for a WebSocket handshake.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap, keep_upgrade: bool) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().filter(|name| !(keep_upgrade && **name == header::UPGRADE)) {
        // A caller cannot have the Host removed by naming it here.
        if *name != header::HOST {
            headers.remove(name);
        }
    }
    if !keep_upgrade {
        headers.remove(header::CONNECTION);
        headers.remove(header::UPGRADE);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    headers.remove(header::TRANSFER_ENCODING);
    if headers.get(header::TE).is_some_and(|value| value != "trailers") {
        headers.remove(header::TE);
    }
}

/// What the upstream sees beside the caller's own headers.
pub(super) fn prepare_request(
    headers: &mut HeaderMap,
    request_id: &str,
    operation: Option<&str>,
    timeout: Option<Duration>,
) {
    for name in STRIPPED {
        headers.remove(name);
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
            format!(
                "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                high >> 32,
                (high >> 16) & 0xffff,
                high & 0xfff,
                0x8000 | (low >> 48) & 0x3fff,
                low & 0xffff_ffff_ffff
            )
        }
    }
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
    let named = text(headers, HeaderName::from_static("x-forwarded-for"));
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

/// RFC 3986 dot segments removed and backslashes turned, as Envoy's BASE normalisation does before routing; `None` for
/// an encoded zero byte, which Envoy answers with 400.
pub(super) fn normalise(path_and_query: &str) -> Option<String> {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    if path.contains("%00") {
        return None;
    }
    let path = path.split('#').next().unwrap_or(path).replace('\\', "/");
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    let path = format!("/{}", kept.join("/"));
    Some(match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_before_routing() {
        for (path, expected) in [
            ("/a/../b", Some("/b")),
            ("/../../x", Some("/x")),
            ("/a/./b/..", Some("/a/")),
            ("/a\\b?q=/../", Some("/a/b?q=/../")),
            ("/a//b", Some("/a//b")),
            ("/a%2Fb", Some("/a%2Fb")),
            ("/", Some("/")),
            ("/%00", None),
        ] {
            assert_eq!(normalise(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn connection_headers_stay_on_their_connection() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "keep-alive, x-own, host".parse().unwrap());
        headers.insert("x-own", "1".parse().unwrap());
        headers.insert("host", "a".parse().unwrap());
        headers.insert("te", "gzip".parse().unwrap());
        strip_hop_by_hop(&mut headers, false);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["host"]);
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
