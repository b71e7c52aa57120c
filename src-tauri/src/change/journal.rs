//! What was applied, with every file before and after, in SQLite. An entry is written *before* the first file is
//! touched: if the app dies in between, the next start finds it and brings all files to one side.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, write::FileEdit};
use crate::{
    dto::ImpactCounts,
    fault::{Fault, Result},
};

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Files are being written.
    Applying,
    /// All files hold the new version.
    Applied,
    /// Files are being restored.
    Undoing,
    /// All files hold the old version again.
    Undone,
    /// Some files changed by another hand while an entry was half done: nothing is written by itself any more.
    Stuck,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "applying" => Self::Applying,
            "applied" => Self::Applied,
            "undoing" => Self::Undoing,
            "undone" => Self::Undone,
            _ => Self::Stuck,
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: i64,
    pub at: String,
    pub title: String,
    pub state: State,
    pub impact: ImpactCounts,
    pub edits: Vec<FileEdit>,
}

/// The journal of one store.
#[derive(Debug)]
pub struct Journal {
    database: Connection,
    store: String,
}

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    CREATE TABLE IF NOT EXISTS entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT, folder TEXT NOT NULL, at TEXT NOT NULL, title TEXT NOT NULL,
        state TEXT NOT NULL, newly_blocked INTEGER NOT NULL, newly_allowed INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS file (
        entry INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE, position INTEGER NOT NULL, file TEXT NOT NULL,
        before BLOB, after BLOB, PRIMARY KEY (entry, position));
";

impl Journal {
    /// Opens the journal at `database` for `store`.
    pub fn open(database: &Path, store: &dyn Store) -> Result<Self> {
        let connection = Connection::open(database)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self {
            database: connection,
            store: store.name(),
        })
    }

    /// Writes down what is about to happen.
    pub fn begin(&mut self, title: &str, at: &str, impact: ImpactCounts, edits: &[FileEdit]) -> Result<i64> {
        let transaction = self.database.transaction()?;
        transaction.execute(
            "INSERT INTO entry (folder, at, title, state, newly_blocked, newly_allowed) VALUES (?, ?, ?, ?, ?, ?)",
            params![
                self.store,
                at,
                title,
                State::Applying.word(),
                impact.newly_blocked,
                impact.newly_allowed
            ],
        )?;
        let id = transaction.last_insert_rowid();
        for (position, edit) in (0_i64..).zip(edits) {
            transaction.execute(
                "INSERT INTO file (entry, position, file, before, after) VALUES (?, ?, ?, ?, ?)",
                params![id, position, edit.file, edit.before, edit.after],
            )?;
        }
        transaction.commit()?;
        Ok(id)
    }

    /// Sets how far an entry is.
    pub fn set(&self, id: i64, state: State) -> Result<()> {
        self.database
            .execute("UPDATE entry SET state = ? WHERE id = ?", params![state.word(), id])?;
        Ok(())
    }

    /// Takes an entry away that never came to be.
    pub fn forget(&self, id: i64) -> Result<()> {
        self.database.execute("DELETE FROM entry WHERE id = ?", [id])?;
        Ok(())
    }

    /// The entries of this store, newest first.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut statement = self
            .database
            .prepare("SELECT id FROM entry WHERE folder = ? ORDER BY id DESC")?;
        let ids = statement.query_map([&self.store], |row| row.get::<_, i64>(0))?;
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        ids.into_iter().filter_map(|id| self.entry(id).transpose()).collect()
    }

    /// The entry `id` of this store.
    pub fn entry(&self, id: i64) -> Result<Option<Entry>> {
        let sql = "SELECT at, title, state, newly_blocked, newly_allowed FROM entry WHERE id = ? AND folder = ?";
        let entry = self.database.query_row(sql, params![id, self.store], |row| {
            Ok(Entry {
                id,
                at: row.get(0)?,
                title: row.get(1)?,
                state: State::parse(&row.get::<_, String>(2)?),
                impact: ImpactCounts {
                    newly_blocked: row.get(3)?,
                    newly_allowed: row.get(4)?,
                },
                edits: Vec::new(),
            })
        });
        let Some(mut entry) = entry.optional()? else {
            return Ok(None);
        };
        let sql = "SELECT file, before, after FROM file WHERE entry = ? ORDER BY position";
        let mut statement = self.database.prepare(sql)?;
        let edits = statement.query_map([id], |row| {
            Ok(FileEdit {
                file: row.get(0)?,
                before: row.get(1)?,
                after: row.get(2)?,
            })
        })?;
        entry.edits = edits.collect::<Result<_, _>>()?;
        Ok(Some(entry))
    }

    /// Finishes what a killed app left half done: an apply is completed, an undo too. Where another hand changed one of
    /// the files meanwhile nothing is touched. Returns a sentence for each entry that needed it.
    pub fn recover(&self, store: &dyn Store) -> Result<Vec<String>> {
        let mut told = Vec::new();
        for entry in self.entries()? {
            let (edits, done) = match entry.state {
                State::Applying => (entry.edits.clone(), State::Applied),
                State::Undoing => (entry.edits.iter().map(FileEdit::reversed).collect(), State::Undone),
                _ => continue,
            };
            told.push(self.finish(store, &entry, &edits, done)?);
        }
        Ok(told)
    }

    fn finish(&self, store: &dyn Store, entry: &Entry, edits: &[FileEdit], done: State) -> Result<String> {
        let (mut open, mut foreign) = (Vec::new(), Vec::new());
        for edit in edits {
            let now = store.read(&edit.file)?;
            if now == edit.before && now != edit.after {
                open.push(edit.clone());
            } else if now != edit.after {
                foreign.push(edit.file.as_str());
            }
        }
        let title = &entry.title;
        if !foreign.is_empty() {
            self.set(entry.id, State::Stuck)?;
            return Ok(format!(
                "\"{title}\" was cut short, and {} changed since: nothing was touched. Compare it by hand.",
                foreign.join(", ")
            ));
        }
        if let Some(reason) = store.locked().filter(|_| !open.is_empty()) {
            self.set(entry.id, State::Stuck)?;
            let files: Vec<&str> = open.iter().map(|edit| edit.file.as_str()).collect();
            return Ok(format!(
                "\"{title}\" was cut short: {} was not written. Nothing was touched: {reason} Then make the change again.",
                files.join(", ")
            ));
        }
        store.write_all(&open)?;
        self.set(entry.id, done)?;
        let files: Vec<&str> = open.iter().map(|edit| edit.file.as_str()).collect();
        Ok(if files.is_empty() {
            format!("\"{title}\" was cut short after its last file; it is complete.")
        } else {
            format!(
                "\"{title}\" was cut short and is now complete: {} was written.",
                files.join(", ")
            )
        })
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::new("journal", format!("The journal cannot be read or written: {error}"))
            .hint("Is the disk full, or the app's data folder read-only?")
    }
}
