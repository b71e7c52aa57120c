//! TLS that the sidecar originates where a DestinationRule says so.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    client::danger::ServerCertVerifier,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::verify::{self, Anybody, Trusted};

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

/// Whom TLS is spoken with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// The name that is sent; none for who has an address only.
    pub name: Option<Box<str>>,
    /// A trusted authority must have signed its certificate.
    pub trusted: bool,
    /// The host that the certificate must be for.
    pub host: Option<Box<str>>,
    /// Names of which the certificate must have one, where there are any.
    pub names: Arc<[Arc<str>]>,
}

impl Server {
    /// The trusted one of a name.
    pub fn named(name: &str) -> Self {
        Self {
            name: Some(name.into()),
            trusted: true,
            host: Some(name.into()),
            names: Arc::default(),
        }
    }
}

/// How TLS is spoken, by the protocol that is told: with whom a trusted authority has signed for, and with anybody.
#[derive(Debug, Clone)]
struct Configs {
    trusted: [Arc<ClientConfig>; 3],
    anybody: [Arc<ClientConfig>; 3],
}

impl Originator {
    /// Speaks TLS over `stream`; for HTTP, `alpn` says which.
    pub async fn originate(
        &self,
        stream: TcpStream,
        server: &Server,
        alpn: Option<Alpn>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = match server.name.as_deref().map(unbracketed) {
            Some(name) => ServerName::try_from(name.to_string()).map_err(io::Error::other)?,
            // No name is sent for an address.
            None => ServerName::from(stream.peer_addr()?.ip()),
        };
        let configs = self.configs()?;
        let [plain, http1, http2] = if server.trusted {
            configs.trusted
        } else {
            configs.anybody
        };
        let config = match alpn {
            None => plain,
            Some(Alpn::Http11) => http1,
            Some(Alpn::Http2) => http2,
        };
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        // Nothing has been sent within by now.
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let host = server.host.as_deref().map(unbracketed);
        verify::has_one_of(certificate, host.as_slice()).map_err(io::Error::other)?;
        verify::has_one_of(certificate, &server.names).map_err(io::Error::other)?;
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
    let configs = |verifier: Arc<dyn ServerCertVerifier>| {
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let telling = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        io::Result::Ok([telling(&[]), telling(&[b"http/1.1"]), telling(&[b"h2"])])
    };
    // A session that was begun with anybody is resumed with nobody who must be trusted: each has sessions of its own.
    Ok(Configs {
        trusted: configs(Arc::new(Trusted::new(roots, provider.clone())))?,
        anybody: configs(Arc::new(Anybody::new(provider.clone())))?,
    })
}

/// An IPv6 address as it stands in a Host has brackets.
fn unbracketed(name: &str) -> &str {
    name.trim_start_matches('[').trim_end_matches(']')
}
