//! What a request says of where it goes.

use std::net::SocketAddr;

use hyper::{Request, Version, header};

use crate::flow::{Worker, body::RequestBody, explicit};

/// True for a path that HTTP/2 allows.
pub fn names_path(path: &str) -> bool {
    path.starts_with('/') || path == "*"
}

/// The authority of an absolute target, else the Host lines; two lines become one with a comma, as in Envoy.
pub fn authority(request: &Request<RequestBody>) -> Option<String> {
    if let Some(authority) = request.uri().authority() {
        let authority = authority.as_str();
        // What the target of HTTP/1.1 says of a user Envoy leaves out.
        let host = authority
            .rsplit_once('@')
            .filter(|_| request.version() != Version::HTTP_2);
        return Some(host.map_or(authority, |(_, host)| host).to_string());
    }
    let lines: Vec<&str> = request
        .headers()
        .get_all(header::HOST)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

pub async fn named_destination(worker: &Worker, authority: Option<&str>) -> Option<SocketAddr> {
    let authority = authority?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 80),
    };
    explicit::resolve(worker, host, port).await
}
