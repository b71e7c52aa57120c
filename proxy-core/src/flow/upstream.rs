//! From a cluster to a connection.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, net::TcpStream, time};
use tokio_rustls::client::TlsStream;

use super::{
    Worker,
    breaker::{Breaker, Overflow, Share},
    choice::{Addresses, Wish},
    hosts::Busy,
    outlier::Outcome,
    proxied,
    proxy_header::ProxyHeader,
};
use crate::{
    net::{self, Alpn, DialError, Files, Server},
    policy::{CertificateChecks, Cluster, Endpoints, OriginateTls, StreamSettings, UpstreamHttp, asked, source_hash},
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
    /// The endpoint is busy with it.
    pub _busy: Option<Busy>,
}

/// What goes over a connection.
#[derive(Debug)]
pub(super) enum Stream {
    /// The bytes themselves.
    Plain(TcpStream),
    /// The bytes within TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The connection itself.
    pub fn into_inner(self) -> TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.into_inner().0,
        }
    }
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
            Why::Dial(DialError::Proxy(Some(status))) => format!("tunnel_response:{status}"),
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

/// All addresses of these names, each with the place of its name among them.
async fn resolved<'n>(worker: &Worker, names: impl IntoIterator<Item = (&'n str, u16)>) -> Vec<(SocketAddr, usize)> {
    let mut addresses = Vec::new();
    for (index, (name, port)) in names.into_iter().enumerate() {
        // A name that does not resolve has no addresses; the others serve.
        let found: Vec<IpAddr> = worker.resolver.resolve_declared(name).await;
        addresses.extend(found.into_iter().map(|address| (SocketAddr::new(address, port), index)));
    }
    // Without dual-stack mode Istio's sidecars use IPv4 where there is any.
    if addresses.iter().any(|(address, _)| address.is_ipv4()) {
        addresses.retain(|(address, _)| address.is_ipv4());
    }
    // In whatever order a name's addresses come, they are the same ones.
    addresses.sort_unstable();
    addresses.dedup_by_key(|(address, _)| *address);
    addresses
}

/// The address to dial for a cluster. `name` is the request's Host or the stream's SNI. Where endpoints are chosen among, the
/// call counts for as long as the second part lives.
pub(super) async fn endpoint(
    worker: &Worker,
    cluster: &Cluster,
    destination: SocketAddr,
    name: &str,
    wish: Wish<'_>,
) -> Result<(SocketAddr, Option<Busy>), Failed> {
    let none = || Failed {
        address: None,
        why: Why::NoEndpoint,
    };
    let choose = |addresses| {
        worker
            .choosing
            .choose(worker, cluster, addresses, wish)
            .ok_or_else(none)
    };
    match &cluster.endpoints {
        // Nobody was called but the sidecar itself. Envoy: no address was restored, and so there is no host.
        Endpoints::OriginalDst(_) if worker.snapshot.load().opens(destination) => Err(none()),
        Endpoints::OriginalDst(port) => {
            let address = SocketAddr::new(destination.ip(), port.unwrap_or(destination.port()));
            Ok((address, None))
        }
        Endpoints::Static(addresses) => choose(Addresses::Written(addresses)),
        Endpoints::Host(port) => choose(Addresses::Found(&resolved(worker, [(&*cluster.host, *port)]).await)),
        Endpoints::Dns(names) => {
            let names = names.iter().map(|(name, port)| (&**name, *port));
            choose(Addresses::Found(&resolved(worker, names).await))
        }
        Endpoints::DynamicDns(port) => {
            let (host, port) = asked(name, *port);
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
            Ok((SocketAddr::new(*address, port), None))
        }
    }
}

/// Whom TLS is spoken with: the name that is sent is what the DestinationRule says, else the Host without its port, which a
/// byte stream has not.
pub(super) fn server(tls: &OriginateTls, authority: Option<&str>) -> Server {
    let host = authority.map(|authority| match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    });
    let lowercase = |name: &str| Box::from(name.to_ascii_lowercase());
    Server {
        name: tls.sni.as_deref().or(host).map(lowercase),
        trusted: tls.checks != CertificateChecks::None,
        host: host
            .filter(|_| tls.checks == CertificateChecks::AuthorityAndHost)
            .map(lowercase),
        names: tls.names.clone(),
        files: tls.files.as_ref().map(|files| {
            Box::new(Files {
                authorities: files.authorities.clone(),
                revoked: files.revoked.clone(),
                identity: files.identity.clone(),
            })
        }),
    }
}

