//! What an `http[]` entry does to requests and responses beside where it sends them, refused as Istio's validation does.

use super::{
    cursor::Cursor,
    routes::{destination_of, text_match},
    service_entry::choice,
};
use crate::model::{
    Abort, Cors, Delay, Fault, HeaderOperations, Headers, Mirror, PathRewrite, Percentage, Rewrite, TextMatch,
};

/// Codes that `grpcStatus` takes by name, each at its number.
const GRPC_STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Methods that `corsPolicy` may name.
const CORS_METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
];

/// `fault` of a route. What is injected by no rule that Istio knows is left out.
pub fn fault(route: Cursor<'_>) -> Option<Fault> {
    let fault = route.mapping("fault")?;
    let (abort, delay) = (fault.mapping("abort"), fault.mapping("delay"));
    if abort.is_none() && delay.is_none() {
        fault.error("HTTP fault injection must have an abort and/or a delay");
    }
    Some(Fault {
        line: fault.line(),
        delay: delay.and_then(|delay| self::delay(delay)),
        abort: abort.and_then(|abort| self::abort(abort)),
    })
}

fn delay(delay: Cursor<'_>) -> Option<Delay> {
    let share = share(delay);
    // An older field, in whole percent.
    let older = delay.count("percent").map(|percent| Percentage::of(f64::from(percent)));
    if delay.has("exponentialDelay") {
        delay.error_at("exponentialDelay", "exponentialDelay not supported yet");
    }
    Some(Delay {
        percentage: share.or(older).unwrap_or_default(),
        duration: delay.duration("fixedDelay")?,
    })
}

fn abort(abort: Cursor<'_>) -> Option<Abort> {
    let percentage = share(abort).unwrap_or_default();
    if abort.has("http2Error") {
        abort.error_at("http2Error", "HTTP/2 abort fault injection not supported yet");
    }
    if let Some(name) = abort.text("grpcStatus") {
        let number = GRPC_STATUS.iter().position(|own| *own == name);
        if number.is_none() {
            abort.error_at("grpcStatus", format!("gRPC status {name:?} is not supported"));
        }
        return Some(Abort {
            percentage,
            status: 200,
            grpc: number.and_then(|number| u8::try_from(number).ok()),
        });
    }
    let status = abort.count("httpStatus")?;
    if !(200..=600).contains(&status) {
        abort.error_at("httpStatus", format!("HTTP status {status} is not in range 200-599"));
    }
    Some(Abort {
        percentage,
        status: u16::try_from(status).ok()?,
        grpc: None,
    })
}

/// `percentage` of a delay or an abort.
fn share(part: Cursor<'_>) -> Option<Percentage> {
    let percentage = part.mapping("percentage")?;
    let value = percentage.number("value").unwrap_or_default();
    if !(0.0..=100.0).contains(&value) || value > 0.0 && value < 0.0001 {
        percentage.error("percentage is neither 0.0, nor in range [0.0001, 100.0]");
    }
    Some(Percentage::of(value))
}

/// `rewrite` of a route.
pub fn rewrite(route: Cursor<'_>) -> Option<Rewrite> {
    let rewrite = route.mapping("rewrite")?;
    let written = |key| rewrite.some_text(key).map(str::to_string);
    let (uri, authority, regex) = (written("uri"), written("authority"), rewrite.mapping("uriRegexRewrite"));
    if uri.is_some() && regex.is_some() {
        rewrite.error("rewrite may only contain one of URI or UriRegexRewrite");
    }
    if uri.is_none() && regex.is_none() && authority.is_none() {
        rewrite.error("rewrite must specify at least one of URI, UriRegexRewrite, or authority");
    }
    let regex = regex.and_then(|regex| {
        let (pattern, substitution) = (regex.some_text("match"), regex.some_text("rewrite"));
        let (Some(pattern), Some(substitution)) = (pattern, substitution) else {
            regex.error("UriRegexRewrite requires both Rewrite and Match fields to be specified");
            return None;
        };
        if pattern.len() > 1024 {
            regex.error_at("match", "regex is too large, max length allowed is 1024");
        } else if regex::Regex::new(pattern).is_err() {
            regex.error_at("match", "not a regular expression");
        }
        Some(PathRewrite::Regex {
            pattern: pattern.to_string(),
            substitution: substitution.to_string(),
        })
    });
    Some(Rewrite {
        line: rewrite.line(),
        path: regex.or(uri.map(PathRewrite::Matched)),
        authority,
    })
}

