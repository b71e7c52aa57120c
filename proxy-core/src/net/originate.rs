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

/// Opens TLS towards upstreams. What is trusted is read once, when the first upstream needs it: most policies never do.
#[derive(Debug, Clone, Default)]
pub struct Originator {
    config: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
}

impl Originator {
    /// Speaks TLS over `stream` with the server `name`, which the certificate must carry.
    pub async fn originate(&self, stream: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config.get_or_init(|| load().map_err(|error| error.to_string()));
        let config = config.clone().map_err(io::Error::other)?;
        let plain = name.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(plain.to_string()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, stream).await
    }
}

/// `SSL_CERT_FILE`, else the system's bundle.
fn load() -> io::Result<Arc<ClientConfig>> {
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
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
