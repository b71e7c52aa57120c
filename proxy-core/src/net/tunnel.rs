//! Copying between two connections, both ways, until both have ended.
//!
//! A side that has nothing to say holds no buffer: each read borrows one from the thread's pool, and gives it back when there
//! was nothing to read, or when the bytes are passed on.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

const BUFFER: usize = 64 * 1024;

/// Buffers kept for reuse in one thread: enough for the copies that run at the same instant.
const POOLED: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who opened the connection.
    Client,
    /// Where it was sent.
    Upstream,
}

/// How a tunnel ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
    /// The side that failed, where one did.
    pub failed: Option<(Side, io::Error)>,
}

impl Ended {
    /// The side that ended its connection with a reset, where one did.
    pub fn was_reset(&self) -> Option<Side> {
        let (side, error) = self.failed.as_ref()?;
        (error.kind() == io::ErrorKind::ConnectionReset).then_some(*side)
    }
}

/// Copies until both directions have ended or one fails. `upstream` is the two halves of a connection. `first` bytes of the
/// client were read already. `watch` sees the client's bytes as they pass until it returns false; `passed` is called as bytes
/// of either side do. `ended` is right at any time, also when this is dropped halfway.
pub async fn tunnel(
    client: &mut TcpStream,
    upstream: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    first: &[u8],
    ended: &mut Ended,
    passed: impl Fn(),
    mut watch: impl FnMut(&[u8]) -> bool,
) {
    ended.received = first.len() as u64;
    let (client_read, mut client_write) = client.split();
    let (upstream_read, mut upstream_write) = upstream;
    if let Err(error) = write(&mut upstream_write, first).await {
        ended.failed = Some((Side::Upstream, error));
        return;
    }
    let mut watching = true;
    let (received, sent) = (&mut ended.received, &mut ended.sent);
    let up = pump(client_read, &mut upstream_write, received, Side::Client, |bytes| {
        passed();
        if watching {
            watching = watch(bytes);
        }
    });
    let down = pump(upstream_read, &mut client_write, sent, Side::Upstream, |_| passed());
    if let Err(failed) = tokio::try_join!(up, down) {
        ended.failed = Some(failed);
    }
}

/// Copies until one of the two sides ends, and tells which: to who speaks HTTP/1.1 an end is that of the whole connection.
/// `received` and `sent` count the client's bytes and the upstream's, and are right at any time.
pub async fn until_end(
    client: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    upstream: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    (received, sent): (&mut u64, &mut u64),
) -> Side {
    let (client_read, mut client_write) = client;
    let (upstream_read, mut upstream_write) = upstream;
    let ended = |copied: Result<(), (Side, io::Error)>, side| copied.map_or_else(|(failed, _)| failed, |()| side);
    tokio::select! {
        up = pump(client_read, &mut upstream_write, received, Side::Client, |_| {}) => ended(up, Side::Client),
        down = pump(upstream_read, &mut client_write, sent, Side::Upstream, |_| {}) => ended(down, Side::Upstream),
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    count: &mut u64,
    side: Side,
    mut seen: impl FnMut(&[u8]),
) -> Result<(), (Side, io::Error)> {
    let other = if side == Side::Client {
        Side::Upstream
    } else {
        Side::Client
    };
    loop {
        let (buffer, length) = read(&mut from).await.map_err(|error| (side, error))?;
        if length == 0 {
            // Half-close: the other direction may go on.
            return to.shutdown().await.map_err(|error| (other, error));
        }
        let bytes = &buffer.0[..length];
        seen(bytes);
        write(to, bytes).await.map_err(|error| (other, error))?;
        *count += length as u64;
    }
}

/// Hands all of it on. TLS takes more than its socket does, and sends the rest only when it is asked to.
async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// Waits until there is something to read.
async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(Buffer, usize)> {
    poll_fn(|cx| {
        let mut buffer = Buffer::borrow();
        let mut into = ReadBuf::new(&mut buffer.0);
        match ready!(Pin::new(&mut *from).poll_read(cx, &mut into)) {
            // TLS that ends without its goodbye; to Envoy that is an end like any other.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            read => read?,
        }
        let length = into.filled().len();
        Poll::Ready(Ok((buffer, length)))
    })
    .await
}

/// A buffer that returns to the pool.
struct Buffer(Box<[u8]>);

impl Buffer {
    fn borrow() -> Self {
        let pooled = POOL.with_borrow_mut(Vec::pop);
        Self(pooled.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice()))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        POOL.with_borrow_mut(|pool| {
            if pool.len() < POOLED {
                pool.push(std::mem::take(&mut self.0));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, BufWriter, split},
        net::TcpListener,
        time::timeout,
    };

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        (ours.unwrap(), theirs.unwrap().0)
    }

    #[tokio::test]
    async fn what_an_upstream_gathers_is_sent_while_both_sides_stay() {
        let (mut caller, mut client) = connected().await;
        let (upstream, mut site) = connected().await;
        let (read, write) = split(upstream);
        let mut ended = Ended::default();
        let passing = tunnel(
            &mut client,
            (read, BufWriter::new(write)),
            b"first ",
            &mut ended,
            || {},
            |_| false,
        );
        let said = async {
            let mut said = [0; 11];
            site.read_exact(&mut said[..6]).await.unwrap();
            caller.write_all(b"hello").await.unwrap();
            site.read_exact(&mut said[6..]).await.unwrap();
            said
        };
        tokio::select! {
            () = passing => panic!("nobody has ended"),
            said = timeout(Duration::from_secs(20), said) => assert_eq!(&said.unwrap(), b"first hello"),
        }
    }
}
