//! Answers that the sidecar gives itself.

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    ext::ReasonPhrase,
    header::{self, HeaderValue},
};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::{body::ResponseBody, grpc, http::Finish};
use crate::policy::HttpVersion;

const HTTP_DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// What is said of an answer that took too long.
pub(super) const TIMED_OUT: &str = "upstream request timeout";

/// What is said where there is no answer for `reason`; `again` is said before of one that was asked for again.
pub(super) fn no_answer(again: &str, reason: &str) -> String {
    format!("upstream connect error or disconnect/reset before headers. {again}reset reason: {reason}")
}

/// A response with Envoy's headers of a local reply, in its order. The length of an empty one is written by hyper, last.
pub(super) fn local(status: u16, text: &[u8], finish: Box<Finish>) -> Response<ResponseBody> {
    let length = text.len();
    // hyper knows of the requests of HTTP/1.1 that their answer has no body.
    let body = match finish.version {
        HttpVersion::H2c if finish.asks_for_head() => Bytes::new(),
        _ => Bytes::copy_from_slice(text),
    };
    let mut response = Response::new(ResponseBody::own(body, finish));
    // Codes come from Istio's validation (200 to 599) or from this crate.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(phrase) = phrase(response.status()) {
        response.extensions_mut().insert(phrase);
    }
    let headers = response.headers_mut();
    if length > 0 {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    finish_head(headers);
    response
}

fn finish_head(headers: &mut HeaderMap) {
    if let Some(date) = date() {
        headers.insert(header::DATE, date);
    }
    headers.insert(header::SERVER, HeaderValue::from_static("envoy"));
}

/// An answer of our own to a call of gRPC: a head alone, whose status is always 200. Source: Envoy's local replies.
pub(super) fn grpc(status: u8, text: &[u8], finish: Box<Finish>) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::own(Bytes::new(), finish));
    let headers = response.headers_mut();
    grpc::answer(headers, status, text);
    finish_head(headers);
    response
}

/// Envoy's words for a status, where the HTTP library has others.
pub(super) fn phrase(status: StatusCode) -> Option<ReasonPhrase> {
    let words: &[u8] = match status.as_u16() {
        203 => b"Non-Authoritative Information",
        // Of these Envoy has not heard.
        102 | 103 | 418 | 451 => b"Unknown",
        599 => b"Last Unassigned Server Error Code",
        _ if status.canonical_reason().is_none() => b"Unknown",
        _ => return None,
    };
    Some(ReasonPhrase::from_static(words))
}

/// Has the connection end with `response`. In HTTP/2, which ends connections otherwise, hyper leaves the header out.
pub(super) fn close(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

/// The time of a response that has none.
pub(super) fn date() -> Option<HeaderValue> {
    let date = OffsetDateTime::now_utc().format(HTTP_DATE).ok()?;
    HeaderValue::from_str(&date).ok()
}
