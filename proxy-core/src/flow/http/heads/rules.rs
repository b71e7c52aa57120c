//! What of a head Envoy's parser of HTTP/1.1 refuses.

use httparse::{EMPTY_HEADER, Header};
use hyper::{Response, StatusCode, Uri, header};

use super::{Next, Refused, chunks::Chunks};

/// Largest head, and Envoy's default.
pub(super) const MAX_HEAD: usize = 60 * 1024;

/// Most lines of a head: Envoy's default.
pub(super) const MAX_LINES: usize = 100;

/// Most names that `Connection` may list.
const MAX_NAMED: usize = 9;

/// The methods that Envoy's parser knows.
const METHODS: [&str; 34] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// Headers that a caller may not have removed by naming them in `Connection`: they say where a request comes from.
const KEPT: [&str; 3] = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// The length of the head that `bytes` begin with, and what comes behind it; nothing where it has not ended.
pub(super) fn head(bytes: &[u8]) -> Result<Option<(usize, Next)>, Refused> {
    let mut lines = [EMPTY_HEADER; MAX_LINES];
    let mut request = httparse::Request::new(&mut lines);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refused::TooManyLines),
        Err(httparse::Error::HeaderValue) => return Err(Refused::Characters),
        Err(httparse::Error::Version) => return Err(Refused::Version),
        Err(_) => return Err(Refused::Malformed),
    };
    let method = request.method.unwrap_or_default();
    if !METHODS.contains(&method) {
        return Err(Refused::Malformed);
    }
    check_target(method, request.path.unwrap_or_default())?;
    let next = behind(method, request.headers)?;
    // Source: RFC 9112, section 6.1.
    if request.version == Some(0) && matches!(next, Next::Chunks(_)) {
        return Err(Refused::Malformed);
    }
    Ok(Some((length, next)))
}

fn check_target(method: &str, target: &str) -> Result<(), Refused> {
    if method == "CONNECT" {
        let names_port = target.parse::<Uri>().is_ok_and(|uri| uri.port_u16().is_some());
        return if names_port && !target.contains(['@', '/']) {
            Ok(())
        } else {
            Err(Refused::Url)
        };
    }
    if target.starts_with('*') {
        return if target == "*" && method == "OPTIONS" {
            Ok(())
        } else {
            Err(Refused::Url)
        };
    }
    let uri: Uri = target.parse().map_err(|_| Refused::Malformed)?;
    match uri.scheme_str() {
        _ if target.starts_with('/') => Ok(()),
        Some("http" | "https") => Ok(()),
        Some(_) => Err(Refused::Scheme),
        None => Err(Refused::Malformed),
    }
}

/// What comes behind a head with these `lines`.
fn behind(method: &str, lines: &[Header<'_>]) -> Result<Next, Refused> {
    let (mut length, mut encoding) = (None, None);
    let (mut named, mut upgrade) = (Vec::new(), None);
    for line in lines {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        // Text that is none is met by no rule below.
        let value = str::from_utf8(line.value).unwrap_or("\u{fffd}");
        if is("content-length") {
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            // hyper keeps the two largest numbers for itself.
            let number = value.parse().ok().filter(|number| is_number && *number < u64::MAX - 1);
            let number = number.ok_or(Refused::Malformed)?;
            // Twice is once too often, whatever they say.
            if length.replace(number).is_some() {
                return Err(Refused::Malformed);
            }
        } else if is("transfer-encoding") {
            if encoding.replace(value).is_some() || !value.eq_ignore_ascii_case("chunked") {
                return Err(Refused::Encoding);
            }
        } else if is("connection") {
            named.extend(value.split(',').map(str::trim));
        } else if is("upgrade") {
            upgrade = upgrade.or(Some(value));
        } else if is("host") && !value.bytes().all(stands_in_authority) {
            return Err(Refused::Authority);
        }
    }
    if length.is_some() && encoding.is_some() {
        return Err(Refused::LengthAndChunked);
    }
    let names = |name: &str| named.iter().any(|other| other.eq_ignore_ascii_case(name));
    let upgrade = upgrade.filter(|protocol| names("upgrade") && !protocol.trim().eq_ignore_ascii_case("h2c"));
    if upgrade.is_some() || method == "CONNECT" {
        return Ok(Next::Anything);
    }
    let pseudo = named.iter().any(|name| name.starts_with(':'));
    if named.len() > MAX_NAMED || pseudo || KEPT.iter().any(|name| names(name)) {
        return Err(Refused::Connection);
    }
    Ok(match (encoding, length) {
        (Some(_), _) => Next::Chunks(Chunks::default()),
        (None, Some(length)) if length > 0 => Next::Body(length),
        (None, _) => Next::Head,
    })
}

/// Source: RFC 3986, section 3.2.
fn stands_in_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@[]%".contains(&byte)
}

/// True for an answer whose head has more than one opinion on where it ends. hyper takes one of them; to Envoy's parser it is
/// none.
pub(in crate::flow::http) fn contradicts_itself<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    let lines = |name| headers.get_all(name).iter().count();
    let (lengths, encodings) = (lines(header::CONTENT_LENGTH), lines(header::TRANSFER_ENCODING));
    let length = headers.get(header::CONTENT_LENGTH);
    let encoding = headers.get(header::TRANSFER_ENCODING);
    match response.status() {
        StatusCode::NO_CONTENT => encodings > 0 || length.is_some_and(|length| length != "0"),
        _ => {
            lengths > 1
                || encodings > 1
                || encoding.is_some_and(|encoding| lengths > 0 || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        }
    }
}
