//! How long a caller's connection may carry no request.

use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::time::{self, Instant};

/// Envoy's limit, which Istio leaves as it is.
const LIMIT: Duration = Duration::from_secs(3600);

/// How soon after a long request it is looked at again.
const AGAIN: Duration = Duration::from_secs(60);

/// What a connection carries.
#[derive(Debug)]
pub struct Idle {
    requests: Cell<usize>,
    /// When it began, or last ended to carry one.
    since: Cell<Instant>,
}

impl Default for Idle {
    fn default() -> Self {
        Self {
            requests: Cell::new(0),
            since: Cell::new(Instant::now()),
        }
    }
}

/// A request, which its connection carries for as long as this lives.
#[derive(Debug)]
pub struct Carried(Rc<Idle>);

impl Carried {
    pub fn by(idle: Rc<Idle>) -> Self {
        idle.requests.update(|requests| requests + 1);
        Self(idle)
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.requests.update(|requests| requests - 1);
        self.0.since.set(Instant::now());
    }
}

impl Idle {
    /// Waits until the connection has carried nothing for as long as it may.
    pub async fn over(&self) {
        loop {
            match self.left(Instant::now()) {
                Duration::ZERO => break,
                left => time::sleep(left).await,
            }
        }
    }

    /// How long until it can be over.
    fn left(&self, now: Instant) -> Duration {
        match self.requests.get() {
            0 => LIMIT.saturating_sub(now - self.since.get()),
            _ => AGAIN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_connection_that_carries_nothing_ends_after_an_hour() {
        let idle = Idle::default();
        let begun = idle.since.get();
        assert_eq!(idle.left(begun), 60 * MINUTE);
        assert_eq!(idle.left(begun + 59 * MINUTE), MINUTE);
        assert_eq!(idle.left(begun + 60 * MINUTE), Duration::ZERO);
    }

    #[test]
    fn a_connections_hour_begins_with_the_end_of_its_last_request() {
        let idle = Rc::new(Idle::default());
        let begun = idle.since.get();
        let (first, second) = (Carried::by(idle.clone()), Carried::by(idle.clone()));
        drop(first);
        assert_eq!(idle.left(begun + 90 * MINUTE), MINUTE);
        drop(second);
        let ended = idle.since.get();
        assert!(ended > begun);
        assert_eq!(idle.left(ended), 60 * MINUTE);
    }
}
