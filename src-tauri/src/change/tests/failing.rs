//! A place whose writes fail: nothing is lost, and nothing is said to be done that is not.

use std::{
    collections::VecDeque,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use super::{Bench, registry_only};
use crate::{
    change::{CUT_SHORT, Changes, FileEdit, Journal, Store, Stored, journal::State},
    dto::{Afterwards, Countdown, Holds},
    events::Events,
    fault::{Fault, Result},
    session::View,
};

/// What happens to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    /// Nobody answers, and nothing is written.
    Away,
    /// The first file is written; then nobody answers.
    Half,
    /// Another hand on the way adds a line of its own.
    Stamped,
    /// All is written, and another hand changes it at once.
    Overwritten,
}

/// A folder that does with each write what comes next, and then just writes. What is read of it lies behind, as a mirror
/// does, wherever a write was not answered.
#[derive(Debug)]
struct Failing {
    folder: PathBuf,
    next: Mutex<VecDeque<Write>>,
    behind: Mutex<Vec<FileEdit>>,
}

impl Failing {
    fn new(bench: &Bench, next: &[Write]) -> Arc<Self> {
        Arc::new(Self {
            folder: bench.folder.clone(),
            next: Mutex::new(next.iter().copied().collect()),
            behind: Mutex::default(),
        })
    }

    fn add(&self, edit: &FileEdit, line: &str) -> FileEdit {
        let mut text = edit.after.clone().unwrap();
        text.extend(line.bytes());
        fs::write(self.folder.join(&edit.file), &text).unwrap();
        FileEdit {
            after: Some(text),
            ..edit.clone()
        }
    }
}

impl Store for Failing {
    fn name(&self) -> String {
        Store::name(&self.folder)
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        let behind = self.behind.lock().unwrap();
        match behind.iter().find(|edit| edit.file == file) {
            Some(edit) => Ok(edit.before.clone()),
            None => self.read_now(file),
        }
    }

    fn read_now(&self, file: &str) -> Result<Option<Vec<u8>>> {
        self.folder.read(file)
    }

    fn write_all(&self, edits: &[FileEdit]) -> Result<Stored> {
        let next = self.next.lock().unwrap().pop_front();
        match next {
            Some(Write::Away) => Err(Fault::new("unreachable", "The VPN is down.")),
            Some(Write::Half) => {
                self.folder.write_all(&edits[..1])?;
                self.behind.lock().unwrap().push(edits[0].clone());
                Err(Fault::new(CUT_SHORT, "The network went."))
            }
            Some(Write::Stamped) => {
                let stamped: Vec<_> = edits.iter().map(|edit| self.add(edit, "# 12:00\n")).collect();
                Ok(stamped.into())
            }
            Some(Write::Overwritten) => {
                edits.iter().for_each(|edit| drop(self.add(edit, "# theirs\n")));
                Ok(edits.to_vec().into())
            }
            None => self.folder.write_all(edits),
        }
    }
}

fn view(bench: &Bench, store: &Arc<Failing>) -> View {
    let mut view = bench.view();
    view.store = store.clone();
    view
}

const HOUR: Countdown = Countdown {
    seconds: 3600,
    afterwards: Afterwards::Revert,
};

/// Applies two files with a countdown.
fn apply(bench: &Bench, store: &Arc<Failing>) -> Result<i64> {
    bench.stage(registry_only());
    bench.stage(super::ranges("10.0.0.0/8"));
    let entry = bench.changes.apply(&view(bench, store), &bench.traffic, Some(&HOUR));
    entry.map(|entry| entry.id)
}

fn state(bench: &Bench) -> State {
    Journal::open(&bench.database, &bench.folder)
        .unwrap()
        .entries()
        .unwrap()
        .remove(0)
        .state
}

#[test]
fn what_could_not_be_taken_back_is_tried_again_until_it_is() {
    for failures in [
        vec![Write::Away],
        vec![Write::Half],
        vec![Write::Away, Write::Half, Write::Away],
    ] {
        let bench = Bench::new();
        let before = bench.bytes();
        let store = Failing::new(&bench, &[]);
        let id = apply(&bench, &store).unwrap();
        store.next.lock().unwrap().extend(&failures);
        for _ in &failures {
            bench.changes.revert_at_exit(&*store).unwrap();
            let waiting = bench.changes.unconfirmed(&*store).unwrap().remove(0);
            assert_eq!(waiting.id, id, "{failures:?}: still to be taken back");
            assert!(waiting.until.is_some() && waiting.fault.is_some());
        }
        bench.changes.revert_at_exit(&*store).unwrap();
        assert_eq!(bench.bytes(), before, "{failures:?}");
        assert_eq!(state(&bench), State::Reverted);
        assert!(bench.changes.unconfirmed(&*store).unwrap().is_empty());
    }
}

#[test]
fn what_the_next_start_cannot_take_back_stays_due() {
    let bench = Bench::new();
    let before = bench.bytes();
    let store = Failing::new(&bench, &[]);
    apply(&bench, &store).unwrap();
    store.next.lock().unwrap().push_back(Write::Away);
    let journal = Journal::open(&bench.database, &*store).unwrap();
    let told = journal.recover(&*store).unwrap();
    assert!(
        told[0].contains("could not be taken back: The VPN is down."),
        "{told:?}"
    );
    let again = Changes::new(journal, told, Events::new(|_| {}));
    assert!(again.await_deadline(), "an hour was given, and the app was closed");
    again.revert_due(&*store).unwrap();
    assert_eq!((bench.bytes(), state(&bench)), (before, State::Reverted));
}

