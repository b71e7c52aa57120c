//! One request over one upstream connection: choose an address, take or open a connection, send, wait for the head.

use std::{net::SocketAddr, pin::pin, rc::Rc, time::Duration};

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
        breaker::{Breaker, ConnectionShare, Overflow, Share},
        pool::Key,
        upstream::{self, Failed, Why},
    },
    net::DialError,
    policy::{Cluster, Endpoints},
};

/// An upstream connection in use.
#[derive(Debug)]
pub struct Lease {
    sender: SendRequest<RequestBody>,
    key: Key,
    pub local: Option<SocketAddr>,
    /// Requests that it has served, with this one.
    served: u32,
    /// How many it may serve.
    serves: Option<u32>,
    /// The request's share of its cluster's limits.
    request: Option<Share>,
}

impl Lease {
    /// For the next request.
    pub fn give_back(self, worker: &Worker) {
        if self.serves.is_none_or(|serves| self.served < serves) {
            worker
                .pool
                .borrow_mut()
                .put(self.key, self.sender, self.local, self.served);
        }
        // Only now, so that who waits finds the connection.
        drop(self.request);
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
    /// The cluster has as much to do as it may.
    Overflow,
}

impl From<Failed> for Lost {
    fn from(failed: Failed) -> Self {
        Self::Connect(failed)
    }
}

impl From<Overflow> for Lost {
    fn from(_: Overflow) -> Self {
        Self::Overflow
    }
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
    let breaker = worker.breaking.of(cluster);
    let mut share = match breaker.as_ref().map(Breaker::request).transpose() {
        Ok(share) => share,
        Err(overflow) => return Err((overflow.into(), Some(request.into_body()))),
    };
    let finding = upstream::endpoint(worker, cluster, destination, authority, tried);
    let found = match &cluster.endpoints {
        Endpoints::DynamicDns(_) => request.body_mut().while_reading(finding).await,
        // What policy names Envoy knows beforehand.
        _ => finding.await,
    };
    let address = match found {
        Ok(address) => address,
        Err(failed) => return Err((failed.into(), Some(request.into_body()))),
    };
    *reached.upstream = Some(address);
    let tls = cluster.settings.tls.as_ref();
    let key: Key = (
        address,
        tls.map(|tls| upstream::server_name(tls, authority).to_ascii_lowercase().into()),
    );
    loop {
        let opening = connection(worker, cluster, breaker.as_ref(), &key);
        let (mut lease, was_reused) = match request.body_mut().while_reading(opening).await {
            Ok(found) => found,
            Err(lost) => return Err((lost, Some(request.into_body()))),
        };
        lease.served += 1;
        lease.serves = cluster.settings.limits.requests_per_connection;
        lease.request = share.take();
        *reached.local = lease.local;
        match lease.sender.try_send_request(request).await {
            Ok(response) => return Ok((response, lease)),
            Err(mut error) => match error.take_message() {
                // An idle connection that the upstream had closed: nothing was sent, a fresh one serves.
                Some(unsent) if was_reused => {
                    request = unsent;
                    share = lease.request.take();
                }
                unsent => return Err((Lost::Reset, unsent.map(Request::into_body))),
            },
        }
    }
}

/// A connection for a request, and whether it served before: an idle one, or a new one as soon as the cluster's limits allow
/// it.
async fn connection(
    worker: &Rc<Worker>,
    cluster: &Cluster,
    breaker: Option<&Breaker>,
    key: &Key,
) -> Result<(Lease, bool), Lost> {
    if let Some(lease) = idle(worker, key) {
        return Ok((lease, true));
    }
    let Some(breaker) = breaker else {
        return Ok((open(worker, key, cluster.settings.connect_timeout, None).await?, false));
    };
    let _waiting = breaker.pending()?;
    loop {
        let mut freed = pin!(breaker.freed());
        // From here on nothing that is freed is missed.
        freed.as_mut().enable();
        if let Some(lease) = idle(worker, key) {
            return Ok((lease, true));
        }
        match breaker.connection(key.0) {
            Ok(share) => {
                return Ok((
                    open(worker, key, cluster.settings.connect_timeout, Some(share)).await?,
                    false,
                ));
            }
            Err(Overflow) => freed.await,
        }
    }
}

fn idle(worker: &Worker, key: &Key) -> Option<Lease> {
    let idle = worker.pool.borrow_mut().take(key)?;
    Some(Lease {
        sender: idle.sender,
        key: key.clone(),
        local: idle.local,
        served: idle.served,
        serves: None,
        request: None,
    })
}

/// Opens a connection for `key`; the limit covers TLS too. It has its share of the cluster's connections while it lives.
async fn open(
    worker: &Rc<Worker>,
    key: &Key,
    limit: Duration,
    share: Option<ConnectionShare>,
) -> Result<Lease, Failed> {
    let address = key.0;
    let opening = async {
        let stream = worker.dialer.dial(address, limit).await?;
        let local = stream.local_addr().ok();
        let sender = match &key.1 {
            None => speak(TokioIo::new(stream), share).await?,
            Some(name) => {
                let stream = worker
                    .originator
                    .originate(stream, name)
                    .await
                    .map_err(DialError::Tls)?;
                speak(TokioIo::new(stream), share).await?
            }
        };
        Ok((sender, local))
    };
    let opened = time::timeout(limit, opening)
        .await
        .unwrap_or(Err(DialError::TimedOut(limit)));
    match opened {
        Ok((sender, local)) => Ok(Lease {
            sender,
            key: key.clone(),
            local,
            served: 0,
            serves: None,
            request: None,
        }),
        Err(error) => Err(Failed {
            address: Some(address),
            why: Why::Dial(error),
        }),
    }
}

/// Speaks HTTP/1.1 over an open connection.
async fn speak<S>(stream: S, share: Option<ConnectionShare>) -> Result<SendRequest<RequestBody>, DialError>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(stream)
        .await
        .map_err(|error| DialError::Refused(std::io::Error::other(error)))?;
    // Its end is seen by the request that waits on it; there is nothing else to tell.
    task::spawn_local(async move {
        let _ = connection.with_upgrades().await;
        drop(share);
    });
    Ok(sender)
}
