//! TLS that the sidecar originates where a DestinationRule says so.

use std::{
    env, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    certificates::{Configs, Files, Kept},
    verify::{self, Chain},
};

/// Where distributions keep the certificate authorities that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Opens TLS towards upstreams. What the system trusts is read once, when the first upstream needs it and it can be:
/// most policies never do. Files that a rule names are read again whenever they have changed.
#[derive(Debug, Clone, Default)]
pub struct Originator {
    system: Arc<OnceLock<[Configs; 2]>>,
    files: Kept,
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
    /// Files with certificates in the place of the system's, where any are named.
    pub files: Option<Box<Files>>,
}

impl Server {
    /// The trusted one of a name.
    pub fn named(name: &str) -> Self {
        Self {
            name: Some(name.into()),
            trusted: true,
            host: Some(name.into()),
            names: Arc::default(),
            files: None,
        }
    }
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
        let Configs([plain, http1, http2]) = match &server.files {
            Some(files) => self.files.configs(files, server.trusted)?,
            None => self.system(server.trusted)?,
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

    fn system(&self, trusted: bool) -> io::Result<Configs> {
        let [of_trusted, of_anybody] = match self.system.get() {
            Some(system) => system,
            None => {
                let system = load()?;
                self.system.get_or_init(|| system)
            }
        };
        let configs = if trusted { of_trusted } else { of_anybody };
        Ok(configs.clone())
    }
}

/// With whom a trusted authority has signed for, and with anybody. A session that was begun with anybody is resumed with
/// nobody who must be trusted: each has sessions of its own.
fn load() -> io::Result<[Configs; 2]> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok([
        Configs::new(Chain::of_trusted(system_roots()?, provider.clone()), &provider, None)?,
        Configs::new(Chain::of_anybody(provider.clone()), &provider, None)?,
    ])
}

/// What `SSL_CERT_FILE` names, else the system's bundle.
pub(super) fn system_roots() -> io::Result<Arc<RootCertStore>> {
    let path = match env::var_os("SSL_CERT_FILE") {
        Some(path) => PathBuf::from(path),
        None => BUNDLES
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .ok_or_else(|| io::Error::other("this system has no certificate bundle; name one in SSL_CERT_FILE"))?
            .to_path_buf(),
    };
    roots(&path)
}

/// The authorities of a bundle. Bundles carry certificates that are too odd to use; the others count.
pub(super) fn roots(path: &Path) -> io::Result<Arc<RootCertStore>> {
    let unusable = |error| io::Error::other(format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(unusable)?;
    roots.add_parsable_certificates(certificates.flatten());
    Ok(Arc::new(roots))
}

/// An IPv6 address as it stands in a Host has brackets.
fn unbracketed(name: &str) -> &str {
    name.trim_start_matches('[').trim_end_matches(']')
}
