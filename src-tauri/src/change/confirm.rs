//! A change that has to be confirmed: when nobody keeps it in time it is taken back by itself, which a person agreed to
//! when it was applied. So it is done with editing switched off too, and after the app has died.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

use super::{
    Changes, Store,
    back::{By, UNDO_BLOCKED, put_back},
    journal::{Confirm, Entry, Journal},
    write::VERIFY,
};
use crate::{
    cluster::is_away,
    dto::{Afterwards, Countdown, Unconfirmed},
    events::Event,
    fault::{Fault, Result},
};

/// Shortest and longest countdown, in seconds.
const SECONDS: std::ops::RangeInclusive<u32> = 5..=3600;
/// How long after a revert that failed the next one is tried.
const AGAIN: Duration = Duration::from_secs(5);
/// Longest sleep on the way to a deadline: the machine may be suspended meanwhile.
const NAP: Duration = Duration::from_secs(2);

/// What waits for a person.
#[derive(Debug, Default)]
pub struct Countdowns {
    /// When something is to be done next.
    due: Mutex<Option<OffsetDateTime>>,
    changed: Condvar,
    /// What kept an entry from being taken back.
    faults: Mutex<HashMap<i64, Fault>>,
}

impl Countdowns {
    /// The next deadline is `due`.
    pub(super) fn set(&self, due: Option<OffsetDateTime>) {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = due;
        self.changed.notify_all();
    }

    fn fault(&self, id: i64) -> Option<Fault> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.get(&id).cloned()
    }

    fn note(&self, id: i64, fault: Option<Fault>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) => faults.insert(id, fault),
            None => faults.remove(&id),
        };
    }
}

/// The countdown that a person chose, from now on.
pub(super) fn chosen(countdown: &Countdown) -> Result<Confirm> {
    if !SECONDS.contains(&countdown.seconds) {
        return Err(Fault::input(format!(
            "A countdown takes between {} and {} seconds.",
            SECONDS.start(),
            SECONDS.end()
        )));
    }
    Ok(Confirm {
        until: OffsetDateTime::now_utc() + Duration::from_secs(countdown.seconds.into()),
        afterwards: countdown.afterwards,
        counts: true,
    })
}

impl Changes {
    /// Waits until a deadline has passed, or for a moment in which none has.
    pub fn await_deadline(&self) -> bool {
        let due = self.countdowns.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = OffsetDateTime::now_utc();
        if due.is_some_and(|due| due <= now) {
            return true;
        }
        let left = due.and_then(|due| Duration::try_from(due - now).ok()).unwrap_or(NAP);
        let waited = self.countdowns.changed.wait_timeout(due, left.min(NAP));
        let (due, _) = waited.unwrap_or_else(PoisonError::into_inner);
        due.is_some_and(|due| due <= OffsetDateTime::now_utc())
    }

    /// Takes every change back whose time is up.
    pub fn revert_due(&self, store: &dyn Store) -> Result<()> {
        let now = OffsetDateTime::now_utc();
        self.revert_where(store, |confirm| confirm.counts && confirm.until <= now)
    }

    /// The app ends: a change that should be taken back then is, whatever time is left.
    pub fn revert_at_exit(&self, store: &dyn Store) -> Result<()> {
        self.revert_where(store, |confirm| {
            confirm.counts && confirm.afterwards == Afterwards::Revert
        })
    }

    fn revert_where(&self, store: &dyn Store, is_over: impl Fn(&Confirm) -> bool) -> Result<()> {
        let waiting = self.journal().unconfirmed()?;
        let mut away = None;
        // Newest first: an older one may lie below it.
        for entry in waiting
            .iter()
            .filter(|entry| entry.confirm.as_ref().is_some_and(&is_over))
        {
            // Where nobody answers, the others would wait as long, for nothing.
            let outcome = match away.take() {
                Some(fault) => Err(fault),
                None => self.restore(store, Some(entry.id), By::Itself).map(|_| ()),
            };
            self.countdowns.note(entry.id, outcome.as_ref().err().cloned());
            if let Err(fault) = outcome {
                self.events.send(Event::JournalChanged);
                away = Some(fault).filter(is_away);
            }
        }
        self.plan()
    }

    /// A fault where a change of this place waits for its countdown: nobody would see it run out from elsewhere.
    pub fn settled(&self, store: &dyn Store) -> Result<()> {
        let waiting = self.unconfirmed(store)?;
        match waiting.into_iter().find(|change| change.until.is_some()) {
            None => Ok(()),
            Some(change) => Err(
                Fault::new("unconfirmed", format!("\"{}\" is not confirmed yet.", change.title))
                    .hint("Keep it or take it back before you turn to another source."),
            ),
        }
    }

