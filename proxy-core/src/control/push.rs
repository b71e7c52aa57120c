//! `PUT /policy`: a policy that is sent instead of mounted, in force at once.
//!
//! Who sends one must know the sidecar's token.

use std::sync::Arc;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
};
use serde_json::json;
use tokio::task;

use super::{
    admin::{AdminBody, json as document},
    policy::{Policy, Refusal},
    token::{Refused, Token},
};

/// Largest body; a ConfigMap has room for one MiB.
const MAX_BODY: usize = 16 << 20;

/// A number that tells which of two policies is the later one.
const GENERATION: &str = "egret-generation";

/// Takes the policy in the request's body, or says why not: then the one before stays in force.
pub(super) async fn answer(policy: &Arc<Policy>, token: &Token, request: Request<Incoming>) -> Response<AdminBody> {
    match take(policy, token, request).await {
        Ok(response) => response,
        Err((status, message)) => document(status, &json!({"error": message})),
    }
}

async fn take(policy: &Arc<Policy>, token: &Token, request: Request<Incoming>) -> Result<Response<AdminBody>, Refused> {
    token.check(&request)?;
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
