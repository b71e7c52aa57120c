//! The change set: edits that wait, what they would do, and the way to disk and back.

use std::{
    collections::btree_map::Entry,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use proxy_core::lint;

use super::{
    Proposal,
    diff::file_diff,
    impact,
    journal::{self, Journal, State},
    proposal::Base,
    write::{self, FileEdit},
};
use crate::{
    dto::{
        Conflict, DraftKind, Edit, Finding, Impact, ImpactCounts, ImpactRow, JournalEntry, Keep, Level, Review,
        StagedEdit,
    },
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
    events: Events,
    set: Mutex<Set>,
    journal: Mutex<Journal>,
    /// What was found half done at the start, in sentences.
    recovered: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Set {
    edits: Vec<StagedEdit>,
    /// Files that the edits touch, as they were when they were staged.
    base: Base,
    next: u64,
}

impl Set {
    fn plain(&self) -> Vec<Edit> {
        self.edits.iter().map(|staged| staged.edit.clone()).collect()
    }

    /// Forgets the text of files that no edit touches any more.
    fn trim(&mut self, view: &View) -> Result<()> {
        let proposal = Proposal::of(view, &self.base, &self.plain())?;
        self.base
            .retain(|file, _| proposal.touched.iter().flatten().any(|touched| touched == file));
        Ok(())
    }
}

impl Changes {
    pub fn new(journal: Journal, recovered: Vec<String>, events: Events) -> Self {
        Self {
            events,
            set: Mutex::default(),
            journal: Mutex::new(journal),
            recovered: Mutex::new(recovered),
        }
    }

    /// What was found half done when the folder was opened, and what became of it.
    pub fn recovered(&self) -> Vec<String> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The folder changed: what was staged for the old one is gone, its journal stays.
    pub fn turn_to(&self, database: &Path, folder: &Path) -> Result<()> {
        let journal = Journal::open(database, folder)?;
        *self.recovered.lock().unwrap_or_else(PoisonError::into_inner) = journal.recover(folder)?;
        *self.journal() = journal;
        *self.set() = Set::default();
        self.told(Vec::new());
        Ok(())
    }

    /// What waits.
    pub fn staged(&self) -> Vec<StagedEdit> {
        self.set().edits.clone()
    }

    /// Adds an edit. One that sets the same thing as an earlier one takes its place.
    pub fn stage(&self, view: &View, edit: Edit) -> Result<Vec<StagedEdit>> {
        let mut set = self.set();
        let mut edits = set.edits.clone();
        edits.retain(|staged| !same_target(&staged.edit, &edit));
        if edits.len() >= MAX_STAGED {
            return Err(
                Fault::new("full", format!("{MAX_STAGED} edits wait already.")).hint("Apply or discard them first.")
            );
        }
        set.next += 1;
        edits.push(StagedEdit {
            id: set.next,
            title: title(&edit),
            edit,
            at: now(),
        });
        let plain: Vec<Edit> = edits.iter().map(|staged| staged.edit.clone()).collect();
        let proposal = Proposal::of(view, &set.base, &plain)?;
        for file in proposal.touched.into_iter().flatten() {
            if let Entry::Vacant(unseen) = set.base.entry(file) {
                let text = write::read(&view.folder, unseen.key())?;
                unseen.insert(text);
            }
        }
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
        set.edits.clear();
        set.base.clear();
        self.told(Vec::new())
    }

    /// The World with the staged edits, `None` when nothing is staged or the edits no longer fit the folder.
    pub fn proposed(&self, view: &View) -> Option<proxy_core::model::World> {
        let set = self.set();
        let fits = (!set.edits.is_empty()).then(|| Proposal::of(view, &set.base, &set.plain()))?;
        fits.ok().map(|proposal| proposal.world)
    }

    /// The YAML of an object as it is staged.
    pub fn staged_yaml(&self, kind: DraftKind, namespace: &str, name: &str) -> Option<String> {
        let set = self.set();
        set.edits.iter().find_map(|staged| match &staged.edit {
            Edit::Put {
                object,
                namespace: own,
                name: named,
                yaml,
            } => (*object == kind && own == namespace && named == name).then(|| yaml.clone()),
            _ => None,
        })
    }

    /// What the staged edits would do.
    pub fn review(&self, view: &View, traffic: &Traffic) -> Result<Review> {
        let set = self.set();
        review(view, traffic, &set.edits, &set.base)
    }

    /// What `edits` would do, without staging them.
    pub fn preview(&self, view: &View, traffic: &Traffic, edits: Vec<Edit>) -> Result<Review> {
        let staged = edits.into_iter().map(|edit| StagedEdit {
            id: 0,
            title: title(&edit),
            edit,
            at: now(),
        });
        review(view, traffic, &staged.collect::<Vec<_>>(), &Base::new())
    }

    /// Settles a file that changed on disk since it was staged.
    pub fn resolve(&self, view: &View, traffic: &Traffic, file: &str, keep: Keep) -> Result<Review> {
        let mut set = self.set();
        let proposal = Proposal::of(view, &set.base, &set.plain())?;
        match keep {
            Keep::Mine => {
                let text = write::read(&view.folder, file)?;
                set.base.insert(file.to_string(), text);
            }
            Keep::Theirs => {
                let touches = |index: usize| proposal.touched[index].iter().any(|touched| touched == file);
                let kept = set.edits.iter().enumerate().filter(|(index, _)| !touches(*index));
                set.edits = kept.map(|(_, staged)| staged.clone()).collect();
                set.base.remove(file);
            }
        }
        self.told(set.edits.clone());
        review(view, traffic, &set.edits, &set.base)
    }

    /// Writes the staged edits: journal, files, verification. On any fault no file is half written and the edits stay.
    pub fn apply(&self, view: &View, traffic: &Traffic) -> Result<JournalEntry> {
        let mut set = self.set();
        let proposal = Proposal::of(view, &set.base, &set.plain())?;
        if let Some(file) = conflicts(view, &proposal.files)?.first() {
            return Err(write::changed(&file.file));
        }
        if let Some(reason) = blocked(&set.edits, &proposal, &[]) {
            return Err(Fault::new("not-applicable", reason));
        }
        let counts = counts(&impact(view, &proposal.world, traffic));
        let title = set
            .edits
            .iter()
            .map(|staged| staged.title.as_str())
            .collect::<Vec<_>>()
            .join("; ");
        let mut journal = self.journal();
        let id = journal.begin(&title, &now(), counts, &proposal.files)?;
        if let Err(fault) = write::write_all(&view.folder, &proposal.files) {
            settle(&journal, &view.folder, id, &proposal.files)?;
            return Err(fault);
        }
        write::verify(&view.folder, &proposal.files)?;
        journal.set(id, State::Applied)?;
        *set = Set {
            next: set.next,
            ..Set::default()
        };
        self.told(Vec::new());
        self.events.send(Event::JournalChanged);
        self.shown(&journal, &view.folder, id)
    }

    /// The journal, newest first.
    pub fn entries(&self, folder: &Path) -> Result<Vec<JournalEntry>> {
        let entries = self.journal().entries()?;
        entries.iter().map(|entry| shown(entry, folder)).collect()
    }

    /// Restores the files of an entry exactly, of the newest one that is not undone when none is named.
    pub fn undo(&self, folder: &Path, id: Option<i64>) -> Result<JournalEntry> {
        let journal = self.journal();
        let entry = match id {
            Some(id) => journal.entry(id)?,
            None => journal
                .entries()?
                .into_iter()
                .find(|entry| entry.state == State::Applied),
        };
        let entry = entry.ok_or_else(|| Fault::new("nothing-to-undo", "There is nothing to undo."))?;
        if let Some(reason) = undo_blocked(&entry, folder)? {
            return Err(
                Fault::new("undo-blocked", reason).hint("The journal holds the text of before; compare by hand.")
            );
        }
        let back: Vec<FileEdit> = entry.edits.iter().rev().map(FileEdit::reversed).collect();
        journal.set(entry.id, State::Undoing)?;
        if let Err(fault) = write::write_all(folder, &back) {
            // Whatever stands on disk now decides what the entry is.
            let state = if holds(folder, &entry.edits)? {
                State::Applied
            } else {
                State::Stuck
            };
            journal.set(entry.id, state)?;
            return Err(fault);
        }
        write::verify(folder, &back)?;
        journal.set(entry.id, State::Undone)?;
        self.events.send(Event::JournalChanged);
        self.shown(&journal, folder, entry.id)
    }

    fn shown(&self, journal: &Journal, folder: &Path, id: i64) -> Result<JournalEntry> {
        let entry = journal
            .entry(id)?
            .ok_or_else(|| Fault::new("journal", format!("Entry {id} is gone.")))?;
        shown(&entry, folder)
    }

    fn told(&self, edits: Vec<StagedEdit>) -> Vec<StagedEdit> {
        self.events.send(Event::StagedChanged(edits.clone()));
        edits
    }

    // Both are replaced or extended whole; a panic elsewhere leaves them usable.
    fn set(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn review(view: &View, traffic: &Traffic, edits: &[StagedEdit], base: &Base) -> Result<Review> {
    let plain: Vec<Edit> = edits.iter().map(|staged| staged.edit.clone()).collect();
    let proposal = Proposal::of(view, base, &plain)?;
    let conflicts = conflicts(view, &proposal.files)?;
    let blocked_because = blocked(edits, &proposal, &conflicts);
    let diffs = proposal.files.iter();
    Ok(Review {
        edits: edits.to_vec(),
        diffs: diffs
            .map(|edit| file_diff(&edit.file, edit.before.as_deref(), edit.after.as_deref()))
            .collect(),
        impact: impact(view, &proposal.world, traffic),
        findings: findings(&proposal),
        conflicts,
        warnings: warnings(edits),
        applicable: blocked_because.is_none(),
        blocked_because,
    })
}

/// Findings in the files that change.
fn findings(proposal: &Proposal) -> Vec<Finding> {
    let edit = |file: &str| proposal.files.iter().find(|edit| edit.file == file);
    let known = proposal.errors.iter().map(lint::Finding::from);
    let all = crate::session::findings(&proposal.world, known, |file| edit(file)?.after.clone());
    all.into_iter()
        .filter(|finding| edit(&finding.file).is_some())
        .collect()
}

fn warnings(edits: &[StagedEdit]) -> Vec<String> {
    let mut warnings = Vec::new();
    let registry_only = |edit: &Edit| {
        matches!(
            edit,
            Edit::Mode {
                mode: crate::dto::Mode::RegistryOnly,
                ..
            }
        )
    };
    if edits.iter().any(|staged| registry_only(&staged.edit)) {
        warnings.push(
            "REGISTRY_ONLY is no firewall: a process that avoids the sidecar, or an excluded range, still gets out."
                .to_string(),
        );
    }
    if edits.iter().any(|staged| matches!(staged.edit, Edit::Ranges { .. })) {
        warnings.push("In a cluster, running pods keep their old ranges until they are restarted.".to_string());
    }
    warnings
}

fn blocked(edits: &[StagedEdit], proposal: &Proposal, conflicts: &[Conflict]) -> Option<String> {
    if edits.is_empty() {
        return Some("Nothing is staged.".into());
    }
    if let Some(conflict) = conflicts.first() {
        return Some(format!(
            "{} has changed on disk since; choose which version to keep.",
            conflict.file
        ));
    }
    if let Some(error) = proposal.errors.first() {
        return Some(error.to_string());
    }
    if let Some(finding) = findings(proposal)
        .into_iter()
        .find(|finding| finding.level == Level::Error)
    {
        let Finding {
            file,
            line,
            field,
            message,
            ..
        } = finding;
        return Some(format!("Istio would refuse {file}:{line}: {field}: {message}"));
    }
    proposal
        .files
        .is_empty()
        .then(|| "The files say this already; there is nothing to write.".into())
}

fn conflicts(view: &View, files: &[FileEdit]) -> Result<Vec<Conflict>> {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let mut conflicts = Vec::new();
    for edit in files {
        let theirs = write::read(&view.folder, &edit.file)?;
        if theirs != edit.before {
            conflicts.push(Conflict {
                file: edit.file.clone(),
                base: text(&edit.before),
                mine: text(&edit.after),
                theirs: text(&theirs),
            });
        }
    }
    Ok(conflicts)
}

/// After a failed write: the entry goes when no file was changed, else it stays to be looked at.
fn settle(journal: &Journal, folder: &Path, id: i64, edits: &[FileEdit]) -> Result<()> {
    let back: Vec<FileEdit> = edits.iter().map(FileEdit::reversed).collect();
    if holds(folder, &back)? {
        journal.forget(id)
    } else {
        journal.set(id, State::Stuck)
    }
}

/// True when every file is what it should be after `edits`.
fn holds(folder: &Path, edits: &[FileEdit]) -> Result<bool> {
    for edit in edits {
        if write::read(folder, &edit.file)? != edit.after {
            return Ok(false);
        }
    }
    Ok(true)
}

fn undo_blocked(entry: &journal::Entry, folder: &Path) -> Result<Option<String>> {
    match entry.state {
        State::Undone => return Ok(Some("It is undone already.".into())),
        State::Applied => {}
        _ => return Ok(Some("It was cut short, and its files have changed since.".into())),
    }
    for edit in &entry.edits {
        if write::read(folder, &edit.file)? != edit.after {
            return Ok(Some(format!(
                "{} has changed since; undoing would lose that change.",
                edit.file
            )));
        }
    }
    Ok(None)
}

fn shown(entry: &journal::Entry, folder: &Path) -> Result<JournalEntry> {
    let undo_blocked = undo_blocked(entry, folder)?;
    let undone = entry.state == State::Undone;
    let diffs = entry.edits.iter();
    Ok(JournalEntry {
        id: entry.id,
        at: entry.at.clone(),
        title: entry.title.clone(),
        files: entry.edits.iter().map(|edit| edit.file.clone()).collect(),
        undone,
        undoable: undo_blocked.is_none(),
        undo_blocked: undo_blocked.filter(|_| !undone),
        diffs: diffs
            .map(|edit| file_diff(&edit.file, edit.before.as_deref(), edit.after.as_deref()))
            .collect(),
        impact: entry.impact,
    })
}

fn counts(impact: &Impact) -> ImpactCounts {
    let flows = |rows: &[ImpactRow]| u32::try_from(rows.iter().map(|row| row.flows).sum::<u64>()).unwrap_or(u32::MAX);
    ImpactCounts {
        newly_blocked: flows(&impact.newly_blocked),
        newly_allowed: flows(&impact.newly_allowed),
    }
}

fn same_target(a: &Edit, b: &Edit) -> bool {
    fn target(edit: &Edit) -> (u8, &str, &str) {
        match edit {
            Edit::Mode { scope, .. } => (0, scope, ""),
            Edit::Ranges { .. } => (1, "", ""),
            Edit::Put {
                object,
                namespace,
                name,
                ..
            }
            | Edit::Delete {
                object,
                namespace,
                name,
            } => (2 + *object as u8, namespace, name),
        }
    }
    target(a) == target(b)
}

fn title(edit: &Edit) -> String {
    match edit {
        Edit::Mode { scope, mode } => format!("Mode {} for {scope}", proxy_core::model::OutboundMode::from(*mode)),
        Edit::Put {
            object,
            namespace,
            name,
            ..
        } => format!("{} {namespace}/{name}", object.as_str()),
        Edit::Delete {
            object,
            namespace,
            name,
        } => format!("Delete {} {namespace}/{name}", object.as_str()),
        Edit::Ranges {
            exclude_ranges,
            exclude_ports,
            ..
        } => match (exclude_ranges.as_str(), exclude_ports.as_str()) {
            ("", "") => "Bypass nothing".into(),
            (ranges, "") => format!("Bypass {ranges}"),
            ("", ports) => format!("Bypass ports {ports}"),
            (ranges, ports) => format!("Bypass {ranges} and ports {ports}"),
        },
    }
}
