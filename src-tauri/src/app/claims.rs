//! Which window works in which place. What is staged for a folder or a cluster, what waits there to be kept, and what a
//! killed app left half done need one master: a place that one window has is opened by no other one.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Who has what, by the name that the journal gives to a place.
#[derive(Debug, Clone, Default)]
pub struct Claims(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<BTreeMap<String, Held>>,
    /// A place has become free.
    freed: Condvar,
}

#[derive(Debug)]
struct Held {
    by: Holder,
    /// How often: a window may open its own place anew.
    claims: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Holder {
    /// The window with this label.
    Window(String),
    /// A window that is closing, or what takes a change back there: it is free in a moment.
    Ending,
}

/// A place that its owner has, until this is dropped.
pub struct Claim {
    claims: Claims,
    place: String,
}

/// The window with this label has the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere(pub String);

impl Claims {
    /// Takes `place` for a window, which may have it already. Waits where it is free in a moment.
    pub fn take(&self, place: &str, window: &str) -> Result<Claim, Elsewhere> {
        let place = name(place);
        let ending = |held: &mut BTreeMap<String, Held>| held.get(place).is_some_and(|held| held.by == Holder::Ending);
        let held = self.0.freed.wait_while(self.lock(), ending);
        let mut held = held.unwrap_or_else(PoisonError::into_inner);
        match held.entry(place.to_string()) {
            Entry::Vacant(free) => {
                free.insert(Held {
                    by: Holder::Window(window.to_string()),
                    claims: 1,
                });
            }
            Entry::Occupied(mut taken) => match &taken.get().by {
                Holder::Window(other) if other != window => return Err(Elsewhere(other.clone())),
                _ => taken.get_mut().claims += 1,
            },
        }
        drop(held);
        Ok(self.claim(place))
    }

    /// Takes `place` for a moment, where nobody has it.
    pub fn take_unheld(&self, place: &str) -> Option<Claim> {
        let place = name(place);
        match self.lock().entry(place.to_string()) {
            Entry::Vacant(free) => free.insert(Held {
                by: Holder::Ending,
                claims: 1,
            }),
            Entry::Occupied(_) => return None,
        };
        Some(self.claim(place))
    }

    /// The window that has `place`.
    pub fn window_of(&self, place: &str) -> Option<String> {
        match &self.lock().get(name(place))?.by {
            Holder::Window(window) => Some(window.clone()),
            Holder::Ending => None,
        }
    }

    /// The window closes: who wants one of its places waits until it has left it.
    pub fn leave(&self, window: &str) {
        for held in self.lock().values_mut() {
            if held.by == Holder::Window(window.to_string()) {
                held.by = Holder::Ending;
            }
        }
    }

    fn claim(&self, place: &str) -> Claim {
        Claim {
            claims: self.clone(),
            place: place.to_string(),
        }
    }

    // Every change under the lock is one insertion, one removal or one assignment.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(&self.place).finish()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.lock();
        if let Some(own) = held.get_mut(&self.place) {
            own.claims -= 1;
            if own.claims == 0 {
                held.remove(&self.place);
            }
        }
        drop(held);
        self.claims.0.freed.notify_all();
    }
}

/// A kubeconfig may name an API server with a slash at the end, its client always does.
fn name(place: &str) -> &str {
    place.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn a_place_that_one_window_has_is_taken_by_no_other_until_it_is_left() {
        let claims = Claims::default();
        let own = claims.take("cluster a https://a:6443", "main-1").unwrap();
        // As its client says the address.
        let other = |window| claims.take("cluster a https://a:6443/", window).map(drop);
        assert_eq!(other("main-2"), Err(Elsewhere("main-1".into())));
        assert_eq!(other("main-1"), Ok(()), "anew");
        assert_eq!(other("main-2"), Err(Elsewhere("main-1".into())), "and it still has it");
        assert_eq!(claims.window_of("cluster a https://a:6443"), Some("main-1".into()));
        assert!(claims.take_unheld("cluster a https://a:6443").is_none());
        assert!(claims.take("cluster b https://a:6443", "main-2").is_ok());
        drop(own);
        assert_eq!(claims.window_of("cluster a https://a:6443"), None);
        assert_eq!(other("main-2"), Ok(()));
    }

    #[test]
    fn who_wants_the_place_of_a_closing_window_gets_it_once_it_has_closed() {
        let claims = Claims::default();
        let closing = claims.take("/mesh", "main-1").unwrap();
        claims.leave("main-1");
        assert_eq!(
            claims.window_of("/mesh"),
            None,
            "no window that could come to the front"
        );
        let (order_tx, order_rx) = mpsc::channel();
        let waiting = thread::spawn({
            let (claims, order_tx) = (claims.clone(), order_tx.clone());
            move || {
                let claim = claims.take("/mesh", "main-2");
                order_tx.send("taken").unwrap();
                claim
            }
        });
        // Whoever runs first: the place is taken only after it was left.
        order_tx.send("left").unwrap();
        drop(closing);
        let taken = waiting.join().unwrap().unwrap();
        assert_eq!(order_rx.iter().take(2).collect::<Vec<_>>(), ["left", "taken"]);
        assert_eq!(claims.window_of("/mesh"), Some("main-2".into()));
        drop(taken);
        let moment = claims.take_unheld("/mesh").unwrap();
        assert!(claims.take_unheld("/mesh").is_none());
        drop(moment);
    }
}
