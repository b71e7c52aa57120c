//! Cross-origin requests. Source: Envoy's CORS filter, as its version 1.40 was seen to act.

use hyper::{
    HeaderMap, Method, Request,
    header::{self, HeaderValue},
};

use crate::policy::Cors;

/// What a route's policy makes of a request.
pub enum Crossing {
    /// It asks for nothing: no Origin, or one that is not answered.
    None,
    /// A preflight, answered here with these headers.
    Preflight(HeaderMap),
    /// A request whose response carries these headers.
    Actual(HeaderMap),
}

impl Crossing {
    /// Reads `Origin`, and whether it is a preflight: OPTIONS that says which method would follow.
    pub fn of<B>(cors: &Cors, request: &Request<B>) -> Self {
        let lines = request.headers();
        let origin = lines.get(header::ORIGIN).filter(|origin| !origin.is_empty());
        let Some(origin) = origin else { return Self::None };
        let is_preflight = request.method() == Method::OPTIONS
            && lines
                .get(header::ACCESS_CONTROL_REQUEST_METHOD)
                .is_some_and(|method| !method.is_empty());
        let policy = &cors.policy;
        if !origin.to_str().is_ok_and(|origin| cors.allows(origin)) {
            return match is_preflight && policy.ignore_unmatched {
                true => Self::Preflight(HeaderMap::new()),
                false => Self::None,
            };
        }
        let mut answer = HeaderMap::new();
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if policy.allow_credentials {
            answer.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        let mut say = |name, value: &str| {
            // Values come from policy objects; one that cannot stand in a header is left out rather than sent broken.
            if let Some(value) = (!value.is_empty()).then(|| HeaderValue::from_str(value).ok()).flatten() {
                answer.insert(name, value);
            }
        };
        if is_preflight {
            say(header::ACCESS_CONTROL_ALLOW_METHODS, &policy.allow_methods);
            say(header::ACCESS_CONTROL_ALLOW_HEADERS, &policy.allow_headers);
            say(
                header::ACCESS_CONTROL_MAX_AGE,
                policy.max_age.as_deref().unwrap_or_default(),
            );
        }
        say(header::ACCESS_CONTROL_EXPOSE_HEADERS, &policy.expose_headers);
        if is_preflight {
            Self::Preflight(answer)
        } else {
            Self::Actual(answer)
        }
    }
}
