//! Who pushes: what Docker or Podman keep for a registry, in a file or with a helper. Sources: docker-credential-helpers'
//! protocol, Docker's `config.json`, and containers-auth.json(5).

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, alphabet, engine};
use serde::Deserialize;
use tokio::{io::AsyncWriteExt as _, process::Command, time};

use super::{Fault, Reference, reference::HUB};

/// Longest that a helper may take; some ask a person to unlock what they keep.
const HELPER: Duration = Duration::from_secs(60);
/// The user of whom a helper says that what it gives is a token.
const TOKEN: &str = "<token>";
/// What helpers say where they have none. Source: docker-credential-helpers, `credentials/error.go`.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// Docker Hub's name in Docker's files.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What a registry is told.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    /// A password, or a token that takes a password's place.
    Password {
        /// Its user.
        user: String,
        /// The password.
        password: String,
    },
    /// For the token server, instead of a password.
    Refresh(String),
}

/// Nothing secret is printed.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Credentials, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub secret: Secret,
    pub from: String,
}

/// Where credentials are kept.
#[derive(Debug, Clone, Default)]
pub struct Keyrings {
    /// In this order; the first that knows the registry counts.
    pub files: Vec<PathBuf>,
    /// Where helpers are looked for; `None` for this process's own `PATH`.
    pub path: Option<OsString>,
}

impl Keyrings {
    /// Those of this user, Podman's explicit one first, then Docker's, then Podman's.
    pub fn of_user() -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = env::home_dir();
        let in_home = |path: &str| home.as_ref().map(|home| home.join(path));
        let files = [
            set("REGISTRY_AUTH_FILE"),
            set("DOCKER_CONFIG")
                .or_else(|| in_home(".docker"))
                .map(|folder| folder.join("config.json")),
            set("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            set("XDG_CONFIG_HOME")
                .or_else(|| in_home(".config"))
                .map(|folder| folder.join("containers/auth.json")),
        ];
        Self {
            files: files.into_iter().flatten().collect(),
            path: None,
        }
    }

    /// What they have for the registry of `reference`.
    pub(super) async fn find(&self, reference: &Reference) -> Result<Option<Credentials>, Fault> {
        for path in &self.files {
            let Some(file) = File::read(path)? else { continue };
            if let Some(found) = self.look(path, &file, reference).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn look(&self, path: &Path, file: &File, reference: &Reference) -> Result<Option<Credentials>, Fault> {
        let key = |found: &str| is_for(found, reference);
        let helper = file.helpers.iter().filter(|(found, _)| key(found).is_some());
        let helper = helper.max_by_key(|(found, _)| key(found)).map(|(_, helper)| helper);
        if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
            return self.ask(path, helper, reference).await;
        }
        let entries = file.entries.iter().filter(|(found, _)| key(found).is_some());
        let entry = entries.max_by_key(|(found, _)| key(found)).map(|(_, entry)| entry);
        if let Some(secret) = entry.and_then(|entry| entry.secret(path).transpose()).transpose()? {
            let from = path.display().to_string();
            return Ok(Some(Credentials { secret, from }));
        }
        match file.store.as_deref() {
            Some(store) if !store.is_empty() => self.ask(path, store, reference).await,
            _ => Ok(None),
        }
    }

    /// Asks the helper `name` that the file `path` names.
    async fn ask(&self, path: &Path, name: &str, reference: &Reference) -> Result<Option<Credentials>, Fault> {
        let program = format!("docker-credential-{name}");
        let failed = |words: &str| Fault::Helper {
            program: program.clone(),
            path: path.to_path_buf(),
            registry: reference.registry().to_string(),
            words: words.to_string(),
        };
        if name.contains('/') {
            return Err(failed("its name is a path"));
        }
        let key = match reference.registry() {
            HUB => HUB_KEY,
            registry => registry,
        };
        let said = time::timeout(HELPER, self.helper(&program, key))
            .await
            .map_err(|_| failed("it said nothing for a minute"))?
            .map_err(|error| failed(&error.to_string()))?;
        // Both streams are in use for words.
        let words = [&said.stdout, &said.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_string());
        if !said.status.success() {
            let none = words.iter().any(|words| words.contains(NOT_FOUND));
            let words = words.into_iter().find(|words| !words.is_empty()).unwrap_or_default();
            return if none { Ok(None) } else { Err(failed(&words)) };
        }
        let Answer { username, secret } = serde_json::from_slice(&said.stdout)
            .map_err(|_| failed("its answer is no JSON with Username and Secret"))?;
        let secret = match username.as_str() {
            TOKEN => Secret::Refresh(secret),
            _ => Secret::Password {
                user: username,
                password: secret,
            },
        };
        Ok(Some(Credentials { secret, from: program }))
    }

    async fn helper(&self, program: &str, key: &str) -> io::Result<std::process::Output> {
        let mut command = Command::new(program);
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        let mut child = command
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // One that does not read it says what it has against that.
            let _ = input.write_all(key.as_bytes()).await;
        }
        child.wait_with_output().await
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// A file of credentials.
#[derive(Default, Deserialize)]
struct File {
    #[serde(default, rename = "auths")]
    entries: BTreeMap<String, Entry>,
    /// A helper for one registry.
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    /// The helper for all others.
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    /// `user:password` in Base64.
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    refresh: String,
}

impl File {
    /// `None` where there is none.
    fn read(path: &Path) -> Result<Option<Self>, Fault> {
        let unusable = |words: String| Fault::Config {
            path: path.to_path_buf(),
            words,
        };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(unusable(error.to_string())),
        };
        // Its own words could hold what the file says.
        let place =
            |error: serde_json::Error| format!("it cannot be read at line {}, column {}", error.line(), error.column());
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| unusable(place(error)))
    }
}

impl Entry {
    /// `None` where a helper has it, and the entry says only that there is one.
    fn secret(&self, path: &Path) -> Result<Option<Secret>, Fault> {
        if !self.refresh.is_empty() {
            return Ok(Some(Secret::Refresh(self.refresh.clone())));
        }
        let (user, password) = if self.auth.is_empty() {
            (self.username.clone(), self.password.clone())
        } else {
            decoded(&self.auth).ok_or_else(|| Fault::Config {
                path: path.to_path_buf(),
                words: "an `auth` in it is no user and password in Base64; log in again".into(),
            })?
        };
        Ok((!user.is_empty()).then_some(Secret::Password { user, password }))
    }
}

fn decoded(auth: &str) -> Option<(String, String)> {
    let padded = engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent);
    let bytes = engine::GeneralPurpose::new(&alphabet::STANDARD, padded)
        .decode(auth.trim())
        .ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_string(), password.trim_end_matches('\0').to_string()))
}

/// How much of the reference a key of a file names, where it names it: the longer, the better. Docker's keys may be URLs,
/// Podman's may go on with a namespace or a repository.
fn is_for(key: &str, reference: &Reference) -> Option<usize> {
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or(key.strip_suffix("/v2")).unwrap_or(key);
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => HUB,
        host => host,
    };
    let rest = reference.repository().strip_prefix(path)?;
    let is_whole = path.is_empty() || rest.is_empty() || rest.starts_with('/');
    (host == reference.registry() && is_whole).then_some(path.len())
}

#[cfg(test)]
mod tests;