    /// A person keeps the change.
    pub fn keep(&self, id: i64) -> Result<()> {
        self.journal().confirmed(id)?;
        self.countdowns.note(id, None);
        self.events.send(Event::JournalChanged);
        self.plan()
    }

    /// Notes when something is to be done next.
    pub(super) fn plan(&self) -> Result<()> {
        let waiting = self.journal().unconfirmed()?;
        let counting = waiting
            .iter()
            .filter(|entry| entry.confirm.as_ref().is_some_and(|confirm| confirm.counts));
        let due = counting.filter_map(|entry| {
            let until = entry.confirm.as_ref()?.until;
            Some(match self.countdowns.fault(entry.id) {
                Some(_) => until.max(OffsetDateTime::now_utc() + AGAIN),
                None => until,
            })
        });
        self.countdowns.set(due.min());
        Ok(())
    }

    /// What waits for a person, here and in other places.
    pub fn unconfirmed(&self, store: &dyn Store) -> Result<Vec<Unconfirmed>> {
        let journal = self.journal();
        let here = journal
            .unconfirmed()?
            .into_iter()
            .map(|entry| (store.name(), entry, true));
        let elsewhere = journal.unconfirmed_elsewhere()?;
        let elsewhere = elsewhere.into_iter().map(|(place, entry)| (place, entry, false));
        let all = here.chain(elsewhere).map(|(place, entry, here)| Unconfirmed {
            id: entry.id,
            until: entry
                .confirm
                .filter(|confirm| confirm.counts && here)
                .map(|confirm| confirm.until.unix_timestamp() * 1000 + i64::from(confirm.until.millisecond())),
            title: entry.title,
            place,
            here,
            fault: self.countdowns.fault(entry.id),
        });
        Ok(all.collect())
    }

    /// Other places with changes that are to be taken back.
    pub fn left_elsewhere(&self) -> Result<BTreeSet<String>> {
        let left = self.journal().unconfirmed_elsewhere()?;
        let reverts = |confirm: &Confirm| confirm.counts && confirm.afterwards == Afterwards::Revert;
        let places = left
            .into_iter()
            .filter(|(_, entry)| entry.confirm.as_ref().is_some_and(reverts));
        Ok(places.map(|(place, _)| place).collect())
    }

    /// Why `files` must not be changed now.
    pub(super) fn awaited<'f>(&self, files: impl IntoIterator<Item = &'f str>) -> Result<Option<String>> {
        let waiting = self.journal().unconfirmed()?;
        let mut files = files.into_iter();
        Ok(files.find_map(|file| {
            let touches = |entry: &&Entry| entry.edits.iter().any(|edit| edit.file == file);
            let entry = waiting.iter().find(touches)?;
            Some(format!(
                "\"{}\" is not confirmed yet: keep it or take it back first.",
                entry.title
            ))
        }))
    }
}

/// What was left when a change was taken back by itself, as the end of a sentence.
pub(super) fn but_for(kept: &[String]) -> String {
    match kept {
        [] => String::new(),
        kept => format!(", but for {}, which another hand has changed since", kept.join(", ")),
    }
}

/// At the start, or when a place is opened again: what was left unconfirmed is taken back, or waits for an answer, as the
/// person chose. A sentence for each that was taken back, or could not be.
pub(super) fn leftovers(journal: &Journal, store: &dyn Store) -> Result<Vec<String>> {
    let mut told = Vec::new();
    for entry in journal.unconfirmed()? {
        let revert = entry
            .confirm
            .as_ref()
            .is_some_and(|confirm| confirm.afterwards == Afterwards::Revert);
        if revert {
            let title = &entry.title;
            let closed = format!("\"{title}\" was not confirmed before Egret was closed");
            match put_back(journal, store, &entry, By::Itself) {
                Ok(kept) => {
                    told.push(format!("{closed}: it was taken back{}.", but_for(&kept)));
                    continue;
                }
                Err(fault) if fault.code == VERIFY => {
                    told.push(format!("{closed}: it was taken back. {}", fault.message));
                    continue;
                }
                Err(fault) => {
                    told.push(format!("{closed}, and could not be taken back: {}", fault.message));
                    if fault.code != UNDO_BLOCKED {
                        // The network is away, say. Its time is up, and it is tried again.
                        journal.overdue(entry.id, OffsetDateTime::now_utc())?;
                        continue;
                    }
                }
            }
        }
        journal.asks(entry.id)?;
    }
    Ok(told)
}
