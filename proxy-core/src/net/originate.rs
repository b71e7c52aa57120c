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

/// Where distributions keep the certificate authorities that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The protocol that an upstream is told will be spoken inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`.
    Http11,
    /// `h2`.
    Http2,
}

/// Opens TLS towards upstreams. What is trusted is read once, when the first upstream needs it: most policies never do.
#[derive(Debug, Clone, Default)]
pub struct Originator {
    /// For HTTP/1.1 and for HTTP/2.
    configs: Arc<OnceLock<Result<[Arc<ClientConfig>; 2], String>>>,
}

impl Originator {
    /// Speaks TLS over `stream` with the server `name`, which the certificate must carry.
    pub async fn originate(&self, stream: TcpStream, name: &str, alpn: Alpn) -> io::Result<TlsStream<TcpStream>> {
        let configs = self.configs.get_or_init(|| load().map_err(|error| error.to_string()));
        let [http1, http2] = configs.clone().map_err(io::Error::other)?;
        let config = match alpn {
            Alpn::Http11 => http1,
            Alpn::Http2 => http2,
        };
        let plain = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(plain.to_string()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

/// `SSL_CERT_FILE`, else the system's bundle.
fn load() -> io::Result<[Arc<ClientConfig>; 2]> {
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
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let telling = |protocol: &[u8]| {
        let mut config = config.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        Arc::new(config)
    };
    Ok([telling(b"http/1.1"), telling(b"h2")])
}