#[test]
fn an_apply_cut_short_under_a_countdown_is_taken_back_from_the_middle() {
    let bench = Bench::new();
    let before = bench.bytes();
    let store = Failing::new(&bench, &[Write::Half]);
    assert_eq!(apply(&bench, &store).unwrap_err().code, CUT_SHORT);
    assert_ne!(bench.bytes(), before);
    bench.changes.revert_at_exit(&*store).unwrap();
    assert_eq!((bench.bytes(), state(&bench)), (before, State::Reverted));
}

#[test]
fn who_takes_back_what_was_cut_short_under_a_countdown_has_it_back() {
    let bench = Bench::new();
    let before = bench.bytes();
    let store = Failing::new(&bench, &[Write::Half]);
    apply(&bench, &store).unwrap_err();
    let id = bench.changes.unconfirmed(&*store).unwrap()[0].id;
    bench.changes.undo(&*store, Some(id)).unwrap();
    assert_eq!((bench.bytes(), state(&bench)), (before, State::Undone));
}

#[test]
fn who_finishes_what_was_cut_short_after_its_time_keeps_it() {
    let bench = Bench::new();
    let store = Failing::new(&bench, &[Write::Half]);
    apply(&bench, &store).unwrap_err();
    let id = bench.changes.unconfirmed(&*store).unwrap()[0].id;
    let journal = Journal::open(&bench.database, &*store).unwrap();
    journal.overdue(id, time::OffsetDateTime::now_utc()).unwrap();
    bench.changes.settle(&view(&bench, &store), id, Holds::New).unwrap();
    assert!(bench.changes.unconfirmed(&*store).unwrap().is_empty());
    assert_eq!(state(&bench), State::Applied);
}

#[test]
fn nothing_was_applied_where_nobody_answered() {
    let bench = Bench::new();
    let before = bench.bytes();
    let store = Failing::new(&bench, &[Write::Away]);
    assert_eq!(apply(&bench, &store).unwrap_err().code, "unreachable");
    assert_eq!(bench.bytes(), before);
    assert!(bench.changes.entries(&*store).unwrap().is_empty());
    assert_eq!(bench.changes.staged().len(), 2);
}

#[test]
fn what_is_stored_otherwise_than_it_was_written_is_applied_and_taken_back() {
    let bench = Bench::new();
    let before = bench.bytes();
    let store = Failing::new(&bench, &[Write::Stamped]);
    let id = apply(&bench, &store).unwrap();
    let entry = bench.changes.entries(&*store).unwrap().remove(0);
    assert!(entry.unconfirmed && entry.undoable, "{:?}", entry.undo_blocked);
    bench.changes.undo(&*store, Some(id)).unwrap();
    assert_eq!(bench.bytes(), before);
}

#[test]
fn what_another_hand_changed_at_once_is_told_and_is_applied_all_the_same() {
    let bench = Bench::new();
    let store = Failing::new(&bench, &[Write::Overwritten]);
    let fault = apply(&bench, &store).unwrap_err();
    assert_eq!(fault.code, "verify", "{fault:?}");
    assert_eq!(state(&bench), State::Applied);
    assert!(bench.changes.staged().is_empty(), "it was written");
    let waiting = bench.changes.unconfirmed(&*store).unwrap().remove(0);
    assert!(waiting.until.is_some(), "and its countdown runs");
    bench.changes.keep(waiting.id).unwrap();

    // The way back is the same.
    let bench = Bench::new();
    let store = Failing::new(&bench, &[]);
    let id = apply(&bench, &store).unwrap();
    store.next.lock().unwrap().push_back(Write::Overwritten);
    assert_eq!(bench.changes.undo(&*store, Some(id)).unwrap_err().code, "verify");
    assert_eq!(state(&bench), State::Undone);
}

#[test]
fn what_was_written_is_taken_back_in_time_though_the_journal_could_not_say_that_it_was() {
    let bench = Bench::new();
    let before = bench.bytes();
    let store = Failing::new(&bench, &[]);
    let database = rusqlite::Connection::open(&bench.database).unwrap();
    let full = "CREATE TRIGGER full BEFORE UPDATE OF state ON entry BEGIN SELECT RAISE(ABORT, 'full'); END";
    database.execute_batch(full).unwrap();
    assert_eq!(apply(&bench, &store).unwrap_err().code, "journal");
    assert_ne!(bench.bytes(), before);
    assert!(bench.changes.staged().is_empty(), "it was written");
    let waiting = bench.changes.unconfirmed(&*store).unwrap().remove(0);
    assert!(waiting.until.is_some(), "and its countdown runs");
    database.execute_batch("DROP TRIGGER full").unwrap();
    bench.changes.revert_at_exit(&*store).unwrap();
    assert_eq!((bench.bytes(), state(&bench)), (before, State::Reverted));
}
