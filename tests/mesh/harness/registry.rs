//! A registry to push images to: CNCF's distribution, which `make registry` builds.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::guard::{NotUp, REQUIRED, cache};

/// How it asks who pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// For a password.
    Basic,
    /// For a token of its token server, which takes a password or [`Registry::REFRESH`].
    Token,
}

/// A registry on this machine. It ends when this is dropped.
pub struct Registry {
    process: Child,
    address: String,
    store: tempfile::TempDir,
}

impl Registry {
    /// Who may push to it.
    pub const USER: &str = "jane";
    /// The user's password.
    pub const PASSWORD: &str = "pass:word";
    /// What the token server takes instead.
    pub const REFRESH: &str = "a-refresh-token";

    /// Starts one, over TLS where there is a certificate with its key. Nobody may push to its repositories `locked/…`, where it
    /// asks for tokens.
    pub fn up(asks: Asks, certificate: Option<[PathBuf; 2]>) -> Result<Self, NotUp> {
        let program = cache().join("bin/registry");
        if !program.exists() {
            let reason = "pushing images needs a registry, which is not built yet: make registry".to_string();
            return Err(match env::var_os(REQUIRED) {
                Some(_) => NotUp::Failed(reason),
                None => NotUp::Lacking(reason),
            });
        }
        let failed = |error: std::io::Error| NotUp::Failed(format!("the registry: {error}"));
        let store = tempfile::tempdir().map_err(failed)?;
        let way = match asks {
            Asks::Basic => "basic",
            Asks::Token => "token",
        };
        let mut process = Command::new(program)
            .arg(store.path())
            .args([way, Self::USER, Self::PASSWORD])
            .args(certificate.into_iter().flatten())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut address = String::new();
        if let Some(said) = process.stdout.take() {
            BufReader::new(said).read_line(&mut address).map_err(failed)?;
        }
        Ok(Self {
            process,
            address: address.trim().to_string(),
            store,
        })
    }

    /// Address and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The digest that a tag of a repository names, as the registry keeps it.
    pub fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let root = self.store.path().join("docker/registry/v2/repositories");
        let link = root
            .join(repository)
            .join("_manifests/tags")
            .join(tag)
            .join("current/link");
        std::fs::read_to_string(link).ok()
    }

    /// What the registry keeps under a digest.
    pub fn kept(&self, digest: &str) -> Option<Vec<u8>> {
        let hash = digest.strip_prefix("sha256:")?;
        let blobs = self.store.path().join("docker/registry/v2/blobs/sha256");
        std::fs::read(blobs.join(hash.get(..2)?).join(hash).join("data")).ok()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
