//! A request over HTTP/1, on a connection of its own.

use std::{
    io::{self, ErrorKind, Read, Write},
    time::Instant,
};

use super::{PATIENCE, Seen, Sending, end};

/// The request as it goes over the wire. Inside TLS it is always the same one, which no sidecar reads.
pub fn request(sending: &Sending) -> Vec<u8> {
    let call = &sending.call;
    let named = format!("user-agent: deep\r\nx-call: {}\r\n", sending.name);
    if call.protocol == "tls" {
        return format!("GET /inside HTTP/1.1\r\nhost: inside\r\n{named}\r\n").into_bytes();
    }
    let target = if call.method == "CONNECT" {
        &call.host
    } else {
        &call.path
    };
    let version = if call.protocol == "http1.0" { "1.0" } else { "1.1" };
    let mut text = format!(
        "{} {target} HTTP/{version}\r\nhost: {}\r\n{named}",
        call.method, call.host
    );
    for (name, value) in &call.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = if call.method == "POST" { "text" } else { "" };
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// Sends a request and reads the response.
pub fn exchange(mut stream: impl Read + Write, request: &[u8], seen: &mut Seen) {
    let mut bytes = Vec::new();
    let done = stream
        .write_all(request)
        .and_then(|()| stream.flush())
        // An answer may be there although the request was cut short.
        .or_else(|error| {
            if error.kind() == ErrorKind::BrokenPipe {
                Ok(())
            } else {
                Err(error)
            }
        })
        .and_then(|()| read_response(&mut stream, &mut bytes, request.starts_with(b"HEAD ")));
    seen.end = end(done);
    let text = String::from_utf8_lossy(&bytes);
    let answer = last(&text);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    seen.head = head.lines().map(str::to_string).collect();
    seen.body = if is_chunked(head) {
        unchunked(body)
    } else {
        body.to_string()
    };
}

/// Reads until the response is whole.
fn read_response(stream: &mut impl Read, bytes: &mut Vec<u8>, is_head: bool) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut piece = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(bytes);
        let head = last(&text).split_once("\r\n\r\n");
        if let Some((head, body)) = head
            && (is_head
                || count == 0 && declared(head).is_none_or(|length| body.len() >= length)
                || is_whole(head, body))
        {
            return Ok(());
        }
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if Instant::now() > until {
            return Err(ErrorKind::TimedOut.into());
        }
    }
}

/// The answer, without those before it that only ask for more of the request.
fn last(mut text: &str) -> &str {
    while let Some((head, rest)) = text.split_once("\r\n\r\n")
        && head.starts_with("HTTP/1.1 1")
        && !head.starts_with("HTTP/1.1 101")
    {
        text = rest;
    }
    text
}

fn is_whole(head: &str, body: &str) -> bool {
    if is_chunked(head) {
        return body.ends_with("0\r\n\r\n");
    }
    let status = head.split(' ').nth(1).unwrap_or_default();
    matches!(status, "101" | "204" | "304") || declared(head).is_some_and(|length| body.len() >= length)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim())
}

fn declared(head: &str) -> Option<usize> {
    header(head, "content-length")?.parse().ok()
}

fn is_chunked(head: &str) -> bool {
    header(head, "transfer-encoding") == Some("chunked")
}

fn unchunked(body: &str) -> String {
    let (mut plain, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        plain.push_str(chunk);
        rest = after[size..].trim_start_matches("\r\n");
    }
    plain
}
