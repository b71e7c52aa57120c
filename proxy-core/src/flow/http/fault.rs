//! Faults that policy injects. Source: Envoy's fault filter: a delay first, then perhaps an abort.

use super::{Finish, RequestBody, Worker};
use crate::{model::Abort, policy::Fault};

/// Waits where the draw says so; what the request is answered with where it is answered here.
pub async fn inject(worker: &Worker, fault: &Fault, finish: &mut Finish, body: &mut RequestBody) -> Option<Abort> {
    if let Some((share, delay)) = fault.delay
        && share.takes(worker.draw())
    {
        finish.delayed = true;
        body.while_reading(tokio::time::sleep(delay)).await;
    }
    fault.abort.filter(|abort| abort.percentage.takes(worker.draw()))
}
