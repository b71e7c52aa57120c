//! `PUT /policy`: a policy that is sent instead of mounted, in force at once.
//!
//! The app reaches this through a port-forward. So does every process that shares the sidecar's loopback, among them the
//! one that the policy is there for: so who sends a policy must know the token in the policy folder, which only the sidecar has
//! mounted. Without a token there, no policy is taken.

use std::{fs, path::Path, sync::Arc};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::task;

use super::{
    admin::{AdminBody, json as document},
    policy::{Policy, Refusal},
};

/// Largest body; a ConfigMap has room for one MiB.
const MAX_BODY: usize = 16 << 20;

/// A number that tells which of two policies is the later one.
const GENERATION: &str = "egret-generation";

/// The file of the policy folder that holds the token.
const TOKEN: &str = "push-token";

/// Takes the policy in the request's body, or says why not: then the one before stays in force.
pub(super) async fn answer(policy: &Arc<Policy>, folder: &Path, request: Request<Incoming>) -> Response<AdminBody> {
    match take(policy, folder, request).await {
        Ok(response) => response,
        Err((status, message)) => document(status, &json!({"error": message})),
    }
}

type Refused = (StatusCode, String);

async fn take(policy: &Arc<Policy>, folder: &Path, request: Request<Incoming>) -> Result<Response<AdminBody>, Refused> {
    // Browsers say whose page it is that asks; no page has a policy to send.
    if request.headers().contains_key(header::ORIGIN) {
        return Err((StatusCode::FORBIDDEN, "no web page may send a policy".into()));
    }
    check_token(folder, &request)?;
    let generation = generation(&request)?;
    let bytes = body(request).await?;
    let policy = policy.clone();
    // Compiling takes a while; readiness must not wait for it.
    let pushed = task::spawn_blocking(move || policy.push(&bytes, generation)).await;
    let pushed = pushed.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(match pushed {
        Ok(state) => document(StatusCode::OK, &state),
        Err(refusal) => {
            let message = refusal.to_string();
            let (status, findings) = match refusal {
                Refusal::Unreadable(findings) => (StatusCode::UNPROCESSABLE_ENTITY, findings),
                Refusal::Empty => (StatusCode::UNPROCESSABLE_ENTITY, Vec::new()),
                Refusal::Older { .. } => (StatusCode::CONFLICT, Vec::new()),
            };
            document(status, &json!({"error": message, "findings": findings}))
        }
    })
}

/// The request must carry the folder's token.
fn check_token(folder: &Path, request: &Request<Incoming>) -> Result<(), Refused> {
    let token = fs::read_to_string(folder.join(TOKEN)).unwrap_or_default();
    if token.trim().is_empty() {
        let message = format!("no policy is taken here: the policy folder has no file {TOKEN} with a token in it");
        return Err((StatusCode::FORBIDDEN, message));
    }
    let sent = request.headers().get(header::AUTHORIZATION);
    let sent = sent.and_then(|sent| sent.to_str().ok()?.strip_prefix("Bearer "));
    // Compared as hashes, so that how long it takes says nothing of the token.
    let hash = |text: &str| Sha256::digest(text.trim());
    if sent.is_some_and(|sent| hash(sent) == hash(&token)) {
        return Ok(());
    }
    let message = format!("send what the file {TOKEN} of the policy folder holds, as Authorization: Bearer");
    Err((StatusCode::UNAUTHORIZED, message))
}

fn generation(request: &Request<Incoming>) -> Result<Option<u64>, Refused> {
    let Some(value) = request.headers().get(GENERATION) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let refused = || {
        (
            StatusCode::BAD_REQUEST,
            format!("{GENERATION}: expected a whole number"),
        )
    };
    number.map(Some).ok_or_else(refused)
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Refused> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a policy may have {} MiB; pack it with gzip", MAX_BODY >> 20),
            ),
            None => (StatusCode::BAD_REQUEST, error.to_string()),
        })
}
