//! One request over one upstream connection: choose an address, take or open a connection, send, wait for the head.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{task, time};

use crate::{
    flow::{
        Worker,
        body::RequestBody,
        pool::Key,
        upstream::{self, Failed, Why},
    },
    net::DialError,
    policy::Cluster,
};

/// An upstream connection in use.
#[derive(Debug)]
pub struct Lease {
    sender: SendRequest<RequestBody>,
    key: Key,
    pub local: Option<SocketAddr>,
}

impl Lease {
    /// For the next request.
    pub fn give_back(self, worker: &Worker) {
        worker.pool.borrow_mut().put(self.key, self.sender, self.local);
    }
}

/// Why an attempt gave no response.
pub enum Lost {
    /// No connection.
    Connect(Failed),
    /// The connection ended before a response.
    Reset,
    /// The attempt took too long.
    PerTry,
}

/// Whom a request is for.
pub struct Target<'t> {
    pub worker: &'t Rc<Worker>,
    pub cluster: &'t Cluster,
    pub destination: SocketAddr,
    /// The Host that is sent: for TLS, and where it is resolved.
    pub authority: &'t str,
    /// Addresses that others are preferred to.
    pub tried: &'t [SocketAddr],
}

/// Addresses of an exchange, noted as soon as they are known.
pub struct Reached<'r> {
    pub upstream: &'r mut Option<SocketAddr>,
    pub local: &'r mut Option<SocketAddr>,
}

/// Sends a request and waits for the head of the response. On failure the body comes back where nothing of it was sent.
pub async fn exchange(
    target: &Target<'_>,
    mut request: Request<RequestBody>,
    reached: Reached<'_>,
) -> Result<(Response<Incoming>, Lease), (Lost, Option<RequestBody>)> {
    let Target {
        worker,
        cluster,
        destination,
        authority,
        tried,
    } = *target;
    let address = match upstream::endpoint(worker, cluster, destination, authority, tried).await {
        Ok(address) => address,
        Err(failed) => return Err((Lost::Connect(failed), Some(request.into_body()))),
    };
    *reached.upstream = Some(address);
    let tls = cluster.tls.as_ref();
    let key: Key = (
        address,
        tls.map(|tls| upstream::server_name(tls, authority).to_ascii_lowercase().into()),
    );
    loop {
        let reused = worker.pool.borrow_mut().take(&key);
        let was_reused = reused.is_some();
        let mut lease = match reused {
            Some(idle) => Lease {
                sender: idle.sender,
                key: key.clone(),
                local: idle.local,
            },
            None => match open(worker, key.clone(), cluster.connect_timeout).await {
                Ok(lease) => lease,
                Err(failed) => return Err((Lost::Connect(failed), Some(request.into_body()))),
            },
        };
        *reached.local = lease.local;
        match lease.sender.try_send_request(request).await {
            Ok(response) => return Ok((response, lease)),
            Err(mut error) => match error.take_message() {
                // An idle connection that the upstream had closed: nothing was sent, a fresh one serves.
                Some(unsent) if was_reused => request = unsent,
                unsent => return Err((Lost::Reset, unsent.map(Request::into_body))),
            },
        }
    }
}

/// Opens a connection for `key`; the limit covers TLS too.
async fn open(worker: &Rc<Worker>, key: Key, limit: Duration) -> Result<Lease, Failed> {
    let address = key.0;
    let opening = async {
        let stream = worker.dialer.dial(address, limit).await?;
        let local = stream.local_addr().ok();
        let sender = match &key.1 {
            None => speak(TokioIo::new(stream)).await?,
            Some(name) => {
                let stream = worker
                    .originator
                    .originate(stream, name)
                    .await
                    .map_err(DialError::Tls)?;
                speak(TokioIo::new(stream)).await?
            }
        };
        Ok((sender, local))
    };
    let opened = time::timeout(limit, opening)
        .await
        .unwrap_or(Err(DialError::TimedOut(limit)));
    match opened {
        Ok((sender, local)) => Ok(Lease { sender, key, local }),
        Err(error) => Err(Failed {
            address: Some(address),
            why: Why::Dial(error),
        }),
    }
}

/// Speaks HTTP/1.1 over an open connection.
async fn speak<S>(stream: S) -> Result<SendRequest<RequestBody>, DialError>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(stream)
        .await
        .map_err(|error| DialError::Refused(std::io::Error::other(error)))?;
    // Its end is seen by the request that waits on it; there is nothing else to tell.
    task::spawn_local(async move {
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}
