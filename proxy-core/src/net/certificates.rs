//! Certificates and keys that are files: read when they are first needed, and again when they have changed. Source: Istio
//! gives Envoy such files over SDS (`security/pkg/nodeagent/cache/secretcache.go`); where one cannot be used Envoy goes on
//! with those from before, and without any no connection is made.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

use super::{
    originate::{roots, system_roots},
    verify::Chain,
};

/// Files with what TLS is spoken with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Files {
    /// Certificates of the authorities that are trusted in the place of the system's.
    pub authorities: Option<Arc<str>>,
    /// What these have revoked.
    pub revoked: Option<Arc<str>>,
    /// Certificate and key of the client.
    pub identity: Option<[Arc<str>; 2]>,
}

/// Chain and key of a client.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// How TLS is spoken, by the protocol that is told: none, HTTP/1.1 and HTTP/2.
#[derive(Debug, Clone)]
pub(super) struct Configs(pub [Arc<ClientConfig>; 3]);

/// What has been read of files, by their names and by whether the server must be trusted.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<HashMap<(Files, bool), Read>>>);

/// The files as they were when they were last read, and the last of them that could be used.
#[derive(Debug)]
struct Read {
    stamps: Vec<Option<Stamp>>,
    usable: Option<Configs>,
    /// When they could not be used.
    failed: Option<Instant>,
}

/// After this long files that could not be used are read again, whatever tells of them: what kept them from being read may
/// be none of theirs.
const REST: Duration = Duration::from_secs(1);

/// What changes with a file, be it written or another one put in its place.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Configs {
    /// With servers whose certificate's chain is as it is asked for, as `identity`.
    pub(super) fn new(chain: Chain, provider: &Arc<CryptoProvider>, identity: Option<Identity>) -> io::Result<Self> {
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(chain));
        let config = match identity {
            None => config.with_no_client_auth(),
            Some((own, key)) => config.with_client_auth_cert(own, key).map_err(io::Error::other)?,
        };
        let telling = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self([telling(&[]), telling(&[b"http/1.1"]), telling(&[b"h2"])]))
    }
}

impl Kept {
    /// What `files` say now.
    pub(super) fn configs(&self, files: &Files, trusted: bool) -> io::Result<Configs> {
        let stamps = files.stamps();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = all.entry((files.clone(), trusted)).or_insert_with(|| Read {
            stamps: Vec::new(),
            usable: None,
            failed: None,
        });
        let differs = read.stamps != stamps;
        if differs || read.failed.is_some_and(|failed| failed.elapsed() >= REST) {
            read.stamps = stamps;
            let loaded = files.load(trusted);
            read.failed = loaded.is_err().then(Instant::now);
            match loaded {
                Ok(configs) => read.usable = Some(configs),
                // It was told when they changed.
                Err(_) if !differs => {}
                Err(error) => {
                    let instead = match read.usable {
                        Some(_) => "those from before stay in use",
                        None => "connections that need it fail until it can be used",
                    };
                    tracing::warn!("a certificate file of a DestinationRule cannot be used, {instead}: {error}");
                }
            }
        }
        let usable = read.usable.clone();
        // Envoy's words.
        usable.ok_or_else(|| io::Error::other("Secret is not supplied by SDS"))
    }
}

impl Files {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let identity = self.identity.iter().flatten();
        let named = self.authorities.iter().chain(&self.revoked).chain(identity);
        named.map(|path| Stamp::of(path)).collect()
    }

    fn load(&self, trusted: bool) -> io::Result<Configs> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = match &self.revoked {
            _ if !trusted => Chain::of_anybody(provider.clone()),
            None => Chain::of_trusted(self.roots()?, provider.clone()),
            Some(path) => {
                let revoked = CertificateRevocationListDer::pem_file_iter(&**path);
                let revoked: Result<Vec<_>, pem::Error> = revoked.and_then(Iterator::collect);
                let revoked = some(path, revoked.map_err(|error| unusable(path, error))?)?;
                let chain = Chain::unrevoked(self.roots()?, revoked, provider.clone());
                chain.map_err(|error| unusable(path, error))?
            }
        };
        let identity = self.identity.as_ref().map(identity).transpose()?;
        let configs = Configs::new(chain, &provider, identity);
        configs.map_err(|error| match &self.identity {
            Some([certificate, key]) => io::Error::other(format!("{certificate} and {key}: {error}")),
            None => error,
        })
    }

    fn roots(&self) -> io::Result<Arc<rustls::RootCertStore>> {
        let Some(path) = &self.authorities else {
            return system_roots();
        };
        let roots = roots(Path::new(&**path))?;
        match roots.is_empty() {
            true => Err(unusable(path, "no certificate of an authority stands in it")),
            false => Ok(roots),
        }
    }
}

impl Stamp {
    fn of(path: &str) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            inode: found.ino(),
            length: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

fn identity([certificate, key]: &[Arc<str>; 2]) -> io::Result<Identity> {
    let chain = CertificateDer::pem_file_iter(&**certificate);
    let chain: Result<Vec<_>, pem::Error> = chain.and_then(Iterator::collect);
    let chain = some(certificate, chain.map_err(|error| unusable(certificate, error))?)?;
    let key = PrivateKeyDer::from_pem_file(&**key).map_err(|error| unusable(key, error))?;
    Ok((chain, key))
}

fn some<T>(path: &str, found: Vec<T>) -> io::Result<Vec<T>> {
    match found.is_empty() {
        true => Err(unusable(path, "nothing of what is expected stands in it")),
        false => Ok(found),
    }
}

fn unusable(path: &str, why: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{path}: {why}"))
}
