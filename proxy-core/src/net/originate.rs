//! TLS that the sidecar originates where a DestinationRule says so.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::trusted::{self, Trusted};

/// Where distributions keep the certificate authorities that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Opens TLS towards upstreams. What is trusted is read once, when the first upstream needs it: most policies never do.
#[derive(Debug, Clone, Default)]
pub struct Originator {
    configs: Arc<OnceLock<Result<Configs, String>>>,
}

/// The protocol that an upstream is told will be spoken inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`.
    Http11,
    /// `h2`.
    Http2,
}

/// How TLS is spoken.
#[derive(Debug, Clone)]
struct Configs {
    /// Where HTTP/1.1 is spoken within.
    http1: Arc<ClientConfig>,
    /// Where HTTP/2 is.
    http2: Arc<ClientConfig>,
    /// Where anything may be.
    stream: Arc<ClientConfig>,
}

impl Originator {
    /// Speaks TLS over `stream` with the server `name`, which the certificate must carry, for HTTP.
    pub async fn originate(&self, stream: TcpStream, name: &str, alpn: Alpn) -> io::Result<TlsStream<TcpStream>> {
        let configs = self.configs()?;
        let config = match alpn {
            Alpn::Http11 => configs.http1,
            Alpn::Http2 => configs.http2,
        };
        let plain = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(plain.to_string()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Speaks TLS over `stream` for a byte stream, with the server `name`, or with whoever is trusted; and who has one of
    /// `names`, where there are any.
    pub async fn originate_stream(
        &self,
        stream: TcpStream,
        name: Option<&str>,
        names: &[Arc<str>],
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match name {
            Some(name) => ServerName::try_from(name.to_string()).map_err(io::Error::other)?,
            // No name is sent for an address.
            None => ServerName::from(stream.peer_addr()?.ip()),
        };
        let stream = TlsConnector::from(self.configs()?.stream).connect(name, stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        trusted::has_one_of(certificate, names).map_err(io::Error::other)?;
        Ok(stream)
    }

    fn configs(&self) -> io::Result<Configs> {
        let configs = self.configs.get_or_init(|| load().map_err(|error| error.to_string()));
        configs.clone().map_err(io::Error::other)
    }
}

/// `SSL_CERT_FILE`, else the system's bundle.
fn load() -> io::Result<Configs> {
    let path = match env::var_os("SSL_CERT_FILE") {
        Some(path) => PathBuf::from(path),
        None => BUNDLES
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .ok_or_else(|| io::Error::other("this system has no certificate bundle; name one in SSL_CERT_FILE"))?
            .to_path_buf(),
    };
    let unusable = |error| io::Error::other(format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&path).map_err(unusable)?;
    // Bundles carry certificates that are too odd to use; the others count.
    roots.add_parsable_certificates(certificates.flatten());
    let (roots, provider) = (Arc::new(roots), Arc::new(aws_lc_rs::default_provider()));
    let config = || {
        ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)
    };
    let http = config()?.with_root_certificates(roots.clone()).with_no_client_auth();
    let telling = |protocol: &[u8]| {
        let mut config = http.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    };
    let trusted = Trusted::new(roots, provider.clone()).map_err(io::Error::other)?;
    let stream = config()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trusted))
        .with_no_client_auth();
    Ok(Configs {
        http1: telling(b"http/1.1"),
        http2: telling(b"h2"),
        stream: Arc::new(stream),
    })
}
