//! HTTP with one registry: a connection for each request, TLS except on this computer, and the authorization that it asked
//! for, which nobody else is sent.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
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

use super::{
    Fault, Reference, Tell,
    challenge::Challenge,
    credentials::{Credentials, Keyrings, Secret},
};
use crate::net::{Alpn, Originator};

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

/// A registry, while something is pushed there.
pub(super) struct Client<'a> {
    reference: &'a Reference,
    keyrings: &'a Keyrings,
    tell: &'a Arc<Tell>,
    originator: Originator,
    /// `https`, or `http` for a registry on this computer that speaks no TLS; known once it was connected to.
    scheme: OnceLock<&'static str>,
    authorization: Option<HeaderValue>,
}

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

impl<'a> Client<'a> {
    pub fn new(reference: &'a Reference, keyrings: &'a Keyrings, tell: &'a Arc<Tell>) -> Self {
        Self {
            reference,
            keyrings,
            tell,
            originator: Originator::default(),
            scheme: OnceLock::new(),
            authorization: None,
        }
    }

    /// The registry's own name in words.
    pub fn host(&self) -> &str {
        self.reference.registry()
    }

    /// Learns how the registry is spoken with, and whom it wants to know. The specification's `GET /v2/`.
    pub async fn begin(&mut self) -> Result<(), Fault> {
        let is_local = is_local(self.reference.host());
        let first = self
            .exchange(&Ask::new(Method::GET, self.url("https", "")?), None)
            .await;
        let said = match first {
            // It speaks no TLS; a certificate that is not trusted is another matter.
            Err(Fault::Tls { error, .. }) if is_local && !is_about_certificate(&error) => {
                let _ = self.scheme.set("http");
                self.exchange(&Ask::new(Method::GET, self.url("http", "")?), None)
                    .await?
            }
            other => {
                let _ = self.scheme.set("https");
                other?
            }
        };
        match said.status {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => self.authorize(&said).await,
            _ => Err(self.refused(&said, "its interface was asked for")),
        }
    }

    /// `/v2/` of the registry and what follows.
    pub fn at(&self, path: &str) -> Result<Uri, Fault> {
        self.url(self.scheme.get().copied().unwrap_or("https"), path)
    }

    fn url(&self, scheme: &str, path: &str) -> Result<Uri, Fault> {
        let text = format!("{scheme}://{}/v2/{path}", self.reference.host());
        text.parse().map_err(|_| self.odd(format!("{text} is no URL")))
    }

    /// Where a `Location` leads from `base`: it may be a path, or a URL of another host.
    pub fn location(&self, base: &Uri, location: &str) -> Result<Uri, Fault> {
        let whole = if location.starts_with('/') {
            let authority = base.authority().map_or("", |authority| authority.as_str());
            format!("{}://{authority}{location}", base.scheme_str().unwrap_or("https"))
        } else {
            location.to_string()
        };
        let url: Uri = whole.parse().map_err(|_| self.odd(format!("it leads to {location}")))?;
        self.allowed(&url)?;
        Ok(url)
    }

    /// Nothing is sent in the clear but to this computer.
    fn allowed(&self, url: &Uri) -> Result<(), Fault> {
        match (url.scheme_str(), url.host()) {
            (Some("https"), Some(_)) => Ok(()),
            (Some("http"), Some(host)) if is_local(host) => Ok(()),
            _ => Err(self.odd(format!("it leads to {url}, which is not https"))),
        }
    }

    /// Sends a request, with authorization where it goes to the registry; once more where that has run out.
    pub async fn send(&mut self, ask: Ask) -> Result<Said, Fault> {
        let own = ask.url.authority() == self.at("")?.authority();
        let said = self.exchange(&ask, self.authorization.clone().filter(|_| own)).await?;
        if said.status != StatusCode::UNAUTHORIZED || !own {
            return Ok(said);
        }
        self.authorize(&said).await?;
        let again = self.exchange(&ask, self.authorization.clone()).await?;
        match again.status {
            StatusCode::UNAUTHORIZED => Err(self.forbidden(&again)),
            _ => Ok(again),
        }
    }

    /// Answers what an answer asks for.
    async fn authorize(&mut self, said: &Said) -> Result<(), Fault> {
        let challenge = Challenge::of(&said.headers)
            .ok_or_else(|| self.odd("it asks for another authentication than Basic or Bearer".into()))?;
        let found = self.keyrings.find(self.reference).await?;
        let value = match (challenge, &found) {
            (Challenge::Basic, None) => return Err(Fault::Unknown(self.host().to_string())),
            (Challenge::Basic, Some(credentials)) => match &credentials.secret {
                Secret::Password { user, password } => {
                    let value = basic(user, password);
                    // A password that is wrong is wrong for each request.
                    if self.authorization.is_some() {
                        return Err(self.unauthorized(credentials, said));
                    }
                    value
                }
                Secret::Refresh(_) => return Err(self.unauthorized(credentials, said)),
            },
            (Challenge::Bearer { realm, service }, _) => self.token(&realm, &service, found.as_ref()).await?,
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| self.odd("its token is no header".into()))?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(())
    }

