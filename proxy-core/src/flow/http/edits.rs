//! Rewrites and edits of headers as routes ask for them, on one request and its response.

use hyper::{
    HeaderMap, Uri,
    header::{self, HeaderName, HeaderValue},
    http::{request, response},
};

use crate::{
    policy::{DestinationEdits, HeaderEdits, PathRewrite, Treatment, Value, Values},
    record::Flow,
};

const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");

/// Names that frame a message on its connection: what is written there is not policy's to say.
const FRAMING: [HeaderName; 4] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Request headers of which Envoy 1.40 keeps one line: what is added to it follows behind a comma.
const ONE_LINE_REQUEST: [&str; 31] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-upstream-service-time",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// The same of responses.
const ONE_LINE_RESPONSE: [&str; 22] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "age",
    "cache-control",
    "content-encoding",
    "content-type",
    "date",
    "etag",
    "expires",
    "grpc-message",
    "grpc-status",
    "last-modified",
    "location",
    "vary",
    "via",
    "x-envoy-attempt-count",
    "x-envoy-upstream-service-time",
    "x-request-id",
];

/// What a route asks for of a request that is forwarded: of its destination, then of the whole.
#[derive(Clone, Copy, Default)]
pub struct Asked<'s> {
    pub treatment: Option<&'s Treatment>,
    pub destination: Option<&'s DestinationEdits>,
    /// The name of this machine.
    pub hostname: &'s str,
}

impl Asked<'_> {
    /// True where the route asks for nothing: the common case, which costs nothing more.
    pub fn is_nothing(&self) -> bool {
        self.treatment.is_none() && self.destination.is_none()
    }

    /// Edits the request. Envoy: the destination's edits and Host, the route's edits, its Host, then the path.
    pub fn edit_request(&self, parts: &mut request::Parts, path: &str, flow: &Flow) {
        if let Some(own) = self.destination {
            self.edit_lines(&own.request, parts, path, flow);
            if let Some(authority) = &own.authority {
                // Of this rewrite Envoy leaves no trace.
                rewrite_host(&mut parts.headers, authority);
            }
        }
        let Some(treatment) = self.treatment else { return };
        self.edit_lines(&treatment.request, parts, path, flow);
        if let Some(authority) = &treatment.rewrite.authority
            && let Some(original) = rewrite_host(&mut parts.headers, authority)
        {
            parts.headers.insert(ORIGINAL_HOST, original);
        }
        if let Some(rewrite) = &treatment.rewrite.path {
            rewrite_path(rewrite, parts, path);
        }
    }

    /// Edits the head of a response: the upstream's, or one of our own, whose length and type stay.
    pub fn edit_response(&self, head: &mut response::Parts, request: &Sent, flow: &Flow) {
        let own = [header::CONTENT_TYPE, header::DATE];
        let kept = own.map(|name| head.headers.get(&name).cloned().map(|value| (name, value)));
        for edits in [
            self.destination.map(|own| &own.response),
            self.treatment.map(|treatment| &treatment.response),
        ]
        .into_iter()
        .flatten()
        {
            remove(edits, &mut head.headers);
            let made = lines(
                edits,
                &Known {
                    flow,
                    hostname: self.hostname,
                    request: &request.headers,
                    path: &request.path,
                    response: Some((&head.headers, head.status.as_u16())),
                },
            );
            write(made, &mut head.headers, &ONE_LINE_RESPONSE);
        }
        let local = flow.details != "via_upstream";
        for (name, value) in kept.into_iter().flatten() {
            // The connection manager dates what has no date; a local reply's type is written last.
            if name == header::DATE {
                head.headers.entry(name).or_insert(value);
            } else if local {
                head.headers.insert(name, value);
            }
        }
        head.headers.insert(header::SERVER, HeaderValue::from_static("envoy"));
    }

    fn edit_lines(&self, edits: &HeaderEdits, parts: &mut request::Parts, path: &str, flow: &Flow) {
        remove(edits, &mut parts.headers);
        let known = Known {
            flow,
            hostname: self.hostname,
            request: &parts.headers,
            path,
            response: None,
        };
        let made = lines(edits, &known);
        write(made, &mut parts.headers, &ONE_LINE_REQUEST);
    }

    /// What of the request the edits of its response may still ask for.
    pub fn remember(&self, headers: &HeaderMap, path: &str) -> Sent {
        let reads = self.destination.is_some_and(|own| own.response.has_operators())
            || self
                .treatment
                .is_some_and(|treatment| treatment.response.has_operators());
        if !reads {
            return Sent::default();
        }
        Sent {
            headers: headers.clone(),
            path: path.to_string(),
        }
    }
}

