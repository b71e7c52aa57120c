//! The change set: edits that wait, what they would do, and the way to disk and back.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use time::OffsetDateTime;

use super::{
    Proposal,
    back::{By, bring_to, put_back},
    confirm::{self, Countdowns, but_for},
    conflict::conflicts,
    edits::{clash, joined, same_target, title, unstaged},
    impact,
    journal::{Confirm, Journal, State},
    proposal::Base,
    refusal::Refused,
    review::{blocked, counts, review},
    seen::see,
    set::Set,
    standing::{applied, settle, shown},
    store::Store,
    write::{self, FileEdit},
};
use crate::{
    dto::{Countdown, DraftKind, Edit, Holds, JournalEntry, Review, StagedEdit},
    events::{Event, Events},
    fault::{Fault, Result},
    session::{View, now},
    traffic::Traffic,
};

/// Most edits that wait at once: a bound, far above what a person reviews.
const MAX_STAGED: usize = 500;

/// Staged edits and the journal of a folder.
#[derive(Debug)]
pub struct Changes {
    pub(super) events: Events,
    set: Mutex<Set>,
    journal: Mutex<Journal>,
    /// What was found half done at the start, in sentences.
    recovered: Mutex<Vec<String>>,
    pub(super) countdowns: Countdowns,
}

impl Changes {
    pub fn new(journal: Journal, recovered: Vec<String>, events: Events) -> Self {
        let changes = Self {
            events,
            set: Mutex::default(),
            journal: Mutex::new(journal),
            recovered: Mutex::new(recovered),
            countdowns: Countdowns::default(),
        };
        // What could not be taken back at the start is due. A journal that cannot be read says so at the first change.
        let _ = changes.plan();
        changes
    }

    /// What was found half done when the folder was opened, and what became of it.
    pub fn recovered(&self) -> Vec<String> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The source changed: what was staged for the old one is gone, its journal stays. Where it is the same one again,
    /// connected to anew, what is staged stays too.
    pub fn turn_to(&self, database: &Path, store: &dyn Store) -> Result<()> {
        let journal = Journal::open(database, store)?;
        let again = self.journal().is_of(store);
        *self.recovered.lock().unwrap_or_else(PoisonError::into_inner) = journal.recover(store)?;
        // Together: nothing is staged for the one with the journal of the other.
        let mut set = self.set();
        *self.journal() = journal;
        if !again {
            *set = Set::default();
            self.told(Vec::new());
        }
        drop(set);
        self.plan()
    }

    /// Adds to it.
    pub fn tell(&self, told: Vec<String>) {
        self.recovered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(told);
    }

    /// What waits.
    pub fn staged(&self) -> Vec<StagedEdit> {
        self.set().edits.clone()
    }

    /// Adds an edit. One that sets the same thing as an earlier one takes its place.
    pub fn stage(&self, view: &View, edit: Edit) -> Result<Vec<StagedEdit>> {
        self.stage_together(view, vec![edit], &Base::new())
    }

    /// Adds all of `new`, or none: nobody sees, or applies, a part of them. `made_for` are the texts whose places they name,
    /// where they name any: the edits that wait must be for the same.
    pub(super) fn stage_together(&self, view: &View, new: Vec<Edit>, made_for: &Base) -> Result<Vec<StagedEdit>> {
        let mut set = self.set();
        if !self.journal().is_of(&*view.store) {
            return Err(Fault::new("turned", "The window has turned to another place.")
                .hint("Stage the edit there, where it is still wanted."));
        }
        let mut edits = set.edits.clone();
        for edit in new {
            if let Some(fault) = clash(&edits, &edit) {
                return Err(fault);
            }
            let edit = joined(&edits, edit);
            edits.retain(|staged| !same_target(&staged.edit, &edit));
            if edits.len() >= MAX_STAGED {
                return Err(Fault::new("full", format!("No more than {MAX_STAGED} edits can wait."))
                    .hint("Apply or discard some first."));
            }
            set.next += 1;
            edits.push(StagedEdit {
                id: set.next,
                title: title(&edit),
                edit,
                at: now(),
            });
        }
        let is_other = |(file, text): &(&String, _)| set.base.get(*file).is_some_and(|base| base != *text);
        if let Some((file, _)) = made_for.iter().find(is_other) {
            return Err(write::changed(file));
        }
        let plain: Vec<Edit> = edits.iter().map(|staged| staged.edit.clone()).collect();
        let proposal = Proposal::of(view, &set.base, &plain)?;
        see(&self.journal(), view, (&plain, &proposal), &mut set.base)?;
        set.edits = edits;
        Ok(self.told(set.edits.clone()))
    }

