//! A request over HTTP/2 with prior knowledge, on a connection of its own.

use bytes::Bytes;
use h2::{RecvStream, client};
use http::{HeaderMap, Method, Request, Uri, uri};
use tokio::{net::TcpStream, task, time};

use super::{PATIENCE, Seen, Sending};
use crate::world::Call;

/// What such a call is made to, where it can be made.
pub fn target(call: &Call) -> Option<Uri> {
    let mut parts = uri::Parts::default();
    parts.authority = Some(call.host.parse().ok()?);
    if call.method != "CONNECT" {
        parts.scheme = Some(uri::Scheme::HTTP);
        parts.path_and_query = Some(call.path.parse().ok()?);
    }
    Uri::from_parts(parts).ok()
}

/// Sends a request and reads the response.
pub async fn exchange(stream: TcpStream, sending: &Sending, seen: &mut Seen) {
    seen.end = match time::timeout(PATIENCE, ask(stream, sending, seen)).await {
        Ok(Ok(())) => "answered".into(),
        Ok(Err(error)) => end(&error),
        Err(_) => "silent".into(),
    };
}

async fn ask(stream: TcpStream, sending: &Sending, seen: &mut Seen) -> Result<(), h2::Error> {
    let (requests, connection) = client::handshake(stream).await?;
    let connection = task::spawn(connection);
    let mut requests = requests.ready().await?;
    let (body, trailers) = content(&sending.call);
    let (response, mut send) = requests.send_request(request(sending), body.is_empty())?;
    if !body.is_empty() {
        // An answer may be there although the request was cut short.
        let _ = send.send_data(body, trailers.is_empty());
    }
    if !trailers.is_empty() {
        let _ = send.send_trailers(trailers);
    }
    let (head, mut body) = response.await?.into_parts();
    seen.head.push(format!("HTTP/2 {}", head.status.as_u16()));
    seen.head.extend(lines(&head.headers));
    let read = read(&mut body, seen).await;
    connection.abort();
    read
}

async fn read(body: &mut RecvStream, seen: &mut Seen) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        let data = data?;
        seen.body.push_str(&String::from_utf8_lossy(&data));
        body.flow_control().release_capacity(data.len())?;
    }
    if let Some(trailers) = body.trailers().await? {
        seen.trailers = lines(&trailers);
    }
    Ok(())
}

fn request(sending: &Sending) -> Request<()> {
    let call = &sending.call;
    let mut request = Request::new(());
    *request.method_mut() = call.method.parse().unwrap_or(Method::GET);
    *request.uri_mut() = target(call).unwrap_or_default();
    let own = [("user-agent", "deep"), ("x-call", &sending.name)];
    let given = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.into_iter().chain(given) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), value.parse()) {
            request.headers_mut().append(name, value);
        }
    }
    request
}

/// Body and trailers: one message where the call is one of gRPC.
fn content(call: &Call) -> (Bytes, HeaderMap) {
    let mut trailers = HeaderMap::new();
    if call.method != "POST" {
        return (Bytes::new(), trailers);
    }
    if call.headers.get("content-type").is_some_and(|kind| kind == GRPC) {
        return (Bytes::from_static(b"\0\0\0\0\x04text"), trailers);
    }
    trailers.insert("x-end", http::HeaderValue::from_static("1"));
    (Bytes::from_static(b"text"), trailers)
}

/// The content type of gRPC.
pub const GRPC: &str = "application/grpc";

fn lines(headers: &HeaderMap) -> Vec<String> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    };
    headers.iter().map(line).collect()
}

fn end(error: &h2::Error) -> String {
    match error.reason() {
        Some(reason) if error.is_reset() => format!("reset with {reason:?}"),
        Some(reason) if error.is_go_away() => format!("sent away with {reason:?}"),
        // However a connection ends.
        _ if error.is_io() => "closed".into(),
        _ => error.to_string(),
    }
}
