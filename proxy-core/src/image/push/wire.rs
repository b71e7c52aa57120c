//! One request to a registry and its answer: a connection of its own, in TLS or not, and how far a body is.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1,
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{self, TcpStream},
    time,
};

use super::{Fault, Tell};
use crate::net::{Alpn, Originator, Server};

/// Longest that a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(15);
/// Longest that nothing may move.
const STILL: Duration = Duration::from_secs(60);
/// Largest answer that is read; those of registries are a few hundred bytes, tokens some thousands.
const MAX_ANSWER: usize = 256 * 1024;
/// Longest words of a registry that are shown.
const MAX_WORDS: usize = 300;
/// What is handed to a connection at once.
const CHUNK: usize = 64 * 1024;

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub method: Method,
    pub url: Uri,
    pub content_type: Option<&'static str>,
    pub body: Bytes,
    /// Its bytes count as progress.
    pub counts: bool,
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Said {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Ask {
    pub fn new(method: Method, url: Uri) -> Self {
        Self {
            method,
            url,
            content_type: None,
            body: Bytes::new(),
            counts: false,
        }
    }
}

impl Said {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The registry's own words against a request. Source: the Distribution Specification, "Error Codes".
    pub fn words(&self) -> String {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<Error>,
        }
        #[derive(Deserialize)]
        struct Error {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let words = match serde_json::from_slice::<Errors>(&self.body) {
            Ok(Errors { errors }) => {
                let all = errors.iter().map(|error| {
                    if error.message.is_empty() {
                        &error.code
                    } else {
                        &error.message
                    }
                });
                all.map(String::as_str).collect::<Vec<_>>().join("; ")
            }
            Err(_) => String::from_utf8_lossy(&self.body).trim().to_string(),
        };
        let plain = words
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter });
        plain.take(MAX_WORDS).collect()
    }
}

/// Sends a request over a connection of its own, and reads the answer. Bytes that count are told.
pub(super) async fn exchange(
    originator: &Originator,
    tell: &Arc<Tell>,
    ask: &Ask,
    authorization: Option<HeaderValue>,
) -> Result<Said, Fault> {
    let host = ask.url.host().unwrap_or_default();
    let secure = ask.url.scheme_str() != Some("http");
    let port = ask.url.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let unreachable = |error| Fault::Unreachable {
        host: format!("{host}:{port}"),
        error,
    };
    let stream = limited(connect(host, port)).await.map_err(unreachable)?;
    if !secure {
        return talk(stream, tell, ask, authorization).await;
    }
    let stream = limited(originator.originate(stream, &Server::named(host), Some(Alpn::Http11))).await;
    let stream = stream.map_err(|error| Fault::Tls {
        host: host.to_string(),
        error,
    })?;
    talk(stream, tell, ask, authorization).await
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    tell: &Arc<Tell>,
    ask: &Ask,
    authorization: Option<HeaderValue>,
) -> Result<Said, Fault> {
    let host = ask.url.host().unwrap_or_default().to_string();
    let broken = |words: String| Fault::Broken {
        host: host.clone(),
        words,
    };
    let moved = Arc::new(AtomicU64::new(0));
    let body = Chunks {
        left: ask.body.clone(),
        moved: moved.clone(),
        tell: ask.counts.then(|| tell.clone()),
    };
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(ask.url.path_and_query().map_or("/", |path| path.as_str()))
        .header(
            header::HOST,
            ask.url.authority().map_or("", |authority| authority.as_str()),
        )
        .header(header::USER_AGENT, concat!("egret-proxy/", env!("CARGO_PKG_VERSION")))
        .body(body)
        .map_err(|error| broken(error.to_string()))?;
    let headers = request.headers_mut();
    headers.extend(authorization.map(|value| (header::AUTHORIZATION, value)));
    headers.extend(
        ask.content_type
            .map(|kind| (header::CONTENT_TYPE, HeaderValue::from_static(kind))),
    );
    let exchange = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with what is sent over it; what ends it before is told there.
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await;
        let said = match answer {
            Ok(answer) => Ok(read(answer).await),
            Err(error) => Err(error),
        };
        connection.abort();
        said
    };
    let said = while_moving(exchange, &moved)
        .await
        .ok_or_else(|| Fault::Stalled(host.clone()))?;
    said.map_err(|error| broken(error.to_string()))?
        .map_err(|error| broken(error.to_string()))
}

async fn read(answer: hyper::Response<Incoming>) -> Result<Said, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
    Ok(Said {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

/// `None` where nothing has moved for a while.
async fn while_moving<T>(work: impl Future<Output = T>, moved: &AtomicU64) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut before = moved.load(Ordering::Relaxed);
    loop {
        if let Ok(done) = time::timeout(STILL, &mut work).await {
            return Some(done);
        }
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            return None;
        }
        before = now;
    }
}

async fn limited<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer in 15 s");
    time::timeout(CONNECT, work).await.map_err(late)?
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = net::lookup_host((host, port)).await?.collect();
    TcpStream::connect(&*addresses).await
}

/// Docker's rule for registries that may be spoken with in the clear.
pub(super) fn is_local(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A body in pieces, so that it is seen how far it is.
struct Chunks {
    left: Bytes,
    moved: Arc<AtomicU64>,
    tell: Option<Arc<Tell>>,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.left.len().min(CHUNK);
        let chunk = self.left.split_to(size);
        self.moved.fetch_add(size as u64, Ordering::Relaxed);
        if let Some(tell) = &self.tell {
            tell(size as u64);
        }
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
