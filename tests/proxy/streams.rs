//! HTTP/2 from both ends: a caller that holds single streams in its hands, and a site that does with them what the path
//! asks for.

use std::{
    future::poll_fn,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client, server};
use http::{HeaderMap, Request, Response, Uri, Version};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    sync::Semaphore,
    task, time,
};
use tokio_rustls::TlsAcceptor;

use crate::subject::PATIENCE;

/// What the explicit proxy says before it passes bytes on.
pub const TUNNELLED: &[u8; 39] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// Runs what a test does with streams.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    task::LocalSet::new().block_on(&runtime, async {
        let done = time::timeout(PATIENCE, test).await;
        done.expect("the streams end")
    })
}

/// Waits until there is something, while the streams go on.
pub async fn until<T>(mut try_once: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = try_once() {
            return found;
        }
        time::sleep(Duration::from_millis(5)).await;
    }
}

/// A site that speaks HTTP/1.1 and HTTP/2, as its callers do.
#[derive(Clone, Default)]
pub struct Site {
    pub address: Option<SocketAddr>,
    connections: Arc<AtomicUsize>,
    /// Connections that are open now.
    open: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// What callers hold back until all of them are there.
    gate: Arc<Mutex<Option<Arc<Semaphore>>>>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub version: Version,
    pub uri: Uri,
    pub headers: HeaderMap,
    /// How its body ended, once it has: with trailers, or broken off.
    pub end: Option<Result<HeaderMap, Option<Reason>>>,
}

impl Site {
    /// A site that takes so many requests at once on a connection.
    pub fn start(at_once: u32) -> Self {
        Self::start_with(at_once, None)
    }

    /// The same behind TLS for `name`, which agrees on `h2` alone; the certificate to trust is written to `trust`.
    pub fn secure(name: &str, trust: &Path) -> Self {
        let certified = rcgen::generate_simple_self_signed([name.to_string()]).unwrap();
        std::fs::write(trust, certified.cert.pem()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.into()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self::start_with(100, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn start_with(at_once: u32, tls: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let site = Self {
            address: Some(listener.local_addr().unwrap()),
            ..Self::default()
        };
        let own = site.clone();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    own.connections.fetch_add(1, Ordering::SeqCst);
                    own.open.fetch_add(1, Ordering::SeqCst);
                    let (own, open, tls) = (own.clone(), own.open.clone(), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    own.streams(stream, at_once).await;
                                }
                            }
                            None => own.connection(stream, at_once).await,
                        }
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
        });
        site
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// From now on `/gate` is answered only when `count` requests wait for it.
    pub fn hold(&self, count: usize) {
        *self.gate.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
        let gate = self.gate.lock().unwrap().clone().unwrap();
        let (asked, before) = (self.asked.clone(), self.asked().len());
        thread::spawn(move || {
            while asked.lock().unwrap().len() < before + count {
                thread::sleep(Duration::from_millis(5));
            }
            gate.add_permits(count);
        });
    }

