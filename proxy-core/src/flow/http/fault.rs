//! Faults that policy injects. Source: Envoy's fault filter: a delay first, then perhaps an abort.

use super::{Finish, RequestBody, Worker};
use crate::policy::Fault;

/// Waits where the draw says so; the status where the request is answered here.
pub async fn inject(worker: &Worker, fault: &Fault, finish: &mut Finish, body: &mut RequestBody) -> Option<u16> {
    if let Some((share, delay)) = fault.delay
        && share.takes(worker.draw())
    {
        finish.delayed = true;
        body.while_reading(tokio::time::sleep(delay)).await;
    }
    let (share, status) = fault.abort?;
    share.takes(worker.draw()).then_some(status)
}
