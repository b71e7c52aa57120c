//! Speaks to the sidecar's admin server: plain HTTP/1.0 over loopback, whose answers end with the connection, so that a
//! stream of lines is simply the rest of the socket.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use proxy_core::record::FlowRecord;
use serde::Deserialize;

/// Loopback answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer that is read: far above any /metrics or /config.
const MAX_ANSWER: u64 = 4 << 20;

/// What `/config` says, as far as the app needs it.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Hash of the policy in force.
    pub hash: String,
    /// Ranges that never reach the sidecar.
    #[serde(default)]
    pub exclude_ranges: Vec<String>,
    /// The policy that is compared with.
    #[serde(default)]
    pub compared: Option<Compared>,
}

/// A policy that decides everything too.
#[derive(Debug, Clone, Deserialize)]
pub struct Compared {
    pub hash: String,
    /// Files that it is read from.
    pub files: usize,
}

fn ask(admin: SocketAddr, path: &str) -> io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if line.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("{path} answered {}", line.trim())));
    }
    while line.trim() != "" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(reader)
}

fn text(admin: SocketAddr, path: &str) -> io::Result<String> {
    let mut text = String::new();
    ask(admin, path)?.take(MAX_ANSWER).read_to_string(&mut text)?;
    Ok(text)
}

/// True when the sidecar takes connections.
pub fn ready(admin: SocketAddr) -> bool {
    text(admin, "/ready").is_ok()
}

/// The policy in force.
pub fn config(admin: SocketAddr) -> io::Result<Config> {
    serde_json::from_str(&text(admin, "/config")?).map_err(io::Error::other)
}

/// What the sidecar measures of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    /// Resident memory.
    pub memory_kb: u64,
    /// Connections that callers hold open.
    pub connections: u64,
}

/// The gauges in `/metrics`.
pub fn gauges(admin: SocketAddr) -> io::Result<Gauges> {
    let metrics = text(admin, "/metrics")?;
    let value = |name: &str| {
        let own = |line: &str| line.strip_prefix(name)?.trim().parse::<u64>().ok();
        let missing = || io::Error::other(format!("/metrics says nothing of {name}"));
        metrics.lines().find_map(own).ok_or_else(missing)
    };
    Ok(Gauges {
        memory_kb: value("process_resident_memory_bytes ")? / 1024,
        connections: value("egret_open_connections ")?,
    })
}

/// One line of the stream.
pub enum FlowLine {
    /// A flow.
    Flow(Box<FlowRecord>),
    /// So many were lost on the way.
    Dropped(u64),
}

impl FlowLine {
    /// Reads a line of `/flows` or of the relay; `None` for anything else.
    pub fn parse(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Dropped {
            dropped: u64,
        }
        if let Ok(record) = serde_json::from_str(line) {
            return Some(Self::Flow(Box::new(record)));
        }
        serde_json::from_str(line)
            .ok()
            .map(|Dropped { dropped }| Self::Dropped(dropped))
    }
}

/// Calls `take` with each line of `/flows` until the sidecar ends. `connected` is called once the stream stands.
pub fn follow_flows(admin: SocketAddr, connected: impl FnOnce(), mut take: impl FnMut(FlowLine)) -> io::Result<()> {
    let mut reader = ask(admin, "/flows")?;
    // A stream is silent for as long as nobody calls anything.
    reader.get_ref().set_read_timeout(None)?;
    connected();
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        if let Some(flow) = FlowLine::parse(line.trim()) {
            take(flow);
        }
        line.clear();
    }
    Ok(())
}
