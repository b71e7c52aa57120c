//! HTTP that answers like httpbin: `/headers`, `/status/N`, `/delay/N`, `/bytes/N`, `/get`.

use std::{convert::Infallible, io, net::TcpListener, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task, time,
};
use tokio_rustls::TlsAcceptor;

use crate::net;

/// httpbin's own limits.
const MAX_DELAY: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 100 * 1024;

pub(super) async fn plain(listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = net::accept(&listener).await;
        task::spawn(connection(stream));
    }
}

pub(super) async fn secure(listener: TcpListener, tls: Arc<ServerConfig>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let (stream, _) = net::accept(&listener).await;
        let acceptor = acceptor.clone();
        task::spawn(async move {
            // A caller that does not trust the playground ends the handshake; that is its right.
            if let Ok(stream) = acceptor.accept(stream).await {
                connection(stream).await;
            }
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request).await) });
    // What the caller breaks off needs no report.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let (name, argument) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
    match name {
        "" | "get" => json_reply(&json!({"headers": seen(request), "url": request.uri().to_string()})),
        "headers" => json_reply(&json!({"headers": seen(request)})),
        "status" => match argument.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()) {
            Some(status) if status.as_u16() >= 200 => reply(status, "text/plain", Bytes::new()),
            _ => reply(
                StatusCode::BAD_REQUEST,
                "text/plain",
                "a status from 200 is expected\n".into(),
            ),
        },
        "delay" => match argument.parse::<f64>() {
            Ok(seconds) if seconds >= 0.0 => {
                time::sleep(Duration::from_secs_f64(seconds.min(MAX_DELAY.as_secs_f64()))).await;
                json_reply(&json!({"headers": seen(request), "url": request.uri().to_string()}))
            }
            _ => reply(
                StatusCode::BAD_REQUEST,
                "text/plain",
                "a number of seconds is expected\n".into(),
            ),
        },
        "bytes" => match argument.parse::<usize>() {
            Ok(length) => reply(
                StatusCode::OK,
                "application/octet-stream",
                (0..length.min(MAX_BYTES))
                    .map(|index| index as u8)
                    .collect::<Vec<_>>()
                    .into(),
            ),
            Err(_) => reply(
                StatusCode::BAD_REQUEST,
                "text/plain",
                "a number of bytes is expected\n".into(),
            ),
        },
        _ => reply(
            StatusCode::NOT_FOUND,
            "text/plain",
            "/get, /headers, /status/N, /delay/N, /bytes/N\n".into(),
        ),
    }
}

/// The headers as they arrived, written as httpbin writes them (`X-Request-Id`).
fn seen(request: &Request<Incoming>) -> Value {
    let mut headers = Map::new();
    for (name, value) in request.headers() {
        let name = name.as_str().split('-').map(capital).collect::<Vec<_>>().join("-");
        headers.insert(name, String::from_utf8_lossy(value.as_bytes()).into());
    }
    headers.into()
}

fn capital(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + characters.as_str()
    })
}

fn json_reply(json: &Value) -> Response<Full<Bytes>> {
    reply(StatusCode::OK, "application/json", format!("{json:#}\n").into())
}

fn reply(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
