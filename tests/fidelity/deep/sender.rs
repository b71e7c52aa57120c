//! The program that sends the calls, from beside either sidecar: this test binary, run inside a pod. It reads one order a
//! line and answers each with one line.

mod body;
mod http1;
mod http2;
mod tls;

use std::{
    env,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    net::{self, TcpSocket},
    runtime::{self, Runtime},
    time,
};

pub use body::Body;
pub use http2::{GRPC, target};
pub use tls::name;

use crate::world::Call;
use http1::Request;

/// The protocol of a call that speaks HTTP/2 within its own TLS.
pub const TLS_HTTP2: &str = "tls-http2";

/// The argument that makes this binary the sender.
pub const ARGUMENT: &str = "--send";

/// How long an answer may take: longer than any timeout that a world has, and than what a site waits.
const PATIENCE: Duration = Duration::from_secs(8);

/// The admin interface of the sidecar beside the sender.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15000);

/// What the sender is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Make a call.
    Call(Sending),
    /// Ask the sidecar's admin interface for a path.
    Admin(String),
}

/// A call under a name that the sites write down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sending {
    /// Its name: one word.
    pub name: String,
    /// Where to and what. Its header `x-site` tells the site what to do, as `sites.py` says.
    pub call: Call,
}

/// What became of a call, seen by the caller.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The caller's port, which the access log shows.
    pub port: u16,
    /// `answered`, `closed` (in whichever way), `silent` or another failure in words.
    pub end: String,
    /// Interim answers that came before.
    pub interim: Vec<String>,
    /// Status line and headers.
    pub head: Vec<String>,
    /// What followed, without its framing.
    pub body: String,
    /// What followed the body.
    pub trailers: Vec<String>,
}

/// True where this process is to be the sender.
pub fn wanted() -> bool {
    env::args().nth(1).is_some_and(|argument| argument == ARGUMENT)
}

/// Carries out orders until there are no more.
pub fn run() -> io::Result<()> {
    let mut sender = Sender {
        runtime: runtime::Builder::new_current_thread().enable_all().build()?,
        port: PORTS.0,
    };
    for line in io::stdin().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Order::Call(sending) => sender.send(&sending),
            Order::Admin(path) => admin(&path),
        };
        println!("{}", serde_json::to_string(&answer)?);
    }
    Ok(())
}

fn admin(path: &str) -> Seen {
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    match TcpStream::connect(ADMIN) {
        Ok(stream) => exchange(stream, &head, ""),
        Err(error) => Seen {
            end: error.to_string(),
            ..Seen::default()
        },
    }
}

/// Sends a request as it stands, the lines of its head and its body, and reads the response.
pub fn exchange(stream: TcpStream, head: &str, body: &str) -> Seen {
    let mut seen = Seen::default();
    http1::exchange(stream, &Request::whole(head, body), &mut seen);
    seen
}

/// First and last port that calls come from, apart from those that the kernel gives to others. Each has one of its own: by
/// it its row in the access log is found. Where the kernel chooses, calls to different addresses may come from one port;
/// the redirection to the sidecar then gives the later one another port while it remembers the earlier one.
const PORTS: (u16, u16) = (16_384, 32_767);

struct Sender {
    runtime: Runtime,
    /// The next call's port.
    port: u16,
}

impl Sender {
    fn send(&mut self, sending: &Sending) -> Seen {
        let mut seen = Seen::default();
        match self.call(sending, &mut seen) {
            Ok(()) => {}
            Err(error) => seen.end = end(Err(error)),
        }
        seen.body = body::brief(seen.body);
        seen
    }

    fn call(&mut self, sending: &Sending, seen: &mut Seen) -> io::Result<()> {
        let call = &sending.call;
        let address = SocketAddr::new(call.address.parse().map_err(io::Error::other)?, call.port);
        let socket = self.socket(address, seen)?;
        let stream = self.runtime.block_on(async {
            let connecting = time::timeout(PATIENCE, socket.connect(address));
            connecting.await.map_err(|_| io::Error::from(ErrorKind::TimedOut))?
        })?;
        match call.protocol.as_str() {
            "http2" => self.runtime.block_on(http2::exchange(stream, sending, seen)),
            "tls" => http1::exchange(
                tls::secured(blocking(stream)?, &call.sni)?,
                &Request::inside(sending),
                seen,
            ),
            TLS_HTTP2 => self.runtime.block_on(async {
                let stream = time::timeout(PATIENCE, tls::speaking_http2(stream, &call.sni)).await;
                let stream = stream.map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
                http2::exchange(stream, &http2::inside(sending), seen).await;
                io::Result::Ok(())
            })?,
            "tcp" => echo(blocking(stream)?, sending, seen),
            _ => http1::exchange(blocking(stream)?, &Request::of(sending), seen),
        }
        Ok(())
    }

    /// A socket on the next port that is free.
    fn socket(&mut self, towards: SocketAddr, seen: &mut Seen) -> io::Result<TcpSocket> {
        let _context = self.runtime.enter();
        loop {
            let socket = match towards {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            seen.port = self.port;
            self.port = if self.port < PORTS.1 { self.port + 1 } else { PORTS.0 };
            let any = match towards {
                SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            };
            match socket.bind(SocketAddr::new(any, seen.port)) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                bound => return bound.map(|()| socket),
            }
        }
    }
}

fn blocking(stream: net::TcpStream) -> io::Result<TcpStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends a line and waits for it to come back; with the header `x-pause`, once more after so many seconds.
fn echo(mut stream: TcpStream, sending: &Sending, seen: &mut Seen) {
    let mut there_and_back = |line: &str| {
        let mut back = vec![0; line.len()];
        stream.write_all(line.as_bytes())?;
        stream.read_exact(&mut back)?;
        seen.body.push_str(&String::from_utf8_lossy(&back));
        io::Result::Ok(())
    };
    let mut done = there_and_back(&format!("call {}\n", sending.name));
    let pause = pause(&sending.call);
    if done.is_ok() && !pause.is_zero() {
        thread::sleep(pause);
        done = there_and_back("again\n");
    }
    seen.end = end(done);
}

/// How long a call has nothing passing halfway: the seconds in its header `x-pause`.
fn pause(call: &Call) -> Duration {
    let seconds = call.headers.get("x-pause").and_then(|seconds| seconds.parse().ok());
    seconds.map_or(Duration::ZERO, Duration::from_secs_f64)
}

fn end(done: io::Result<()>) -> String {
    let Err(error) = done else {
        return "answered".to_string();
    };
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "closed".into(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "silent".into(),
        _ => error.to_string(),
    }
}
