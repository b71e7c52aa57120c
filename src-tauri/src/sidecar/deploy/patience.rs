//! An API server that is away for a moment, as while it is started anew, ends no deployment half way.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::life::{Deployment, LOOK};
use crate::{cluster::is_away, fault::Result};

/// Longest that it may be away; a control plane with one server is upgraded in less.
pub(super) const AWAY: Duration = Duration::from_secs(120);

impl Deployment {
    /// Asks again for as long as the API server is away. Nobody waits once a person turns to another place.
    pub(super) fn patiently<T>(&self, ask: impl Fn() -> Result<T>) -> Result<T> {
        let until = Instant::now() + self.away;
        let mut said = false;
        loop {
            match ask() {
                Err(fault) if is_away(&fault) && Instant::now() < until && !self.is_leaving() => {
                    if !said {
                        self.log(format!("waits for the API server: {}", fault.message));
                        said = true;
                    }
                    thread::sleep(LOOK);
                }
                outcome => return outcome,
            }
        }
    }
}
