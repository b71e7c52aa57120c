//! Faults that policy injects. Source: Envoy's fault filter: a delay first, then perhaps an abort.

use super::{Finish, Worker};
use crate::{model::Abort, policy::Fault};

/// Waits where the draw says so; what the request is answered with where it is answered here.
pub async fn inject(worker: &Worker, fault: &Fault, finish: &mut Finish) -> Option<Abort> {
    if let Some((share, delay)) = fault.delay
        && share.takes(worker.draw())
    {
        finish.delayed = true;
        tokio::time::sleep(delay).await;
    }
    fault.abort.filter(|abort| abort.percentage.takes(worker.draw()))
}
