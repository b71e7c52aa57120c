//! External sites: HTTP and HTTPS that tell what they saw, and a stream server that speaks first.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A listening site.
pub struct Site {
    pub address: SocketAddr,
    /// Connections taken so far.
    pub connections: Arc<AtomicUsize>,
    /// Connections that are open now.
    open: Arc<AtomicUsize>,
    /// The requests that arrived whole, in their order.
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request as a site sees it.
struct Seen {
    head: String,
    body: String,
}

impl Site {
    /// The head of the last request as it came over the wire.
    pub fn last_head(&self) -> String {
        let seen = self.seen.lock().unwrap();
        seen.last().map(|last| last.head.clone()).unwrap_or_default()
    }

    /// The heads of all requests that arrived whole.
    pub fn heads(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|request| request.head.clone()).collect()
    }

    /// The body of the last request.
    pub fn last_body(&self) -> String {
        self.bodies().pop().unwrap_or_default()
    }

    /// The bodies of all requests that arrived whole.
    pub fn bodies(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|request| request.body.clone()).collect()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Answers `/headers`, `/delay/SECONDS`, `/bytes/COUNT`, `/status/CODE`.
pub fn http() -> Site {
    serve(answer_all)
}

/// The same behind TLS for `names`; the certificate to trust is written to `trust`.
pub fn https(names: &[&str], trust: &Path) -> Site {
    encrypted(certified(names, trust))
}

/// The site of `https`, which says nothing for a while before it speaks TLS.
pub fn late_https(names: &[&str], trust: &Path, wait: Duration) -> Site {
    encrypted_after(wait, certified(names, trust))
}

fn certified(names: &[&str], trust: &Path) -> ServerConfig {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certified = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(trust, certified.cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let chain = vec![CertificateDer::from(certified.cert)];
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key);
    config.unwrap()
}

/// The site of `http` behind TLS.
pub fn encrypted(config: ServerConfig) -> Site {
    encrypted_after(Duration::ZERO, config)
}

fn encrypted_after(wait: Duration, config: ServerConfig) -> Site {
    let config = Arc::new(config);
    serve(move |stream, head| {
        thread::sleep(wait);
        let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        answer_all(StreamOwned::new(connection, stream), head)
    })
}

/// The site of `http` where each connection begins with a header of the PROXY protocol, which is noted as the head of a
/// request: version, who calls and whom.
pub fn proxied() -> Site {
    serve(|mut stream: TcpStream, seen| {
        let head = proxy_header(&mut stream)?;
        seen.lock().unwrap().push(Seen {
            head,
            body: String::new(),
        });
        answer_all(stream, seen)
    })
}

/// A proxy that gives `answer` to what it is asked, which is noted as a request's head, and goes on as the site of `http`.
pub fn proxy(answer: &'static str) -> Site {
    serve(move |mut stream: TcpStream, seen| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        seen.lock().unwrap().push(Seen {
            head: String::from_utf8(head).unwrap(),
            body: String::new(),
        });
        stream.write_all(answer.as_bytes())?;
        answer_all(stream, seen)
    })
}

fn proxy_header(stream: &mut impl Read) -> io::Result<String> {
    let mut begin = [0; 12];
    stream.read_exact(&mut begin)?;
    if begin == *b"\r\n\r\n\0\r\nQUIT\n" {
        let mut rest = [0; 16];
        stream.read_exact(&mut rest)?;
        assert_eq!(
            rest[..4],
            [0x21, 0x11, 0, 12],
            "version 2, PROXY, TCP over IPv4, and its length"
        );
        let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&rest[at..at + 4]).unwrap());
        let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        return Ok(format!("2 {}:{} {}:{}", address(4), port(12), address(8), port(14)));
    }
    let mut line = begin.to_vec();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        line.extend(byte);
    }
    let line = String::from_utf8(line).unwrap();
    let parts: Vec<&str> = line.trim_end().split(' ').collect();
    let ["PROXY", "TCP4", from, to, from_port, to_port] = *parts else {
        return Err(io::Error::other(line));
    };
    Ok(format!("1 {from}:{from_port} {to}:{to_port}"))
}