/// True for names that stand for the Host.
pub fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

/// `headers` of a route or of a destination.
pub fn headers(owner: Cursor<'_>) -> Option<Headers> {
    let headers = owner.mapping("headers")?;
    let operations = |direction: &str| {
        let own = headers.mapping(direction);
        own.map(|own| operations(own, direction == "request"))
            .unwrap_or_default()
    };
    Some(Headers {
        line: headers.line(),
        request: operations("request"),
        response: operations("response"),
    })
}

fn operations(own: Cursor<'_>, of_requests: bool) -> HeaderOperations {
    let refused = |name: &str, set: bool| {
        let internal = name.starts_with(':') || name.eq_ignore_ascii_case("host");
        name.is_empty() || internal && !(set && of_requests && is_authority(name))
    };
    let values = |key| {
        own.pairs(key, |name, value| {
            if refused(name, true) {
                value.error(format!("invalid header {name:?}: it cannot be set"));
            }
            let text = value.as_text()?;
            if let Some(wrong) = wrong_value(text) {
                value.error(format!("header value configuration {text:?} is invalid: {wrong}"));
            }
            Some(text.to_string())
        })
        .into_iter()
        .collect()
    };
    HeaderOperations {
        set: values("set"),
        add: values("add"),
        remove: own.list("remove", |name| {
            let text = name.as_text()?;
            if refused(text, false) {
                name.error("this header cannot be removed");
            }
            Some(text.to_string())
        }),
    }
}

/// What is wrong with a header's value and the operators in it. Istio checks their form alone: `validateHeaderValue`.
fn wrong_value(text: &str) -> Option<&'static str> {
    if text.chars().any(|c| c != '\t' && c.is_ascii_control()) {
        return Some("it holds a control character");
    }
    #[derive(PartialEq)]
    enum At {
        Literal,
        Name,
        ArgumentBegin,
        NextOrEnd,
        TextBegin,
        Text,
        ArgumentsEnd,
        OperatorEnd,
    }
    let mut at = At::Literal;
    let mut letters = text.bytes().peekable();
    while let Some(letter) = letters.next() {
        at = match (at, letter) {
            (At::Literal, b'%') => match letters.peek() {
                None => return Some("a single % ends it; write %% for a percent sign"),
                Some(b'%') => {
                    letters.next();
                    At::Literal
                }
                Some(_) => At::Name,
            },
            (At::Name, b'%') | (At::OperatorEnd, b'%') => At::Literal,
            (At::Name, b'(') => At::ArgumentBegin,
            (At::ArgumentBegin, b'[') | (At::NextOrEnd, b',') => At::TextBegin,
            (At::NextOrEnd, b']') => At::ArgumentsEnd,
            (At::TextBegin, b'"') => At::Text,
            (At::Text, b'\\') if letters.next().is_none() => return Some("a backslash ends it"),
            (At::Text, b'\\') => At::Text,
            (At::Text, b')') | (At::ArgumentsEnd, b')') => At::OperatorEnd,
            (At::Text, b'"') => At::NextOrEnd,
            // What begins an argument that is no list is its text.
            (At::ArgumentBegin, letter) if letter != b' ' => At::Text,
            (At::NextOrEnd | At::TextBegin | At::ArgumentsEnd | At::OperatorEnd, letter) if letter != b' ' => {
                return Some("an operator is malformed");
            }
            (at, _) => at,
        };
    }
    (at != At::Literal).then_some("an operator has no end; write %% for a percent sign")
}

/// `mirrors`.
pub fn mirrors(route: Cursor<'_>) -> Vec<Mirror> {
    if route.has("mirror") && route.has("mirrors") {
        route.error_at("mirrors", "HTTP route cannot contain both mirror and mirrors");
    }
    route.mappings("mirrors", |mirror| {
        let percentage = mirrored(mirror, "percentage");
        let Some(destination) = mirror.mapping("destination") else {
            mirror.error("destination is required for mirrors");
            return None;
        };
        Some(Mirror {
            destination: destination_of(destination)?,
            percentage: percentage.unwrap_or(Percentage::ALL),
        })
    })
}

