//! gRPC as Envoy knows it on a sidecar's outbound side: which requests it takes for gRPC, how long they may take, and how
//! its own answers are told to them. Source: `Grpc::Common` and `Router::FilterUtility` of Envoy.

use std::{fmt::Write, time::Duration};

use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};

const CONTENT_TYPE: &[u8] = b"application/grpc";
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The largest number that `grpc-timeout` may have.
const MOST: u64 = 99_999_999;

/// True for `application/grpc` and `application/grpc+...`; gRPC-Web is none.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = value.and_then(|value| value.strip_prefix(CONTENT_TYPE));
    rest.is_some_and(|rest| matches!(rest, [] | [b'+', ..]))
}

/// The limit of a gRPC request: what the caller allows, and no more than the route does.
pub(super) fn timeout(headers: &HeaderMap, route: Option<Duration>) -> Option<Duration> {
    // Zero is no limit.
    let own = asked(headers).filter(|own| !own.is_zero());
    match (own, route) {
        (Some(own), Some(route)) => Some(own.min(route)),
        (own, route) => own.or(route),
    }
}

fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let milliseconds = match text.as_bytes()[digits] {
        b'H' => number.checked_mul(3_600_000)?,
        b'M' => number.checked_mul(60_000)?,
        b'S' => number.checked_mul(1000)?,
        b'm' => number,
        b'u' => number.div_ceil(1000),
        b'n' => number.div_ceil(1_000_000),
        _ => return None,
    };
    Some(Duration::from_millis(milliseconds))
}

/// Tells the upstream how long a gRPC request has.
pub(super) fn expect_within(headers: &mut HeaderMap, timeout: Duration) {
    let mut number = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let mut unit = 'm';
    for (next, per) in [('S', 1000), ('M', 60), ('H', 60)] {
        if number <= MOST {
            break;
        }
        (number, unit) = (number / per, next);
    }
    if let Ok(value) = HeaderValue::from_str(&format!("{}{unit}", number.min(MOST))) {
        headers.insert(TIMEOUT, value);
    }
}

/// The status of gRPC in the head of a response.
pub(super) fn status(headers: &HeaderMap) -> Option<u8> {
    headers.get(STATUS)?.to_str().ok()?.parse().ok()
}

/// What gRPC is told of a status of HTTP.
pub(super) fn status_for(http: u16) -> u8 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The status of HTTP that one of gRPC counts for. Envoy: `Grpc::Utility::grpcToHttpStatus`.
pub(super) fn http_status(grpc: u8) -> u16 {
    match grpc {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// Writes an answer into the head of a response that has nothing else: what ends a call of gRPC.
pub(super) fn answer(headers: &mut HeaderMap, status: u8, text: &[u8]) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    tell(headers, status, text);
}

/// Writes a status, and what it is about, into a head.
pub(super) fn tell(headers: &mut HeaderMap, status: u8, text: &[u8]) {
    headers.insert(STATUS, HeaderValue::from(u16::from(status)));
    if let Ok(message) = HeaderValue::from_str(&encoded(text))
        && !text.is_empty()
    {
        headers.insert(MESSAGE, message);
    }
}

/// Percent encoding of `grpc-message`.
fn encoded(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn grpc_is_told_by_its_content_type_and_grpc_web_is_none() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&headers(header::CONTENT_TYPE, kind)), expected, "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn a_call_has_the_time_that_it_asks_for_and_no_more_than_its_route_allows() {
        let millis = |number| Some(Duration::from_millis(number));
        for (asked, route, expected) in [
            ("200m", None, millis(200)),
            ("200m", millis(500), millis(200)),
            ("2S", millis(500), millis(500)),
            ("1M", None, millis(60_000)),
            ("1H", None, millis(3_600_000)),
            ("1500u", None, millis(2)),
            ("1n", None, millis(1)),
            ("0m", millis(500), millis(500)),
            ("0m", None, None),
            ("soon", None, None),
            ("7", None, None),
            ("", millis(500), millis(500)),
        ] {
            assert_eq!(
                timeout(&headers(TIMEOUT, asked), route),
                expected,
                "{asked:?} {route:?}"
            );
        }
    }

    #[test]
    fn a_long_time_is_told_in_a_larger_unit() {
        for (millis, expected) in [
            (500, "500m"),
            (99_999_999, "99999999m"),
            (100_000_000, "100000S"),
            (u64::MAX, "99999999H"),
        ] {
            let mut headers = HeaderMap::new();
            expect_within(&mut headers, Duration::from_millis(millis));
            assert_eq!(headers[TIMEOUT], expected);
        }
    }

    #[test]
    fn an_answer_is_told_in_a_head_alone_its_text_percent_encoded() {
        let mut head = HeaderMap::new();
        answer(&mut head, 14, "some % \u{fc}\n\"x\"".as_bytes());
        let lines: Vec<_> = head
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        let message = "some %25 %C3%BC%0A\"x\"";
        assert_eq!(
            lines,
            [
                ("content-type", "application/grpc"),
                ("grpc-status", "14"),
                ("grpc-message", message)
            ]
        );
        assert_eq!(status(&head), Some(14));
    }
}
