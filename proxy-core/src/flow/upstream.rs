//! From a cluster to a connection.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
};

use tokio::{net::TcpStream, time};
use tokio_rustls::client::TlsStream;

use super::{
    Worker,
    breaker::{Breaker, Overflow, Share},
};
use crate::{
    net::DialError,
    policy::{Cluster, Endpoints, OriginateTls},
};

/// An open connection and the address that policy chose (not what it may be mapped to).
#[derive(Debug)]
pub(super) struct Connected {
    pub stream: Stream,
    /// Our end of it.
    pub local: Option<SocketAddr>,
    pub address: SocketAddr,
    /// Its share of the cluster's connections.
    pub _share: Option<Share>,
}

/// What goes over a connection.
#[derive(Debug)]
pub(super) enum Stream {
    /// The bytes themselves.
    Plain(TcpStream),
    /// The bytes within TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Failed {
    pub address: Option<SocketAddr>,
    pub why: Why,
}

/// What failed.
#[derive(Debug)]
pub(super) enum Why {
    /// The cluster has no address now.
    NoEndpoint,
    /// The name of the request cannot be resolved (DYNAMIC_DNS); why not, in the words of Envoy's resolver.
    Unresolvable(&'static str),
    /// The cluster has as many connections as it may.
    Overflow,
    /// Connecting failed.
    Dial(DialError),
}

impl Failed {
    /// Flags of a tcp_proxy row. Envoy: `UF`, then `URX` because one attempt is the limit.
    pub fn stream_flags(&self) -> &'static str {
        match self.why {
            Why::NoEndpoint | Why::Unresolvable(_) => "UH",
            Why::Overflow => "UO",
            Why::Dial(_) => "UF,URX",
        }
    }

    /// The failure-reason column.
    pub fn transport_failure(&self) -> String {
        match &self.why {
            Why::Dial(DialError::Refused(error)) => format!("delayed_connect_error:_{}", reason(error)),
            Why::Dial(DialError::Tls(error)) => format!("TLS_error:_{}", reason(error)),
            _ => String::new(),
        }
    }
}

/// The system's words without its error number, spaces as Envoy writes them, and no quotes: the log has it within such.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or(&text)
        .replace(' ', "_")
        .replace('"', "'")
}

/// How often Istio has Envoy choose again where it chose an address that was tried before.
const CHOICES: usize = 5;

/// One of several addresses: each in its turn, rather one that was not tried.
fn choose(worker: &Worker, addresses: &[SocketAddr], tried: &[SocketAddr]) -> SocketAddr {
    let mut chosen = addresses[worker.next_turn() % addresses.len()];
    for _ in 0..CHOICES {
        if !tried.contains(&chosen) {
            break;
        }
        chosen = addresses[worker.next_turn() % addresses.len()];
    }
    chosen
}

/// One of all addresses of these names; `None` where none has any.
async fn resolved<'n>(
    worker: &Worker,
    names: impl IntoIterator<Item = (&'n str, u16)>,
    tried: &[SocketAddr],
) -> Option<SocketAddr> {
    let mut addresses = Vec::new();
    for (name, port) in names {
        // A name that does not resolve has no addresses; the others serve.
        let found: Vec<IpAddr> = worker.resolver.resolve_declared(name).await;
        addresses.extend(found.into_iter().map(|address| SocketAddr::new(address, port)));
    }
    // Without dual-stack mode Istio's sidecars use IPv4 where there is any.
    if addresses.iter().any(SocketAddr::is_ipv4) {
        addresses.retain(SocketAddr::is_ipv4);
    }
    (!addresses.is_empty()).then(|| choose(worker, &addresses, tried))
}

/// The address to dial for a cluster, rather than one that was tried. `name` is the request's Host or the stream's SNI.
pub(super) async fn endpoint(
    worker: &Worker,
    cluster: &Cluster,
    destination: SocketAddr,
    name: &str,
    tried: &[SocketAddr],
) -> Result<SocketAddr, Failed> {
    let none = Failed {
        address: None,
        why: Why::NoEndpoint,
    };
    match &cluster.endpoints {
        Endpoints::OriginalDst(port) => Ok(SocketAddr::new(destination.ip(), port.unwrap_or(destination.port()))),
        Endpoints::Static(addresses) if addresses.is_empty() => Err(none),
        Endpoints::Static(addresses) => Ok(choose(worker, addresses, tried)),
        Endpoints::Host(port) => resolved(worker, [(&*cluster.host, *port)], tried).await.ok_or(none),
        Endpoints::Dns(names) => {
            let names = names.iter().map(|(name, port)| (&**name, *port));
            resolved(worker, names, tried).await.ok_or(none)
        }
        Endpoints::DynamicDns(port) => {
            let (host, port) = match name.rsplit_once(':') {
                Some((host, text)) if !name.ends_with(']') => (host, text.parse().unwrap_or(*port)),
                _ => (name, *port),
            };
            let found = worker.resolver.resolve_asked(host, port).await;
            let why = match &found {
                Err(error) if error.kind() == ErrorKind::NotFound => "{cares_norecords:Domain_name_not_found}",
                Err(error) if error.kind() == ErrorKind::InvalidInput => "{cares_failure:Misformatted_domain_name}",
                _ => "",
            };
            let found = found.unwrap_or_default();
            let address = found.first().ok_or(Failed {
                address: None,
                why: Why::Unresolvable(why),
            })?;
            Ok(SocketAddr::new(*address, port))
        }
    }
}

/// The server's name for TLS: what the DestinationRule says, else the Host without its port.
pub(super) fn server_name<'n>(tls: &'n OriginateTls, authority: &'n str) -> &'n str {
    match (&tls.sni, authority.rsplit_once(':')) {
        (Some(sni), _) => sni,
        (None, Some((host, _))) if !authority.ends_with(']') => host,
        (None, _) => authority,
    }
}

/// Connects a byte stream to a cluster.
pub(super) async fn connect(
    worker: &Worker,
    cluster: &Cluster,
    destination: SocketAddr,
    name: &str,
) -> Result<Connected, Failed> {
    let address = endpoint(worker, cluster, destination, name, &[]).await?;
    let breaker = worker.breaking.of(cluster);
    let share = breaker.as_ref().map(Breaker::stream).transpose();
    let share = share.map_err(|Overflow| Failed {
        address: None,
        why: Why::Overflow,
    })?;
    let limit = cluster.settings.connect_timeout;
    let opening = async {
        let stream = worker.dialer.dial(address, limit).await?;
        let local = stream.local_addr().ok();
        let stream = match &cluster.settings.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let opened = worker
                    .originator
                    .originate_stream(stream, tls.sni.as_deref(), &tls.names)
                    .await;
                Stream::Tls(Box::new(opened.map_err(DialError::Tls)?))
            }
        };
        Ok(Connected {
            stream,
            local,
            address,
            _share: share,
        })
    };
    let opened = time::timeout(limit, opening).await;
    opened
        .unwrap_or(Err(DialError::TimedOut(limit)))
        .map_err(|error| Failed {
            address: Some(address),
            why: Why::Dial(error),
        })
}