/// The share of requests that are mirrored.
pub fn mirrored(owner: Cursor<'_>, key: &str) -> Option<Percentage> {
    let percentage = owner.mapping(key)?;
    let value = percentage.number("value").unwrap_or_default();
    if !(0.0..=100.0).contains(&value) {
        percentage.error("mirror percentage must be between 0 and 100");
    }
    Some(Percentage::of(value))
}

/// The older `mirrorPercent`, in whole percent.
pub fn mirror_percent(route: Cursor<'_>) -> Option<Percentage> {
    let percent = route.count("mirrorPercent")?;
    if percent > 100 {
        route.error_at("mirrorPercent", "mirror_percent must have a max value of 100");
    }
    Some(Percentage::of(f64::from(percent)))
}

/// `corsPolicy`.
pub fn cors(route: Cursor<'_>) -> Option<Cors> {
    let policy = route.mapping("corsPolicy")?;
    let origins = policy.list("allowOrigins", |origin| {
        let text = text_match(origin)?;
        match &text {
            TextMatch::Regex(regex) if regex == "*" => origin.error("not a regular expression"),
            TextMatch::Regex(regex) if regex.len() > 1024 => {
                origin.error("regex is too large, max length allowed is 1024");
            }
            TextMatch::Exact(text) | TextMatch::Prefix(text) | TextMatch::Regex(text) if !text.is_empty() => {}
            _ => origin.error("'' is not a valid match type for CORS allow origins"),
        }
        Some(text)
    });
    // An older list of exact origins, which counts where the other one is not written.
    let older = policy.texts("allowOrigin").into_iter().map(TextMatch::Exact).collect();
    let methods = policy.list("allowMethods", |method| {
        let text = method.as_text()?;
        if !CORS_METHODS.contains(&text) {
            method.error(format!("{text:?} is not a supported HTTP method"));
        }
        Some(text.to_string())
    });
    let names = |key| {
        policy.list(key, |name| {
            let text = name.as_text()?;
            if text != "*" && !is_header_name(text) {
                name.error(format!("header name {text} is not a valid header name"));
            }
            Some(text.to_string())
        })
    };
    let max_age = policy.duration("maxAge");
    if max_age.is_some_and(|age| age.subsec_nanos() > 0) {
        policy.error_at("maxAge", "max_age duration is accurate only to seconds precision");
    }
    let preflights = [("UNSPECIFIED", false), ("FORWARD", false), ("IGNORE", true)];
    Some(Cors {
        line: policy.line(),
        allow_origins: if policy.has("allowOrigins") { origins } else { older },
        allow_methods: methods.join(",").into(),
        allow_headers: names("allowHeaders").join(",").into(),
        expose_headers: names("exposeHeaders").join(",").into(),
        max_age: max_age.map(|age| age.as_secs().to_string()),
        allow_credentials: policy.boolean("allowCredentials").unwrap_or_default(),
        ignore_unmatched: choice(policy, "unmatchedPreflights", &preflights).unwrap_or_default(),
    })
}

/// A token, as HTTP has them (RFC 9110, 5.6.2).
fn is_header_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_headers_are_refused_where_istio_refuses_them() {
        for taken in [
            "",
            "plain",
            "100%%",
            "%HOSTNAME%",
            "a %REQ(X-A?:PATH)% b",
            r#"%UPSTREAM_METADATA(["a", "b"])%"#,
            "%START_TIME(%s)%",
            "tab\tis taken",
        ] {
            assert_eq!(wrong_value(taken), None, "{taken}");
        }
        for refused in [
            "abc%123",
            "%START_TIME%%",
            "%",
            "%REQ(X-A",
            "%REQ(X-A):2%",
            r#"%UPSTREAM_METADATA([a])%"#,
            "line\nbreak",
        ] {
            assert!(wrong_value(refused).is_some(), "{refused}");
        }
    }
}
