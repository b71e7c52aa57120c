//! A request over HTTP/2, on a connection of its own: with prior knowledge, or within TLS.

use std::{collections::BTreeMap, future::poll_fn};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client};
use http::{HeaderMap, Method, Request, Uri, uri};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task, time,
};

use super::{PATIENCE, Seen, Sending, body::Body, http1::PAUSE};
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

/// What goes within the caller's own TLS: always the same, which no sidecar reads.
pub fn inside(sending: &Sending) -> Sending {
    Sending {
        name: sending.name.clone(),
        call: Call {
            method: "GET".into(),
            host: "inside".into(),
            path: "/inside".into(),
            headers: BTreeMap::new(),
            ..sending.call.clone()
        },
    }
}

/// Sends a request and reads the response.
pub async fn exchange(stream: impl Stream, sending: &Sending, seen: &mut Seen) {
    seen.end = match time::timeout(PATIENCE, ask(stream, sending, seen)).await {
        Ok(Ok(())) => "answered".into(),
        Ok(Err(error)) => end(&error),
        Err(_) => "silent".into(),
    };
}

/// What HTTP/2 is spoken over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

async fn ask(stream: impl Stream, sending: &Sending, seen: &mut Seen) -> Result<(), h2::Error> {
    let (requests, connection) = client::handshake(stream).await?;
    let connection = task::spawn(connection);
    let mut requests = requests.ready().await?;
    let (body, trailers) = content(&sending.call);
    let is_empty = body.pieces.is_empty();
    let (response, mut sending) = requests.send_request(request(sending), is_empty)?;
    if !is_empty {
        // An answer may be there although the request was cut short.
        let _ = send(&mut sending, body, trailers).await;
    }
    let (head, mut body) = response.await?.into_parts();
    seen.head.push(format!("HTTP/2 {}", head.status.as_u16()));
    seen.head.extend(lines(&head.headers));
    let read = read(&mut body, seen).await;
    connection.abort();
    read
}

/// Sends a body as the other side takes it, and trailers where there are any.
async fn send(stream: &mut SendStream<Bytes>, body: Body, trailers: HeaderMap) -> Result<(), h2::Error> {
    let count = body.pieces.len();
    for (number, piece) in body.pieces.into_iter().enumerate() {
        if number > 0 {
            time::sleep(PAUSE).await;
        }
        let mut piece = Bytes::from(piece);
        let is_last = number + 1 == count && trailers.is_empty();
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else {
                return Ok(());
            };
            let part = piece.split_to(room?.min(piece.len()));
            stream.send_data(part, is_last && piece.is_empty())?;
        }
    }
    match trailers.is_empty() {
        true => Ok(()),
        false => stream.send_trailers(trailers),
    }
}

async fn read(body: &mut RecvStream, seen: &mut Seen) -> Result<(), h2::Error> {
    let mut bytes = Vec::new();
    let read = read_data(body, &mut bytes).await;
    seen.body = String::from_utf8_lossy(&bytes).into_owned();
    read?;
    if let Some(trailers) = body.trailers().await? {
        seen.trailers = lines(&trailers);
    }
    Ok(())
}

async fn read_data(body: &mut RecvStream, bytes: &mut Vec<u8>) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        let data = data?;
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
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
fn content(call: &Call) -> (Body, HeaderMap) {
    let mut trailers = HeaderMap::new();
    if call.method == "POST" && call.headers.get("content-type").is_some_and(|kind| kind == GRPC) {
        let pieces = vec![b"\0\0\0\0\x04text".to_vec()];
        return (Body { pieces, chunked: false }, trailers);
    }
    let body = Body::of(call);
    if !body.pieces.is_empty() {
        trailers.insert("x-end", http::HeaderValue::from_static("1"));
    }
    (body, trailers)
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
