//! A client that asks again where the API server was too busy. It says so before it looks at a request (priority and
//! fairness), and names a time: nothing was carried out, so that writes can be sent again too. The rule is client-go's
//! (`rest/with_retry.go`): 429 or a 5xx *with* `Retry-After`; of the latter only 503 is taken here.

use std::time::Duration;

use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use kube::{Client, client::Body};
use tokio::time;

/// Longest time that one request waits in all; below that of a whole exchange.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a request is sent at most.
const TRIES: usize = 6;

/// `client`, waiting when it is told to. Must be called on a runtime.
pub(super) fn patient(client: Client) -> Client {
    let namespace = client.default_namespace().to_string();
    let valid_until = *client.valid_until();
    let service = tower::service_fn(move |request| send(client.clone(), request));
    Client::new(service, namespace).with_valid_until(valid_until)
}

async fn send(client: Client, request: Request<Body>) -> kube::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let mut left = PATIENCE;
    for _ in 1..TRIES {
        // A body that is streamed is sent once.
        let Some(copy) = body.try_clone() else { break };
        let response = client.send(Request::from_parts(parts.clone(), copy)).await?;
        match wait(&response).and_then(|wait| Some((wait, left.checked_sub(wait)?))) {
            Some((wait, rest)) => {
                left = rest;
                time::sleep(wait).await;
            }
            None => return Ok(response),
        }
    }
    client.send(Request::from_parts(parts, body)).await
}

/// How long the server wants to be left alone.
fn wait(response: &Response<Body>) -> Option<Duration> {
    let is_busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&response.status());
    let seconds = response.headers().get(RETRY_AFTER).filter(|_| is_busy)?;
    Some(Duration::from_secs(seconds.to_str().ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Sends a request to a server that gives these answers, the last one for ever: the status that came back, and the
    /// bodies that arrived.
    fn sent(answers: &'static [(u16, Option<&'static str>)]) -> (u16, Vec<Vec<u8>>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let bodies = Arc::new(Mutex::new(Vec::new()));
            let arrived = bodies.clone();
            let server = tower::service_fn(move |request: Request<Body>| {
                let arrived = arrived.clone();
                async move {
                    let body = request.into_body().collect_bytes().await?;
                    let mut arrived = arrived.lock().unwrap();
                    let (status, after) = answers[arrived.len().min(answers.len() - 1)];
                    arrived.push(body.to_vec());
                    let mut response = Response::builder().status(status);
                    if let Some(after) = after {
                        response = response.header(RETRY_AFTER, after);
                    }
                    Ok::<_, kube::Error>(response.body(Body::empty()).unwrap())
                }
            });
            let client = patient(Client::new(server, "default"));
            let request = Request::put("/x").body(Body::from(b"all of it".to_vec())).unwrap();
            let status = client.send(request).await.unwrap().status().as_u16();
            let bodies = bodies.lock().unwrap().clone();
            (status, bodies)
        })
    }

    #[test]
    fn what_a_busy_server_refused_unread_is_sent_again_whole() {
        let (status, bodies) = sent(&[(429, Some("0")), (503, Some("0")), (201, None)]);
        assert_eq!((status, bodies), (201, vec![b"all of it".to_vec(); 3]));
    }

    #[test]
    fn what_may_have_been_carried_out_is_sent_once() {
        for answer in [
            (503, None),
            (500, Some("0")),
            (504, Some("0")),
            (409, Some("0")),
            (429, None),
        ] {
            let answers: &'static [_] = Box::leak(Box::new([answer]));
            let (status, bodies) = sent(answers);
            assert_eq!((status, bodies.len()), (answer.0, 1), "{answer:?}");
        }
    }

    #[test]
    fn a_server_that_stays_busy_or_wants_a_long_time_is_given_up() {
        let (status, bodies) = sent(&[(429, Some("0"))]);
        assert_eq!((status, bodies.len()), (429, TRIES));
        let (status, bodies) = sent(&[(429, Some("3600"))]);
        assert_eq!((status, bodies.len()), (429, 1));
    }
}
