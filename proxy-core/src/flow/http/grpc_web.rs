//! Calls of gRPC-Web, which browsers can make, made into calls of gRPC. Source: Envoy's `GrpcWebFilter`, which Istio has stand
//! before all that a route does: what comes back of a route, edits and answers of our own included, is made into gRPC-Web.

use hyper::{
    HeaderMap, Request, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use super::Finish;
use crate::flow::{
    body::{RequestBody, ResponseBody},
    grpc,
};

const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const BINARY: [&str; 2] = ["application/grpc-web", "application/grpc-web+proto"];
const TEXT: [&str; 2] = ["application/grpc-web-text", "application/grpc-web-text+proto"];

/// A call that came as one of gRPC-Web.
#[derive(Debug, Clone, Copy)]
pub(super) struct Web {
    /// Its caller wants the answer in base64.
    text: bool,
}

impl Web {
    /// Makes a request of gRPC-Web into one of gRPC; `None` where it is none.
    pub fn take(request: &mut Request<RequestBody>, finish: &mut Finish) -> Option<Self> {
        let is = |headers: &HeaderMap, name, kinds: [&str; 2]| {
            let value = headers.get(name).map(HeaderValue::as_bytes);
            value.is_some_and(|value| kinds.iter().any(|kind| value == kind.as_bytes()))
        };
        let in_text = is(request.headers(), header::CONTENT_TYPE, TEXT);
        if !in_text && !is(request.headers(), header::CONTENT_TYPE, BINARY) {
            return None;
        }
        request.body_mut().reframe(in_text);
        let headers = request.headers_mut();
        let text = is(headers, header::ACCEPT, TEXT);
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers
            .entry(ACCEPT_ENCODING)
            .or_insert(HeaderValue::from_static("identity"));
        finish.http_part().grpc = true;
        finish.http_part().grpc_web = true;
        Some(Self { text })
    }

    /// Makes the answer one of gRPC-Web.
    async fn answer(self, response: Response<ResponseBody>) -> Response<ResponseBody> {
        let is_grpc = response.status() == StatusCode::OK && is_message(response.headers());
        let (mut head, body) = response.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        let [_, kind] = if self.text { TEXT } else { BINARY };
        head.headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if hyper::body::Body::is_end_stream(&body) {
            return Response::from_parts(head, body);
        }
        if is_grpc {
            return Response::from_parts(head, body.into_web(self.text));
        }
        match body.words().await {
            Ok((words, body)) => {
                grpc::tell(&mut head.headers, grpc::status_for(head.status.as_u16()), &words);
                head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
                Response::from_parts(head, body)
            }
            // Past all filters, in Envoy's words: its head had not gone yet.
            Err((broken, finish)) => finish.broken_unheard(&broken),
        }
    }
}

/// The answer as it is told to who asked in the way of `web`.
pub(super) async fn answered(web: Option<Web>, response: Response<ResponseBody>) -> Response<ResponseBody> {
    match web {
        None => response,
        // In a box: every connection has room for what its requests wait for here.
        Some(web) => Box::pin(web.answer(response)).await,
    }
}

/// True where a body of gRPC follows, or what is gRPC-Web already.
fn is_message(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim_end();
    grpc::is_grpc(headers) || BINARY.iter().any(|binary| binary.eq_ignore_ascii_case(kind))
}
