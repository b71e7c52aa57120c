//! A connection whose first bytes were read already, and what the kernel knows of it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time,
};

/// A listener for the runtime of this thread. Accepted connections inherit from it that small writes go out at once: a
/// proxy must not add Nagle's delay to its callers' own.
pub fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    SockRef::from(&listener).set_tcp_nodelay(true)?;
    TcpListener::from_std(listener)
}

/// How long is rested where no connection can be had, as where the process has no file descriptors left.
const REST: Duration = Duration::from_millis(75);

/// The next connection, and whose it is.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // Its caller gave up while it waited, which is no fault of ours.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                time::sleep(REST).await;
            }
        }
    }
}

/// The destination before redirection, IPv4 first, then IPv6, in canonical form; `None` when the connection was not
/// redirected: then the kernel answers with an error, or with the listener's own address.
pub fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = SockRef::from(stream);
    let original = socket
        .original_dst_v4()
        .or_else(|_| socket.original_dst_v6())
        .ok()?
        .as_socket()?;
    let original = canonical(original);
    (canonical(stream.local_addr().ok()?) != original).then_some(original)
}

/// IPv4 written as IPv4: a listener on `[::]` sees IPv4 callers in mapped form.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Has the system ask, while nothing passes, whether the other side is still there: after `time`, each `interval`, and
/// `probes` times before the connection counts as dead. What is absent is left to the system.
pub fn keep_alive(
    stream: &TcpStream,
    time: Option<Duration>,
    interval: Option<Duration>,
    probes: Option<u32>,
) -> io::Result<()> {
    let mut keepalive = TcpKeepalive::new();
    if let Some(time) = time {
        keepalive = keepalive.with_time(time);
    }
    if let Some(interval) = interval {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(probes) = probes {
        keepalive = keepalive.with_retries(probes);
    }
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Closes with RST instead of FIN: what Envoy's black hole does to a client whose bytes it has only peeked at.
pub fn reset(stream: TcpStream) {
    // When the option cannot be set the connection ends with FIN, which the client sees as an end too.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

/// A stream that first gives back the bytes that were read to tell its protocol.
#[derive(Debug)]
pub struct Prefixed {
    prefix: Bytes,
    stream: TcpStream,
}

impl Prefixed {
    /// `prefix` is read before `stream`.
    pub fn new(prefix: Bytes, stream: TcpStream) -> Self {
        Self { prefix, stream }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.has_remaining() {
            let length = self.prefix.len().min(buffer.remaining());
            buffer.put_slice(&self.prefix.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
