//! Connecting to upstreams.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time};

use super::Forwarder;

/// Opens connections; some destinations are mapped to other listeners (`--map`).
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    map: Arc<HashMap<SocketAddr, SocketAddr>>,
    forwarder: Option<Forwarder>,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The other side refused, or is not reachable.
    #[error("{0}")]
    Refused(#[from] io::Error),
    /// It answered, but TLS could not be agreed on, or its certificate is not trusted.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// A proxy on the way did not lead on; its status, where it answered with one.
    #[error("a proxy on the way did not lead on")]
    Proxy(Option<u16>),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl Dialer {
    /// A dialer that connects to the value where the key is asked for.
    pub fn new(map: impl IntoIterator<Item = (SocketAddr, SocketAddr)>) -> Self {
        Self {
            map: Arc::new(map.into_iter().collect()),
            forwarder: None,
        }
    }

    /// The same, with what `forwarder` leads to.
    pub fn through(self, forwarder: Option<Forwarder>) -> Self {
        Self { forwarder, ..self }
    }

    /// Connects to `address`, or to what it is mapped to.
    pub async fn dial(&self, address: SocketAddr, timeout: Duration) -> Result<TcpStream, DialError> {
        let target = self.map.get(&address).copied().unwrap_or(address);
        let stream = time::timeout(timeout, self.connect(target))
            .await
            .map_err(|_| DialError::TimedOut(timeout))??;
        // Small writes go out at once; a proxy must not add Nagle's delay to its callers' own.
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        if let Some(forwarder) = &self.forwarder
            && let Some(stream) = forwarder.connect(target).await?
        {
            return Ok(stream);
        }
        TcpStream::connect(target).await
    }
}