/// Opens a connection to an address of a cluster, which begins with `header` where there is one.
pub(super) async fn dial(
    worker: &Worker,
    cluster: &Cluster,
    address: SocketAddr,
    header: Option<&ProxyHeader>,
) -> Result<TcpStream, DialError> {
    let mut stream = worker.dialer.dial(address, cluster.settings.connect_timeout).await?;
    if let Some(keepalive) = cluster.settings.upkeep.as_ref().and_then(|upkeep| upkeep.keepalive) {
        // Envoy: to the second.
        let seconds = |time: Option<Duration>| time.map(|time| Duration::from_secs(time.as_secs()));
        let some = |time: &Duration| !time.is_zero();
        let (time, interval) = (
            seconds(keepalive.time).filter(some),
            seconds(keepalive.interval).filter(some),
        );
        net::keep_alive(
            &stream,
            time,
            interval,
            Some(keepalive.probes).filter(|probes| *probes > 0),
        )?;
    }
    if let Some(header) = header {
        let header = header.bytes(stream.local_addr()?, address);
        stream.write_all(&header).await?;
    }
    Ok(stream)
}

/// Connects the byte stream of a caller at `source` to a cluster.
pub(super) async fn connect(
    worker: &Worker,
    cluster: &Cluster,
    source: SocketAddr,
    destination: SocketAddr,
    name: &str,
    settings: Option<&StreamSettings>,
) -> Result<Connected, Failed> {
    let hashes = settings.is_some_and(|settings| settings.by_source);
    let hash = hashes.then(|| source_hash(source.ip()));
    let tunnel = settings.and_then(|settings| settings.tunnel.as_ref());
    let wish = Wish { hash, tried: &[] };
    let (address, busy) = endpoint(worker, cluster, destination, name, wish).await?;
    let breaker = worker.breaking.of(cluster);
    let share = breaker.as_ref().map(Breaker::stream).transpose();
    let share = share.map_err(|Overflow| Failed {
        address: None,
        why: Why::Overflow,
    })?;
    let limit = cluster.settings.connect_timeout;
    let opening = async {
        let header = ProxyHeader::of(cluster, Some(source), destination);
        let stream = dial(worker, cluster, address, header.as_ref()).await?;
        let local = stream.local_addr().ok();
        let mut stream = match &cluster.settings.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                // As for requests: a cluster that speaks HTTP/2 says so, whatever comes over the stream.
                let alpn = (cluster.settings.http == UpstreamHttp::Http2).then_some(Alpn::Http2);
                let opened = worker.originator.originate(stream, &server(tls, None), alpn).await;
                Stream::Tls(Box::new(opened.map_err(DialError::Tls)?))
            }
        };
        if let Some(tunnel) = tunnel.filter(|tunnel| !tunnel.by_post) {
            match &mut stream {
                Stream::Plain(stream) => proxied::ask(stream, &tunnel.target).await?,
                Stream::Tls(stream) => proxied::ask(stream, &tunnel.target).await?,
            }
        }
        Ok((stream, local))
    };
    let opened = time::timeout(limit, opening).await;
    let opened = opened.unwrap_or(Err(DialError::TimedOut(limit)));
    if let Some(busy) = &busy {
        busy.report(match &opened {
            Ok(_) | Err(DialError::Proxy(_)) => Outcome::Connected,
            Err(DialError::TimedOut(_)) => Outcome::TimedOut,
            Err(DialError::Refused(_) | DialError::Tls(_)) => Outcome::Failed,
        });
    }
    match opened {
        Ok((stream, local)) => Ok(Connected {
            stream,
            local,
            address,
            _share: share,
            _busy: busy,
        }),
        Err(error) => Err(Failed {
            address: Some(address),
            why: Why::Dial(error),
        }),
    }
}
