//! HTTP request lines.

use super::Sniffed;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The part of a request's head that a decision needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpHead {
    /// True for exactly HTTP/1.1; any other version is raw TCP to Istio 1.13 and newer.
    pub version_11: bool,
    /// Method.
    pub method: String,
    /// Request target as sent.
    pub target: String,
    /// Host header, or the authority of an absolute target.
    pub host: Option<String>,
}

/// Reads a request line and looks for its Host.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    if bytes.starts_with(PREFACE) {
        return Sniffed::Http2;
    }
    if PREFACE.starts_with(bytes) {
        return Sniffed::NeedMore;
    }
    let end = bytes.iter().position(|byte| *byte == b'\n');
    // Whether or not the line has ended: what arrives in pieces is told as what arrives at once.
    let printable = |byte: &u8| *byte >= 0x20 && *byte < 0x7f || *byte == b'\r';
    if !bytes[..end.unwrap_or(bytes.len())].iter().all(printable) {
        return Sniffed::Other;
    }
    let Some(end) = end else {
        return Sniffed::NeedMore;
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    let Some((method, target, version_11)) = request_line(line) else {
        return Sniffed::Other;
    };
    let rest = &bytes[end + 1..];
    let Some(host) = host(rest) else {
        return Sniffed::NeedMore;
    };
    let host = authority(&target).map(str::to_string).or(host);
    Sniffed::Http1(HttpHead {
        version_11,
        method,
        target,
        host,
    })
}

/// Envoy's HTTP inspector: any token as method; the target starts with `/`, is `*`, absolute, or (CONNECT) an authority.
fn request_line(line: &[u8]) -> Option<(String, String, bool)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut parts = line.split(' ');
    let (method, target) = (parts.next()?, parts.next()?);
    let version = parts.next().unwrap_or("HTTP/0.9");
    let token = !method.is_empty()
        && method
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    let target_fits =
        target.starts_with('/') || target == "*" || target.contains("://") || method == "CONNECT" && !target.is_empty();
    let version_fits = version.len() == 8 && version.starts_with("HTTP/") || version == "HTTP/0.9";
    (token && target_fits && version_fits && parts.next().is_none())
        .then(|| (method.to_string(), target.to_string(), version == "HTTP/1.1"))
}

fn authority(target: &str) -> Option<&str> {
    let (_, rest) = target.split_once("://")?;
    Some(rest.split(['/', '?', '#']).next().unwrap_or(rest))
}

/// The Host among header lines: `Some(None)` when the head ends without one, `None` when it has not ended.
fn host(mut rest: &[u8]) -> Option<Option<String>> {
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        if line.is_empty() {
            return Some(None);
        }
        if let Some(colon) = line.iter().position(|byte| *byte == b':')
            && line[..colon].eq_ignore_ascii_case(b"host")
        {
            return Some(Some(String::from_utf8_lossy(&line[colon + 1..]).trim().to_string()));
        }
        rest = &rest[end + 1..];
    }
}
