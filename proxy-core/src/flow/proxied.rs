//! Byte streams by way of a proxy that a DestinationRule's `tunnel` makes of its host. Seen of Envoy 1.40: the CONNECT that it
//! writes, and that any answer of 2xx leads on.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::net::DialError;

/// Envoy's limit for a head.
const HEAD: usize = 60 * 1024;

/// Asks the proxy at the other end for `target`. What it sends behind its answer's head is left for who reads next.
pub(super) async fn ask(proxy: &mut (impl AsyncRead + AsyncWrite + Unpin), target: &str) -> Result<(), DialError> {
    let question = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n");
    proxy.write_all(question.as_bytes()).await?;
    proxy.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match proxy.read_u8().await {
            Ok(byte) if head.len() < HEAD => head.push(byte),
            _ => return Err(DialError::Proxy(None)),
        }
    }
    let mut lines = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut lines);
    let parsed = answer.parse(&head);
    match answer.code.filter(|_| parsed.is_ok_and(|parsed| parsed.is_complete())) {
        Some(200..300) => Ok(()),
        status => Err(DialError::Proxy(status)),
    }
}
