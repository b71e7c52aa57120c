//! What is known of a connection or request when it is decided.

use std::{net::SocketAddr, sync::Arc};

use crate::model::Labels;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workload {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name of the workload, for display; empty when only labels are known.
    pub name: Arc<str>,
    /// Pod labels.
    pub labels: Labels,
    /// Pod annotations: capture settings.
    pub annotations: Labels,
    /// Whether its DNS is captured, where who runs its sidecar chose so; else its configuration says it.
    pub dns_capture: Option<bool>,
}

/// Facts of one connection or request. The destination is a fact; everything in `claims` is what the caller said.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Original destination.
    pub destination: SocketAddr,
    /// What was spoken.
    pub claims: Claims<'a>,
    /// A random number that picks among weighted destinations; 0 where none was drawn.
    pub draw: u32,
}

/// What the caller spoke.
#[derive(Debug, Clone, Copy)]
pub enum Claims<'a> {
    /// Bytes that are neither TLS nor HTTP, or nothing at all.
    Tcp,
    /// A ClientHello.
    Tls {
        /// Server name, lower case; `None` when the hello carries none.
        sni: Option<&'a str>,
    },
    /// An HTTP request.
    Http(HttpClaims<'a>),
}

/// An HTTP request's head.
#[derive(Debug, Clone, Copy)]
pub struct HttpClaims<'a> {
    /// Version.
    pub version: HttpVersion,
    /// Method.
    pub method: &'a str,
    /// Host header or `:authority`, as sent; `None` when missing.
    pub authority: Option<&'a str>,
    /// Path with query, as [`Snapshot::normalised`](super::Snapshot::normalised) has it.
    pub path: &'a str,
    /// Other headers; lines with the same name stay separate.
    pub headers: &'a dyn HeaderLines,
}

impl HttpClaims<'_> {
    /// `http` or `https`. Envoy: in HTTP/1 what `x-forwarded-proto` says, where it says either; HTTP/2 names its own, and
    /// that is `http` without TLS.
    pub fn scheme(&self) -> &'static str {
        let is_https = &mut |value: &str| value.eq_ignore_ascii_case("https");
        match self.version {
            HttpVersion::Http10 | HttpVersion::Http11 if self.headers.any("x-forwarded-proto", is_https) => "https",
            _ => "http",
        }
    }
}

/// HTTP versions as the inspector tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0 and anything that is not 1.1: raw TCP for Istio 1.13 and newer.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 with prior knowledge.
    H2c,
}

/// Read access to a request's header lines.
pub trait HeaderLines: std::fmt::Debug {
    /// True when `test` holds for any line named `name` (lower case); lines that are not UTF-8 are skipped.
    fn any(&self, name: &str, test: &mut dyn FnMut(&str) -> bool) -> bool;
}

/// No headers at all.
impl HeaderLines for () {
    fn any(&self, _: &str, _: &mut dyn FnMut(&str) -> bool) -> bool {
        false
    }
}

/// Headers as a list of (lower-case name, value).
impl HeaderLines for Vec<(String, String)> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.iter().any(|(n, v)| n == name && test(v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_http_1_is_what_the_proxy_before_says() {
        let scheme = |version, forwarded: &str| {
            let headers = vec![("x-forwarded-proto".to_string(), forwarded.to_string())];
            let claims = HttpClaims {
                version,
                method: "GET",
                authority: Some("a.com"),
                path: "/",
                headers: &headers,
            };
            claims.scheme()
        };
        assert_eq!(scheme(HttpVersion::Http11, "https"), "https");
        assert_eq!(scheme(HttpVersion::Http11, "HTTPS"), "https");
        assert_eq!(scheme(HttpVersion::Http11, "http"), "http");
        assert_eq!(scheme(HttpVersion::Http11, "ftp"), "http");
        assert_eq!(scheme(HttpVersion::H2c, "https"), "http");
    }
}
