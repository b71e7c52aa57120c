//! The hash of a request that chooses its endpoint, and the cookies that are given to who has none of them.

use std::net::IpAddr;

use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
    http::request::Parts,
};

use crate::{
    model::HashCookie,
    policy::{Forward, Hashed, connection_cookie, hash_of},
    record::Flow,
};

/// What a request's hash came to.
#[derive(Debug, Default)]
pub(super) struct Hashing {
    /// The hash, where there is one.
    pub hash: Option<u64>,
    /// Values of `set-cookie`.
    cookies: Vec<HeaderValue>,
}

/// The request as it is sent.
#[derive(Debug)]
struct Sent<'r> {
    parts: &'r Parts,
    source: IpAddr,
}

impl Hashed for Sent<'_> {
    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        let lines = self.parts.headers.get_all(name).iter();
        lines.for_each(|value| each(value.as_bytes()));
    }

    fn path(&self) -> &str {
        self.parts.uri.path_and_query().map_or("", |path| path.as_str())
    }

    fn source(&self) -> IpAddr {
        self.source
    }
}

/// The hash of the request, for a cluster that is balanced by it.
pub(super) fn hashing(forward: &Forward<'_>, parts: &Parts, flow: &Flow) -> Hashing {
    let balance = forward.cluster.settings.balance.as_deref();
    let mut made = Hashing::default();
    if forward.hash.is_empty() || !balance.is_some_and(|balance| balance.balancer.hashes()) {
        return made;
    }
    let sent = Sent {
        parts,
        source: flow.remote().ip(),
    };
    let Hashing { hash, cookies } = &mut made;
    *hash = hash_of(forward.hash, &sent, &mut |cookie| {
        // The same for all requests of a connection, however many of them come before the first answer.
        let value = connection_cookie(flow.source, flow.destination);
        cookies.extend(HeaderValue::try_from(set_cookie(cookie, &value)).ok());
        value
    });
    made
}

impl Hashing {
    /// Gives the cookies with an answer of the upstream's.
    pub fn give(self, headers: &mut HeaderMap) {
        for cookie in self.cookies {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
}

/// Envoy: `makeSetCookieValue`.
fn set_cookie(cookie: &HashCookie, value: &str) -> String {
    let mut text = format!("{}=\"{value}\"", cookie.name);
    let age = cookie.ttl.unwrap_or_default().as_secs();
    if age > 0 {
        text.push_str(&format!("; Max-Age={age}"));
    }
    if !cookie.path.is_empty() {
        text.push_str(&format!("; Path={}", cookie.path));
    }
    for (name, value) in &cookie.attributes {
        text.push_str("; ");
        text.push_str(name);
        if !value.is_empty() {
            text.push('=');
            text.push_str(value);
        }
    }
    text.push_str("; HttpOnly");
    text
}
