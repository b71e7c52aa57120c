//! Who may send a policy, or end the sidecar: whoever knows its token.
//!
//! The app reaches the admin server through a port-forward. So does every process that shares the sidecar's loopback, among
//! them the one that the policy is there for: so who asks must know what only the sidecar has. Without a token nobody may.

use std::{fs, path::PathBuf};

use hyper::{Request, StatusCode, body::Incoming, header};
use sha2::{Digest, Sha256};

/// The file of the policy folder that holds the token.
const FILE: &str = "push-token";

/// Why a request is not heard.
pub(super) type Refused = (StatusCode, String);

/// Where the token is.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// The policy folder; what is mounted there may change.
    pub folder: PathBuf,
    /// By the environment, where nothing is mounted.
    pub given: Option<String>,
}

impl Token {
    /// The request must carry the token.
    pub fn check(&self, request: &Request<Incoming>) -> Result<(), Refused> {
        // Browsers say whose page it is that asks; no page has a policy to send.
        if request.headers().contains_key(header::ORIGIN) {
            return Err((StatusCode::FORBIDDEN, "no web page may send a policy".into()));
        }
        let token = fs::read_to_string(self.folder.join(FILE)).ok();
        let token = token.or_else(|| self.given.clone()).unwrap_or_default();
        if token.trim().is_empty() {
            let message = format!("no policy is taken here: the policy folder has no file {FILE} with a token in it");
            return Err((StatusCode::FORBIDDEN, message));
        }
        let sent = request.headers().get(header::AUTHORIZATION);
        let sent = sent.and_then(|sent| sent.to_str().ok()?.strip_prefix("Bearer "));
        // Compared as hashes, so that how long it takes says nothing of the token.
        let hash = |text: &str| Sha256::digest(text.trim());
        if sent.is_some_and(|sent| hash(sent) == hash(&token)) {
            return Ok(());
        }
        let message = format!("send what the file {FILE} of the policy folder holds, as Authorization: Bearer");
        Err((StatusCode::UNAUTHORIZED, message))
    }
}
