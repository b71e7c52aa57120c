//! Answers that policy gives, and what it asks for of any answer.

use std::mem;

use hyper::{
    HeaderMap, Response,
    header::{self, HeaderValue},
};

use super::{
    Finish,
    cors::Crossing,
    edits::{Asked, Sent},
};
use crate::{
    flow::{body::ResponseBody, reply},
    policy::{Reply, location},
};

/// An answer of policy's own.
pub(super) fn answered(
    mut finish: Box<Finish>,
    answer: &Reply<'_>,
    authority: &str,
    path: &str,
) -> Response<ResponseBody> {
    let target = answer
        .redirect
        .map(|redirect| location(redirect, finish.http_part().scheme, authority, path));
    let mut response = finish.reply(answer.status, flags(answer.flags), answer.details, answer.body);
    if let Some(value) = target.and_then(|target| HeaderValue::from_str(&target).ok()) {
        // Envoy's order.
        let others = mem::take(response.headers_mut());
        response.headers_mut().insert(header::LOCATION, value);
        response.headers_mut().extend(others);
    }
    if answer.closes {
        reply::close(response)
    } else {
        response
    }
}

/// What the route asks for of a response, whoever gave it. Envoy: its edits first, then the headers of cross-origin
/// requests.
pub(super) fn treated(
    response: Response<ResponseBody>,
    asked: &Asked<'_>,
    sent: &Sent,
    crossing: Crossing,
) -> Response<ResponseBody> {
    if asked.is_nothing() {
        return response;
    }
    let (mut head, body) = response.into_parts();
    if let Some(flow) = body.flow() {
        asked.edit_response(&mut head, sent, flow);
    }
    if let Crossing::Actual(headers) = crossing {
        replace(&mut head.headers, headers);
    }
    Response::from_parts(head, body)
}

fn replace(headers: &mut HeaderMap, lines: HeaderMap) {
    for (name, value) in lines {
        // Each of these has one line.
        if let Some(name) = name {
            headers.insert(name, value);
        }
    }
}

/// The flags as a record has them: nothing where policy writes that there are none.
fn flags(flags: &'static str) -> &'static str {
    if flags == "-" { "" } else { flags }
}