    async fn connection(self, mut stream: TcpStream, at_once: u32) {
        let mut first = [0; 3];
        while stream.peek(&mut first).await.is_ok_and(|length| length < first.len()) {
            time::sleep(Duration::from_millis(1)).await;
        }
        if &first == b"PRI" {
            return self.streams(stream, at_once).await;
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let mut headers = HeaderMap::new();
        let head = String::from_utf8(head).unwrap();
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        self.asked.lock().unwrap().push(Asked {
            version: Version::HTTP_11,
            uri: head.split(' ').nth(1).unwrap().parse().unwrap(),
            headers,
            end: None,
        });
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\none";
        // Who breaks off does so on purpose.
        let _ = stream.write_all(answer).await;
    }

    async fn streams(self, stream: impl AsyncRead + AsyncWrite + Unpin, at_once: u32) {
        let mut connection = server::Builder::new()
            .max_concurrent_streams(at_once)
            .handshake(stream)
            .await
            .unwrap();
        let mut ended = false;
        while let Some(Ok((request, respond))) = connection.accept().await {
            let number = {
                let mut asked = self.asked.lock().unwrap();
                asked.push(Asked {
                    version: request.version(),
                    uri: request.uri().clone(),
                    headers: request.headers().clone(),
                    end: None,
                });
                asked.len() - 1
            };
            if request.uri().path() == "/goaway" && !std::mem::replace(&mut ended, true) {
                connection.graceful_shutdown();
            }
            if request.uri().path() == "/close" {
                return;
            }
            tokio::spawn(self.clone().answer(number, request, respond));
        }
    }

    async fn answer(self, number: usize, request: Request<RecvStream>, mut respond: server::SendResponse<Bytes>) {
        let path = request.uri().path().to_string();
        let parts: Vec<&str> = path[1..].split('/').collect();
        let code = |at: usize| parts.get(at).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
        let attempt = request.headers().get("x-envoy-attempt-count").cloned();
        let mut body = request.into_body();
        let grpc = ("content-type", "application/grpc");
        match parts[0] {
            "reset" => return respond.send_reset(code(1).into()),
            "third" if attempt.is_none_or(|attempt| attempt != "3") => return respond.send_reset(code(1).into()),
            "cut" => {
                let mut send = head(&mut respond, &[], false).unwrap();
                send.send_data("part".into(), false).unwrap();
                time::sleep(Duration::from_millis(50)).await;
                return send.send_reset(code(1).into());
            }
            "stall" => {
                let mut send = head(&mut respond, &[], false).unwrap();
                send.send_data("part".into(), false).unwrap();
                std::future::pending::<()>().await;
            }
            "hang" => {
                self.end(number, whole(&mut body).await.map(|(_, trailers)| trailers));
                std::future::pending::<()>().await;
            }
            "status" => {
                let _ = head(&mut respond, &[grpc, ("grpc-status", parts[1])], true);
            }
            "gate" => {
                let gate = self.gate.lock().unwrap().clone().unwrap();
                gate.acquire().await.unwrap().forget();
                let mut send = head(&mut respond, &[], false).unwrap();
                send.send_data("open".into(), true).unwrap();
            }
            // What arrives goes back as it arrives, and its end is answered by trailers.
            "echo" => {
                let mut send = head(&mut respond, &[grpc], false).unwrap();
                while let Some(Ok(data)) = body.data().await {
                    body.flow_control().release_capacity(data.len()).unwrap();
                    send.send_data(data, false).unwrap();
                }
                let end = trailers(&mut body).await;
                self.end(number, end.clone());
                if end.is_ok() {
                    let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
                    send.send_trailers(status).unwrap();
                }
                return;
            }
            _ => {
                let mut send = head(&mut respond, &[("x-site", "1")], false).unwrap();
                send.send_data("two".into(), true).unwrap();
            }
        }
        let end = whole(&mut body).await.map(|(_, trailers)| trailers);
        self.end(number, end);
    }

    fn end(&self, number: usize, end: Result<HeaderMap, Option<Reason>>) {
        self.asked.lock().unwrap()[number].end = Some(end);
    }
}

fn head(
    respond: &mut server::SendResponse<Bytes>,
    headers: &[(&str, &str)],
    end: bool,
) -> Result<SendStream<Bytes>, h2::Error> {
    let mut response = Response::new(());
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    respond.send_response(response, end)
}

async fn trailers(body: &mut RecvStream) -> Result<HeaderMap, Option<Reason>> {
    let trailers = body.trailers().await.map_err(|error| error.reason())?;
    Ok(trailers.unwrap_or_default())
}

/// A body with its trailers, or why it was broken off.
pub async fn whole(body: &mut RecvStream) -> Result<(Vec<u8>, HeaderMap), Option<Reason>> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| error.reason())?;
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend(data);
    }
    Ok((bytes, trailers(body).await?))
}

/// A caller's connection to the sidecar.
#[derive(Clone)]
pub struct Caller {
    sender: client::SendRequest<Bytes>,
    /// How the connection ended, once it has.
    ended: Arc<Mutex<Option<Option<Reason>>>>,
}

/// An answer as it arrived.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    pub trailers: HeaderMap,
}

impl Caller {
    /// Connects to `target` through the explicit proxy.
    pub async fn connect(explicit: SocketAddr, target: &str) -> Self {
        let mut stream = TcpStream::connect(explicit).await.unwrap();
        let ask = format!("CONNECT {target} HTTP/1.1\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut answer = [0; TUNNELLED.len()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, TUNNELLED);
        Self::over(stream).await
    }

    /// Connects past the sidecar.
    pub async fn direct(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    async fn over(stream: TcpStream) -> Self {
        let (sender, connection) = client::handshake(stream).await.unwrap();
        let ended = Arc::<Mutex<Option<Option<Reason>>>>::default();
        let end = ended.clone();
        task::spawn_local(async move {
            let reason = connection.await.err().and_then(|error| error.reason());
            *end.lock().unwrap() = Some(reason);
        });
        Self { sender, ended }
    }

    /// Begins a request; `end` says that it has no body.
    pub async fn begin(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> Result<(client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        poll_fn(|cx| self.sender.poll_ready(cx)).await?;
        self.sender.send_request(request, end)
    }

    /// Asks and waits for the answer.
    pub async fn ask(&mut self, request: Request<()>) -> Result<Answer, h2::Error> {
        let (response, _) = self.begin(request, true).await?;
        let (head, mut body) = response.await?.into_parts();
        let (bytes, trailers) = whole(&mut body).await.map_err(|reason| match reason {
            Some(reason) => h2::Error::from(reason),
            None => h2::Error::from(Reason::NO_ERROR),
        })?;
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(bytes).unwrap(),
            trailers,
        })
    }

    /// Waits for the end of the connection, and tells its reason.
    pub async fn ended(&self) -> Option<Reason> {
        until(|| *self.ended.lock().unwrap()).await
    }
}

/// A GET.
pub fn get(url: &str) -> Request<()> {
    Request::get(url).version(Version::HTTP_2).body(()).unwrap()
}

/// A call of gRPC.
pub fn call(url: &str) -> Request<()> {
    let call = Request::post(url).version(Version::HTTP_2);
    let call = call.header("content-type", "application/grpc").header("te", "trailers");
    call.body(()).unwrap()
}