    /// Takes an edit out again.
    pub fn unstage(&self, view: &View, id: u64) -> Result<Vec<StagedEdit>> {
        let mut set = self.set();
        set.edits.retain(|staged| staged.id != id);
        set.trim(view)?;
        Ok(self.told(set.edits.clone()))
    }

    /// Takes all edits out.
    pub fn discard_all(&self) -> Vec<StagedEdit> {
        let mut set = self.set();
        *set = Set {
            next: set.next,
            ..Set::default()
        };
        self.told(Vec::new())
    }

    /// The World with the staged edits, `None` when nothing is staged or the edits no longer fit the folder.
    pub fn proposed(&self, view: &View) -> Option<proxy_core::model::World> {
        Some(self.proposal(view).ok()??.world)
    }

    /// The same with the texts of the files that change; why, where the edits no longer fit.
    pub fn proposal(&self, view: &View) -> Result<Option<Proposal>> {
        let set = self.set();
        let fits = (!set.edits.is_empty()).then(|| Proposal::of(view, &set.base, &set.plain()));
        fits.transpose()
    }

    /// The files that the staged edits would change.
    pub fn files(&self, view: &View) -> Result<Vec<FileEdit>> {
        let set = self.set();
        Proposal::of(view, &set.base, &set.plain()).map(|proposal| proposal.files)
    }

    /// The YAML of an object as it is staged, and the file that it was made from.
    pub fn staged_object(&self, kind: DraftKind, namespace: &str, name: &str) -> Option<(String, Option<String>)> {
        let set = self.set();
        set.edits.iter().find_map(|staged| match &staged.edit {
            Edit::Put {
                object,
                namespace: own,
                name: named,
                yaml,
                base,
            } => (*object == kind && own == namespace && named == name).then(|| (yaml.clone(), base.clone())),
            _ => None,
        })
    }

    /// What the staged edits would do.
    pub fn review(&self, view: &View, traffic: &Traffic) -> Result<Review> {
        let set = self.set();
        let mut review = review(view, traffic, &set)?;
        let files = review.diffs.iter().map(|diff| diff.file.as_str());
        if let (true, Some(reason)) = (review.applicable, self.awaited(files)?) {
            review.applicable = false;
            review.blocked_because = Some(reason);
        }
        Ok(review)
    }

    /// What `edits` would do, without staging them.
    pub fn preview(&self, view: &View, traffic: &Traffic, edits: Vec<Edit>) -> Result<Review> {
        let mut set = Set {
            refused: self.set().refused.clone(),
            ..Set::default()
        };
        let proposal = Proposal::of(view, &set.base, &edits)?;
        see(&self.journal(), view, (&edits, &proposal), &mut set.base)?;
        set.edits = edits.into_iter().map(unstaged).collect();
        review(view, traffic, &set)
    }

    /// Writes the staged edits: journal, files, verification. On any fault no file is half written and the edits stay.
    /// With a countdown the change is taken back unless somebody keeps it.
    pub fn apply(&self, view: &View, traffic: &Traffic, countdown: Option<&Countdown>) -> Result<JournalEntry> {
        let mut set = self.set();
        let written = self.write(&mut set, view, traffic, countdown);
        self.told(set.edits.clone());
        written
    }

    /// Writes `edits` in the same way, and leaves what is staged alone.
    pub fn apply_now(&self, view: &View, traffic: &Traffic, edits: Vec<Edit>) -> Result<JournalEntry> {
        let mut set = Set {
            edits: edits.into_iter().map(unstaged).collect(),
            ..Set::default()
        };
        self.write(&mut set, view, traffic, None)
    }

    fn write(
        &self,
        set: &mut Set,
        view: &View,
        traffic: &Traffic,
        countdown: Option<&Countdown>,
    ) -> Result<JournalEntry> {
        let proposal = Proposal::of(view, &set.base, &set.plain())?;
        if let Some(file) = conflicts(view, &proposal.files)?.first() {
            return Err(write::changed(&file.file));
        }
        if let Some(reason) = blocked(&set.edits, &proposal, &[]) {
            return Err(Fault::new("not-applicable", reason));
        }
        if let Some(reason) = self.awaited(proposal.files.iter().map(|edit| edit.file.as_str()))? {
            return Err(Fault::new("unconfirmed", reason));
        }
        let confirm = countdown.map(confirm::chosen).transpose()?;
        let counts = counts(&impact(view, &proposal.world, traffic));
        let title = set
            .edits
            .iter()
            .map(|staged| staged.title.as_str())
            .collect::<Vec<_>>()
            .join("; ");
        let mut journal = self.journal();
        let store = &*view.store;
        if let Some(reason) = store.locked() {
            return Err(Fault::new("read-only", reason));
        }
        let staged = proposal.files.clone();
        let prepared = store.prepare(proposal.files, &proposal.restored);
        let files = match prepared {
            Ok(prepared) => prepared.files,
            Err(fault) => {
                set.refused = Refused::of(&fault, &staged);
                return Err(fault);
            }
        };
        let id = journal.begin(&title, &now(), counts, &files, confirm.as_ref())?;
        let written = store.write_all(&files);
        let outcome = match &written {
            Ok(stored) => {
                *set = Set {
                    next: set.next,
                    ..Set::default()
                };
                // It is written, and its countdown runs, whatever the journal can say of it, or another hand has made of it
                // since.
                applied(&journal, id, stored)
                    .and_then(|()| write::verify(store, &stored.files))
                    .and_then(|()| self.shown(&journal, store, id))
            }
            Err(fault) => {
                set.refused = Refused::of(fault, &staged);
                settle(&journal, id, fault).and(Err(fault.clone()))
            }
        };
        drop(journal);
        let planned = self.plan();
        self.events.send(Event::JournalChanged);
        planned.and(outcome)
    }