    /// A token to push with, from the token server. Source: distribution's "Token Authentication Specification" and "OAuth 2
    /// Token Specification".
    async fn token(&self, realm: &str, service: &str, found: Option<&Credentials>) -> Result<String, Fault> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let realm: Uri = realm
            .parse()
            .map_err(|_| self.odd(format!("its token server is {realm}")))?;
        self.allowed(&realm)?;
        let scope = format!("repository:{}:pull,push", self.reference.repository());
        let mut fields = vec![("service", service), ("scope", &scope)];
        let (mut ask, mut authorization) = (Ask::new(Method::GET, realm.clone()), None);
        match found.map(|found| &found.secret) {
            Some(Secret::Refresh(token)) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "egret"),
                    ("refresh_token", token),
                ]);
                ask.method = Method::POST;
                ask.content_type = Some("application/x-www-form-urlencoded");
                ask.body = form(&fields).into();
            }
            other => {
                if let Some(Secret::Password { user, password }) = other {
                    authorization = HeaderValue::try_from(basic(user, password)).ok();
                    fields.push(("account", user));
                }
                let separator = if realm.query().is_some() { '&' } else { '?' };
                let whole = format!("{realm}{separator}{}", form(&fields));
                ask.url = whole
                    .parse()
                    .map_err(|_| self.odd(format!("its token server is {realm}")))?;
            }
        }
        let said = self.exchange(&ask, authorization).await?;
        match (said.status, found) {
            (StatusCode::OK, _) => {}
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST, Some(found)) => {
                return Err(self.unauthorized(found, &said));
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => {
                return Err(Fault::Unknown(self.host().to_string()));
            }
            _ => {
                return Err(Fault::Refused {
                    host: realm.host().unwrap_or_default().to_string(),
                    doing: "a token was asked for",
                    status: said.status.as_u16(),
                    said: said.words(),
                });
            }
        }
        let token: Token =
            serde_json::from_slice(&said.body).map_err(|_| self.odd("its token server gave no token".into()))?;
        let token = token.token.or(token.access_token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| self.odd("its token server gave no token".into()))?;
        Ok(format!("Bearer {token}"))
    }

    async fn exchange(&self, ask: &Ask, authorization: Option<HeaderValue>) -> Result<Said, Fault> {
        let host = ask.url.host().unwrap_or_default();
        let secure = ask.url.scheme_str() != Some("http");
        let port = ask.url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let unreachable = |error| Fault::Unreachable {
            host: format!("{host}:{port}"),
            error,
        };
        let stream = limited(connect(host, port)).await.map_err(unreachable)?;
        if !secure {
            return self.talk(stream, ask, authorization).await;
        }
        let stream = limited(self.originator.originate(stream, host, Alpn::Http11)).await;
        let stream = stream.map_err(|error| Fault::Tls {
            host: host.to_string(),
            error,
        })?;
        self.talk(stream, ask, authorization).await
    }

    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
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
            tell: ask.counts.then(|| self.tell.clone()),
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
            .map_err(|error| self.odd(error.to_string()))?;
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

    pub fn odd(&self, words: String) -> Fault {
        let host = self.host().to_string();
        Fault::Odd { host, words }
    }

    fn unauthorized(&self, found: &Credentials, said: &Said) -> Fault {
        Fault::Unauthorized {
            registry: self.host().to_string(),
            from: found.from.clone(),
            said: said.words(),
        }
    }

    fn forbidden(&self, said: &Said) -> Fault {
        Fault::Forbidden {
            name: format!("{}/{}", self.host(), self.reference.repository()),
            said: said.words(),
        }
    }

    /// What an answer means that is not the one that was to come.
    pub fn refused(&self, said: &Said, doing: &'static str) -> Fault {
        match said.status {
            StatusCode::FORBIDDEN => self.forbidden(said),
            status => Fault::Refused {
                host: self.host().to_string(),
                doing,
                status: status.as_u16(),
                said: said.words(),
            },
        }
    }
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
fn is_local(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_about_certificate(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_)))
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// `application/x-www-form-urlencoded`, which a query can be too.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |text, byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text + &char::from(byte).to_string(),
            byte => text + &format!("%{byte:02X}"),
        })
    };
    let all = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    all.collect::<Vec<_>>().join("&")
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
