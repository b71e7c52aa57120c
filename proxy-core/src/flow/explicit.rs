//! The sidecar as an HTTP proxy (CONNECT and absolute-form), for systems without redirection. The name the client asks
//! for is resolved here, and its address is then the destination, as if the client had dialled it.

use std::{net::SocketAddr, rc::Rc};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Open, Worker,
    connection::{self, Accepted},
    http,
};
use crate::sniff::{self, HttpHead, Sniffed};

/// Handles one connection to the proxy port.
pub async fn explicit(worker: Rc<Worker>, mut client: TcpStream, source: SocketAddr) {
    let _open = Open::new(&worker);
    let mut first = BytesMut::new();
    let found = tokio::select! {
        found = connection::inspect(&mut client, &mut first, None) => found,
        // Nothing was asked yet, so nothing is lost.
        () = worker.drain_begun() => return,
    };
    let head = match found {
        Some(Sniffed::Http1(head)) => head,
        Some(_) => {
            answer(&mut client, "400 Bad Request", "this port is an HTTP proxy").await;
            return;
        }
        // The client left without a word.
        None => return,
    };
    if head.method != "CONNECT" {
        let sniffed = Sniffed::Http1(head);
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let accepted = Accepted {
            client,
            source,
            destination: unknown,
            first: first.freeze(),
            sniffed,
            // Each request draws for itself.
            draw: 0,
        };
        http::serve(worker, accepted, None).await;
        return;
    }
    let Some(end) = end_of_head(&mut client, &mut first).await else {
        return;
    };
    // Callers that are in a hurry do not wait for the answer.
    let behind = first.split_off(end);
    match target(&worker, &head).await {
        Some(destination) => {
            if client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .is_ok()
            {
                connection::connection(worker, client, behind, source, destination).await;
            }
        }
        None => {
            answer(
                &mut client,
                "502 Bad Gateway",
                &format!("{} cannot be resolved", head.target),
            )
            .await
        }
    }
}

/// Reads up to the empty line that ends the head, and tells where that is.
async fn end_of_head(client: &mut TcpStream, first: &mut BytesMut) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    loop {
        if let Some(at) = first.windows(END.len()).position(|window| window == END) {
            return Some(at + END.len());
        }
        if first.len() > sniff::MAX_BYTES || !matches!(client.read_buf(first).await, Ok(1..)) {
            return None;
        }
    }
}

async fn target(worker: &Worker, head: &HttpHead) -> Option<SocketAddr> {
    let (host, port) = head.target.rsplit_once(':')?;
    resolve(worker, host, port.parse().ok()?).await
}

/// The destination for a name and port.
pub(super) async fn resolve(worker: &Worker, host: &str, port: u16) -> Option<SocketAddr> {
    let addresses = worker.resolver.resolve(host).await.ok()?;
    Some(SocketAddr::new(*addresses.first()?, port))
}

async fn answer(client: &mut TcpStream, status: &str, text: &str) {
    let length = text.len() + 1;
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}\n"
    );
    // The client may be gone already; there is nobody else to tell.
    let _ = client.write_all(response.as_bytes()).await;
}