    /// Writes down what was done beside the change sets; gives its number, under which its end is told.
    pub fn note(&self, title: &str, notes: &str) -> Result<i64> {
        let id = self.journal().note(title, &now(), notes)?;
        self.events.send(Event::JournalChanged);
        Ok(id)
    }

    /// Writes down what came of it.
    pub fn note_again(&self, id: i64, notes: &str) -> Result<()> {
        self.journal().note_again(id, notes)?;
        self.events.send(Event::JournalChanged);
        Ok(())
    }

    /// The journal, newest first.
    pub fn entries(&self, store: &dyn Store) -> Result<Vec<JournalEntry>> {
        let entries = self.journal().entries()?;
        entries.iter().map(|entry| shown(entry, store)).collect()
    }

    /// Restores the files of an entry exactly, of the newest one that is not undone when none is named.
    pub fn undo(&self, store: &dyn Store, id: Option<i64>) -> Result<JournalEntry> {
        let restored = self.restore(store, id, By::Person);
        self.plan()?;
        restored
    }

    /// Brings the entry `id`, which was cut short, to one side. Edits that are still staged for it have then been made.
    pub fn settle(&self, view: &View, id: i64, side: Holds) -> Result<JournalEntry> {
        let mut set = self.set();
        let journal = self.journal();
        let entry = journal.entry(id)?.ok_or_else(|| gone(id))?;
        let settled = bring_to(&journal, &*view.store, &entry, side);
        self.events.send(Event::JournalChanged);
        settled?;
        let overdue = |confirm: &Confirm| confirm.until <= OffsetDateTime::now_utc();
        if side == Holds::New {
            if entry.confirm.as_ref().is_some_and(overdue) {
                // Its time ran out while it was cut short: who finishes it now keeps it.
                journal.confirmed(id)?;
            }
            set.drop_where(view, |staged, file| {
                staged.at < entry.at && entry.edits.iter().any(|edit| edit.file == file)
            })?;
            self.told(set.edits.clone());
        }
        let shown = self.shown(&journal, &*view.store, id)?;
        drop((journal, set));
        // What was applied under a countdown goes on counting.
        self.plan()?;
        Ok(shown)
    }

    pub(super) fn restore(&self, store: &dyn Store, id: Option<i64>, by: By) -> Result<JournalEntry> {
        let journal = self.journal();
        let entry = match id {
            Some(id) => journal.entry(id)?,
            None => journal
                .entries()?
                .into_iter()
                .find(|entry| entry.state == State::Applied),
        };
        let entry = entry.ok_or_else(|| Fault::new("nothing-to-undo", "There is nothing to undo."))?;
        if by == By::Itself && !entry.is_unconfirmed() {
            // A person has kept it, or taken it back, since it was looked for.
            return self.shown(&journal, store, entry.id);
        }
        let back = put_back(&journal, store, &entry, by);
        self.events.send(Event::JournalChanged);
        let kept = back?;
        if !kept.is_empty() {
            self.tell(vec![format!(
                "\"{}\" was not kept in time: it was taken back{}.",
                entry.title,
                but_for(&kept)
            )]);
        }
        self.shown(&journal, store, entry.id)
    }

    fn shown(&self, journal: &Journal, store: &dyn Store, id: i64) -> Result<JournalEntry> {
        shown(&journal.entry(id)?.ok_or_else(|| gone(id))?, store)
    }

    pub(super) fn told(&self, edits: Vec<StagedEdit>) -> Vec<StagedEdit> {
        self.events.send(Event::StagedChanged(edits.clone()));
        edits
    }

    // Both are replaced or extended whole; a panic elsewhere leaves them usable.
    pub(super) fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone(id: i64) -> Fault {
    Fault::new("journal", format!("Entry {id} is gone."))
}