/// Greets, then echoes.
pub fn speaks_first() -> Site {
    serve(|mut stream: TcpStream, _| {
        stream.write_all(b"hello from the server\n")?;
        let mut from = stream.try_clone()?;
        io::copy(&mut from, &mut stream)?;
        stream.shutdown(std::net::Shutdown::Write)
    })
}

/// Takes connections and closes each without a word.
pub fn hangs_up() -> Site {
    serve(|mut stream: TcpStream, _| stream.read(&mut [0; 1024]).map(drop))
}

/// Answers each request with a part of the body that it has announced, and closes.
pub fn breaks_off() -> Site {
    serve(|mut stream: TcpStream, _| {
        if stream.read(&mut [0; 1024])? == 0 {
            return Ok(());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nse")
    })
}

/// Takes connections, and resets each once something has come over it.
pub fn resets() -> Site {
    // What is left unread when a socket is closed makes it a reset.
    serve(|stream: TcpStream, _| stream.peek(&mut [0]).map(drop))
}

/// Greets, and keeps how each connection ended as what was seen: in words of the error, or as "end".
pub fn keeps_ends() -> Site {
    serve(|mut stream: TcpStream, seen| {
        stream.write_all(b"hello")?;
        let ended = io::copy(&mut stream, &mut io::sink());
        let head = ended.map_or_else(|error| error.kind().to_string(), |_| "end".into());
        seen.lock().unwrap().push(Seen {
            head,
            body: String::new(),
        });
        Ok(())
    })
}

/// An address of loopback where nothing listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn serve(handle: impl Fn(TcpStream, &Mutex<Vec<Seen>>) -> io::Result<()> + Send + Sync + 'static) -> Site {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site {
        address: listener.local_addr().unwrap(),
        connections: Arc::default(),
        open: Arc::default(),
        seen: Arc::default(),
    };
    let (connections, open, seen) = (site.connections.clone(), site.open.clone(), site.seen.clone());
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            connections.fetch_add(1, Ordering::SeqCst);
            open.fetch_add(1, Ordering::SeqCst);
            let (handle, open, seen) = (handle.clone(), open.clone(), seen.clone());
            thread::spawn(move || {
                // A client that breaks off is what some tests do.
                drop(handle(stream, &seen));
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    site
}

fn answer_all<S: Read + Write>(stream: S, seen: &Mutex<Vec<Seen>>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let body = body(&mut stream, &head)?;
        seen.lock().unwrap().push(Seen {
            head: head.clone(),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        let path = head.split(' ').nth(1).unwrap_or_default().to_string();
        let parts: Vec<&str> = path.trim_start_matches('/').split(['/', '?']).collect();
        let number = |at: usize| parts.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let (status, text) = match parts[0] {
            "delay" => {
                thread::sleep(Duration::from_secs(number(1)));
                (200, "late\n".to_string())
            }
            "status" => (number(1), String::new()),
            "bytes" => (200, "x".repeat(number(1) as usize)),
            _ => (200, head),
        };
        let answer = format!(
            "HTTP/1.1 {status} Of Its Own\r\nServer: site\r\nX-Site: 1\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        stream.get_mut().write_all(answer.as_bytes())?;
        stream.get_mut().flush()?;
    }
}

/// The whole body of a request with this head; an error where it is cut.
fn body(stream: &mut impl BufRead, head: &str) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if !head.contains("\r\ntransfer-encoding: chunked\r\n") {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        body.resize(length.map_or(0, |length| length.parse().unwrap()), 0);
        stream.read_exact(&mut body)?;
        return Ok(body);
    }
    loop {
        let mut size = String::new();
        stream.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim_end(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size + "\r\n".len()];
        stream.read_exact(&mut chunk)?;
        if size == 0 {
            return Ok(body);
        }
        body.extend(&chunk[..size]);
    }
}
