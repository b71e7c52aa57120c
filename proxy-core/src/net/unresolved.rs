//! Names of requests that could not be resolved, remembered for a while. Source: Envoy's DNS cache for dynamic forward
//! proxies: what failed stays failed until it is looked up again, by default after a minute, and who asks meanwhile is
//! answered at once.

use std::{
    collections::HashMap,
    io::{self, ErrorKind},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;

/// Envoy's `dns_refresh_rate`, which holds for failures too.
pub(super) const REMEMBERED: Duration = Duration::from_secs(60);

/// Envoy's `max_hosts`: callers choose the names, so there is a bound.
const NAMES: usize = 1024;

/// Failed look-ups, of all workers. Reading takes no lock; failures are rare enough to copy the table for each.
#[derive(Debug, Clone, Default)]
pub struct Unresolved(Arc<ArcSwap<HashMap<Arc<str>, Failure>>>);

#[derive(Debug, Clone)]
struct Failure {
    until: Instant,
    kind: ErrorKind,
    said: Arc<str>,
}

impl Unresolved {
    /// Why `name` could not be resolved a short time ago.
    pub(super) fn of(&self, name: &str, now: Instant) -> Option<io::Error> {
        let failures = self.0.load();
        let failure = failures.get(name).filter(|failure| failure.until > now)?;
        Some(io::Error::new(failure.kind, &*failure.said))
    }

    /// True where nothing has failed.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Remembers why `name` cannot be resolved.
    pub(super) fn note(&self, name: &str, error: &io::Error, now: Instant) {
        let failure = Failure {
            until: now + REMEMBERED,
            kind: error.kind(),
            said: error.to_string().into(),
        };
        self.0.rcu(|failures| {
            let mut left = HashMap::clone(failures);
            left.retain(|_, failure| failure.until > now);
            if left.len() < NAMES {
                left.insert(name.into(), failure.clone());
            }
            left
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_look_up_is_remembered_for_a_minute() {
        let (unresolved, now) = (Unresolved::default(), Instant::now());
        assert!(unresolved.of("gone.com:80", now).is_none());
        let error = io::Error::new(ErrorKind::NotFound, "no such name");
        unresolved.note("gone.com:80", &error, now);
        let known = unresolved.of("gone.com:80", now + REMEMBERED / 2).unwrap();
        assert_eq!(
            (known.kind(), known.to_string()),
            (ErrorKind::NotFound, "no such name".into())
        );
        assert!(unresolved.of("gone.com:81", now).is_none());
        assert!(unresolved.of("gone.com:80", now + REMEMBERED).is_none());
    }

    #[test]
    fn callers_cannot_make_the_table_grow_without_end() {
        let (unresolved, now) = (Unresolved::default(), Instant::now());
        let error = io::Error::from(ErrorKind::NotFound);
        for number in 0..2 * NAMES {
            unresolved.note(&format!("{number}.com:80"), &error, now);
        }
        assert_eq!(unresolved.0.load().len(), NAMES);
        // What is over makes room.
        unresolved.note("new.com:80", &error, now + REMEMBERED);
        assert_eq!(unresolved.0.load().len(), 1);
    }
}
