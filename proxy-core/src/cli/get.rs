//! `egret-proxy get`: one HTTP request, for machines without curl. Its options, its output and its exit codes mean what
//! they mean to curl, so that whoever runs one can run the other.

use std::{
    env,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{self, TcpStream},
    runtime, task, time,
};

use crate::net::{Alpn, Originator, Server};

/// Largest answer of a proxy to CONNECT.
const MAX_HEAD: usize = 16 * 1024;

/// Arguments of `get`.
#[derive(Debug, Args)]
pub struct Get {
    /// Print status line and headers too
    #[arg(short = 'i', long)]
    include: bool,
    /// Ask for the headers alone
    #[arg(short = 'I', long)]
    head: bool,
    /// Print nothing of an answer with status 400 or above, and end with 22
    #[arg(short = 'f', long)]
    fail: bool,
    /// Do not say why a request failed
    #[arg(short = 's', long)]
    silent: bool,
    /// Method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    request: Method,
    /// Seconds after which to give up
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    max_time: f64,
    /// Print this behind the answer; %{http_code}, %{time_total} and %{remote_ip} are filled in
    #[arg(short = 'w', long, value_name = "FORMAT", default_value = "")]
    write_out: String,
    /// http:// or https://
    url: Uri,
}

/// What is known of an exchange, also of one that fails.
#[derive(Debug, Default)]
struct Seen {
    status: u16,
    /// What was connected to.
    remote: Option<IpAddr>,
}

/// Why a request failed; curl's exit code and words.
#[derive(Debug)]
struct Failed(u8, String);

const UNSUPPORTED: u8 = 1;
const MALFORMED: u8 = 3;
const UNRESOLVED: u8 = 6;
const UNCONNECTED: u8 = 7;
const ANSWERED_BADLY: u8 = 22;
const TIMED_OUT: u8 = 28;
const TLS_FAILED: u8 = 35;
const EMPTY_REPLY: u8 = 52;
const RECEIVE_FAILED: u8 = 56;
const UNTRUSTED: u8 = 60;