/// A request as it was sent, for the edits of its response.
#[derive(Default)]
pub struct Sent {
    headers: HeaderMap,
    path: String,
}

fn remove(edits: &HeaderEdits, headers: &mut HeaderMap) {
    for name in edits.remove.iter().filter_map(|name| editable(name)) {
        headers.remove(name);
    }
}

/// Lines to set and to add.
type Lines = [Vec<(HeaderName, HeaderValue)>; 2];

/// The values are made before any of them is written; Envoy writes no empty one.
fn lines(edits: &HeaderEdits, known: &Known<'_>) -> Lines {
    [&edits.set, &edits.add].map(|lines| {
        let made = lines.iter().filter_map(|(name, value)| {
            let value = value.render(known);
            let value = (!value.is_empty()).then(|| HeaderValue::from_bytes(value.as_bytes()))?;
            Some((editable(name)?, value.ok()?))
        });
        made.collect()
    })
}

fn write([set, add]: Lines, headers: &mut HeaderMap, one_line: &[&str]) {
    for (name, value) in set {
        headers.insert(name, value);
    }
    for (name, value) in add {
        let before = headers.get(&name).filter(|_| one_line.contains(&name.as_str()));
        let joined = before.map(|before| [before.as_bytes(), b",", value.as_bytes()].concat());
        match joined.and_then(|joined| HeaderValue::from_bytes(&joined).ok()) {
            Some(joined) => headers.insert(name, joined).is_some(),
            None => headers.append(name, value),
        };
    }
}

fn editable(name: &str) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    (!FRAMING.contains(&name)).then_some(name)
}

/// Puts another Host in, and gives the one before.
fn rewrite_host(headers: &mut HeaderMap, authority: &str) -> Option<HeaderValue> {
    headers.insert(header::HOST, HeaderValue::from_str(authority).ok()?)
}

fn rewrite_path(rewrite: &PathRewrite, parts: &mut request::Parts, path: &str) {
    let (Ok(target), Ok(original)) = (
        Uri::builder().path_and_query(rewrite.apply(path)).build(),
        HeaderValue::from_str(path),
    ) else {
        return;
    };
    parts.uri = target;
    parts.headers.insert(ORIGINAL_PATH, original);
}

/// What is known of a request while headers are edited.
struct Known<'k> {
    flow: &'k Flow,
    hostname: &'k str,
    request: &'k HeaderMap,
    path: &'k str,
    response: Option<(&'k HeaderMap, u16)>,
}

impl Known<'_> {
    /// The first line with a name of the request; pseudo headers count.
    fn of_request(&self, name: &str) -> Option<&str> {
        match name {
            ":path" => Some(self.path),
            ":method" => self.flow.http.as_ref().map(|http| http.method.as_str()),
            ":scheme" => self.flow.http.as_ref().map(|http| http.scheme),
            ":authority" | "host" => line(self.request, header::HOST.as_str()),
            name => line(self.request, name),
        }
    }

    fn of_response(&self, name: &str) -> Option<&str> {
        self.response.and_then(|(headers, _)| line(headers, name))
    }
}

fn line<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl Values for Known<'_> {
    fn write(&self, value: &Value, text: &mut String) {
        use std::fmt::Write as _;
        let flow = self.flow;
        // Writing to a String cannot fail.
        let _ = match value {
            Value::Request(name, other) => {
                let found = self.of_request(name);
                let found = found.or_else(|| other.as_deref().and_then(|other| self.of_request(other)));
                text.write_str(found.unwrap_or_default())
            }
            Value::Response(name, other) => {
                let found = self.of_response(name);
                let found = found.or_else(|| other.as_deref().and_then(|other| self.of_response(other)));
                text.write_str(found.unwrap_or_default())
            }
            Value::Protocol => text.write_str(flow.http.as_ref().map_or("", |http| http.version)),
            Value::Source => write!(text, "{}", flow.remote()),
            Value::SourceAddress => write!(text, "{}", flow.remote().ip()),
            Value::Destination => write!(text, "{}", flow.destination),
            Value::DestinationAddress => write!(text, "{}", flow.destination.ip()),
            Value::DestinationPort => write!(text, "{}", flow.destination.port()),
            Value::Upstream => flow.upstream.map_or(Ok(()), |upstream| write!(text, "{upstream}")),
            Value::Cluster => text.write_str(&flow.cluster),
            Value::Route => text.write_str(&flow.route),
            Value::Status => write!(text, "{}", self.response.map_or(0, |(_, status)| status)),
            Value::Start(format) => format.write(flow.start, text),
            Value::Hostname => text.write_str(self.hostname),
            Value::Unknown(_) => Ok(()),
        };
    }
}