impl Get {
    /// curl's exit code.
    pub fn run(self) -> ExitCode {
        let started = Instant::now();
        let mut seen = Seen::default();
        let result = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failed(2, error.to_string()))
            .and_then(|runtime| runtime.block_on(self.limited(&mut seen)));
        let out = self
            .write_out
            .replace("\\n", "\n")
            .replace("%{http_code}", &format!("{:03}", seen.status))
            .replace(
                "%{remote_ip}",
                &seen.remote.map(|address| address.to_string()).unwrap_or_default(),
            )
            .replace("%{time_total}", &format!("{:.6}", started.elapsed().as_secs_f64()));
        // A reader that went away has seen enough.
        let _ = write!(io::stdout(), "{out}").and_then(|()| io::stdout().flush());
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failed(code, message)) => {
                if !self.silent {
                    eprintln!("egret-proxy get: ({code}) {message}");
                }
                ExitCode::from(code)
            }
        }
    }

    async fn limited(&self, seen: &mut Seen) -> Result<(), Failed> {
        let limit = Duration::try_from_secs_f64(self.max_time)
            .map_err(|error| Failed(MALFORMED, format!("--max-time: {error}")))?;
        let timed_out = |_| Failed(TIMED_OUT, format!("no whole answer within {} s", self.max_time));
        // The connection runs as a task of this thread.
        let tasks = task::LocalSet::new();
        time::timeout(limit, tasks.run_until(self.exchange(seen)))
            .await
            .map_err(timed_out)?
    }

    async fn exchange(&self, seen: &mut Seen) -> Result<(), Failed> {
        let malformed = || {
            Failed(
                MALFORMED,
                format!("{} is no http:// or https:// URL with a host", self.url),
            )
        };
        let host = self.url.host().ok_or_else(malformed)?;
        let secure = match self.url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(other) => return Err(Failed(UNSUPPORTED, format!("protocol {other} is not spoken"))),
            None => return Err(malformed()),
        };
        let port = self.url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let proxy = proxy(if secure { "https_proxy" } else { "http_proxy" })?;
        let stream = match &proxy {
            Some(proxy) => connect_to(proxy).await?,
            None => connect(host, port).await?,
        };
        seen.remote = stream.peer_addr().ok().map(|address| address.ip());
        let stream = match &proxy {
            Some(_) if secure => tunnel(stream, &format!("{host}:{port}")).await?,
            _ => stream,
        };
        if !secure {
            return self.talk(stream, proxy.is_some(), &mut seen.status).await;
        }
        let stream = Originator::default()
            .originate(stream, &Server::named(host), Some(Alpn::Http11))
            .await
            .map_err(|error| {
                let untrusted = error.to_string().contains("certificate");
                Failed(
                    if untrusted { UNTRUSTED } else { TLS_FAILED },
                    format!("TLS with {host}: {error}"),
                )
            })?;
        self.talk(stream, false, &mut seen.status).await
    }

    /// One request and its answer; to a proxy the URL is asked for whole.
    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        whole: bool,
        status: &mut u16,
    ) -> Result<(), Failed> {
        let failed = |error: hyper::Error| {
            let empty = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
            Failed(if empty { EMPTY_REPLY } else { RECEIVE_FAILED }, error.to_string())
        };
        let (mut sender, connection) = http1::Builder::new()
            .title_case_headers(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        // What ends the connection ends the exchange, which tells of it.
        task::spawn_local(connection);
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
        let request = Request::builder()
            .method(if self.head { Method::HEAD } else { self.request.clone() })
            .uri(if whole { self.url.to_string() } else { path.to_string() })
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("egret-proxy/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "*/*")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Failed(MALFORMED, error.to_string()))?;
        let mut response = sender.send_request(request).await.map_err(failed)?;
        *status = response.status().as_u16();
        if self.fail && *status >= 400 {
            return Err(Failed(ANSWERED_BADLY, format!("the answer is {status}")));
        }
        let unwritten = |error: io::Error| Failed(23, error.to_string());
        if self.include || self.head {
            io::stdout().write_all(&head(&response)).map_err(unwritten)?;
        }
        while let Some(frame) = response.frame().await {
            let frame = frame.map_err(|error| Failed(RECEIVE_FAILED, error.to_string()))?;
            if let Some(bytes) = frame.data_ref() {
                io::stdout().write_all(bytes).map_err(unwritten)?;
            }
        }
        Ok(())
    }
}

/// Status line and headers as they came.
fn head(response: &Response<Incoming>) -> Vec<u8> {
    let mut text = format!("{:?} {}\r\n", response.version(), response.status()).into_bytes();
    for (name, value) in response.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// The proxy that `variable` names.
fn proxy(variable: &str) -> Result<Option<Uri>, Failed> {
    match env::var(variable) {
        Ok(text) if !text.is_empty() => text
            .parse()
            .map(Some)
            .map_err(|error| Failed(5, format!("{variable}={text}: {error}"))),
        _ => Ok(None),
    }
}

async fn connect_to(proxy: &Uri) -> Result<TcpStream, Failed> {
    connect(proxy.host().unwrap_or_default(), proxy.port_u16().unwrap_or(1080)).await
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, Failed> {
    let plain = host.trim_matches(['[', ']']);
    let addresses: Vec<SocketAddr> = net::lookup_host((plain, port))
        .await
        .map_err(|error| Failed(UNRESOLVED, format!("{host} cannot be resolved: {error}")))?
        .collect();
    TcpStream::connect(&*addresses)
        .await
        .map_err(|error| Failed(UNCONNECTED, format!("no connection to {host} port {port}: {error}")))
}

/// Asks a proxy for a tunnel to `target`.
async fn tunnel(mut stream: TcpStream, target: &str) -> Result<TcpStream, Failed> {
    let refused = |why: String| Failed(RECEIVE_FAILED, format!("the proxy gives no tunnel to {target}: {why}"));
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let lost = |error: io::Error| refused(error.to_string());
    stream.write_all(request.as_bytes()).await.map_err(lost)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // One byte at a time: what follows the head belongs to the tunnel.
        match stream.read_u8().await {
            Ok(byte) if answer.len() < MAX_HEAD => answer.push(byte),
            Ok(_) => return Err(refused("its answer is too long".into())),
            Err(error) => return Err(lost(error)),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    match answer.split(' ').nth(1) {
        Some("200") => Ok(stream),
        _ => Err(refused(answer.lines().next().unwrap_or_default().to_string())),
    }
}
