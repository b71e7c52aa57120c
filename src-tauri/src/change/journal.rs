//! What was applied, with every file before and after, in SQLite. An entry is written *before* the first file is
//! touched: if the app dies in between, the next start finds it and brings all files to one side.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use time::OffsetDateTime;

use super::{Store, write::FileEdit};
use crate::{
    dto::{Afterwards, ImpactCounts},
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
    /// The same, without a person's doing: nobody confirmed it in time.
    Reverted,
    /// Cut short: a person finishes it, or goes back. Nothing more is written by itself, but that what was to be
    /// confirmed is taken back when its time is up.
    Stuck,
    /// Something else that was done; no file was written.
    Noted,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::Applied => "applied",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Reverted => "reverted",
            Self::Stuck => "stuck",
            Self::Noted => "noted",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "applying" => Self::Applying,
            "applied" => Self::Applied,
            "undoing" => Self::Undoing,
            "undone" => Self::Undone,
            "reverted" => Self::Reverted,
            "noted" => Self::Noted,
            _ => Self::Stuck,
        }
    }
}

/// What an entry waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// When it is taken back by itself.
    pub until: OffsetDateTime,
    /// What becomes of it where the app is closed meanwhile.
    pub afterwards: Afterwards,
    /// False where the app was closed meanwhile: then it waits for an answer, however long.
    pub counts: bool,
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
    /// `None` where nothing is to be confirmed, or was.
    pub confirm: Option<Confirm>,
    /// What was done, where no file was written, and else what is to be known of it: lines.
    pub notes: String,
    /// Files that were left as they are when it was taken back by itself: another hand had changed them.
    pub kept: Vec<String>,
}

impl Entry {
    /// It waits to be confirmed: applied, or cut short on the way there or back. One that is still being applied is one of
    /// which the journal could not say that it was.
    pub fn is_unconfirmed(&self) -> bool {
        self.confirm.is_some() && matches!(self.state, State::Applying | State::Applied | State::Stuck)
    }
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
/// What came later. `user_version` counts these steps.
const LATER: [&str; 3] = [
    "ALTER TABLE entry ADD COLUMN confirm_until INTEGER;
     ALTER TABLE entry ADD COLUMN confirm_afterwards TEXT;
     ALTER TABLE entry ADD COLUMN confirm_counts INTEGER NOT NULL DEFAULT 1;",
    "ALTER TABLE entry ADD COLUMN notes TEXT NOT NULL DEFAULT '';",
    "ALTER TABLE file ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;",
];

impl Journal {
    /// Whether it is the journal of `store`.
    pub fn is_of(&self, store: &dyn Store) -> bool {
        self.store == store.name()
    }

    /// Opens the journal at `database` for `store`.
    pub fn open(database: &Path, store: &dyn Store) -> Result<Self> {
        let connection = Connection::open(database)?;
        connection.execute_batch(SCHEMA)?;
        let known: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        for (index, step) in LATER.iter().enumerate().skip(known as usize) {
            connection.execute_batch(&format!("BEGIN; {step} PRAGMA user_version = {}; COMMIT;", index + 1))?;
        }
        Ok(Self {
            database: connection,
            store: store.name(),
        })
    }

    /// Writes down what is about to happen.
    pub fn begin(
        &mut self,
        title: &str,
        at: &str,
        impact: ImpactCounts,
        edits: &[FileEdit],
        confirm: Option<&Confirm>,
    ) -> Result<i64> {
        let transaction = self.database.transaction()?;
        transaction.execute(
            "INSERT INTO entry (folder, at, title, state, newly_blocked, newly_allowed, confirm_until, confirm_afterwards)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                self.store,
                at,
                title,
                State::Applying.word(),
                impact.newly_blocked,
                impact.newly_allowed,
                confirm.map(|confirm| milliseconds(confirm.until)),
                confirm.map(|confirm| afterwards(confirm.afterwards)),
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

    /// Writes down what was done, or begun, beside the change sets.
    pub fn note(&self, title: &str, at: &str, notes: &str) -> Result<i64> {
        self.database.execute(
            "INSERT INTO entry (folder, at, title, state, newly_blocked, newly_allowed, notes) VALUES (?, ?, ?, ?, 0, 0, ?)",
            params![self.store, at, title, State::Noted.word(), notes],
        )?;
        Ok(self.database.last_insert_rowid())
    }

    /// Writes down what came of it.
    pub fn note_again(&self, id: i64, notes: &str) -> Result<()> {
        let sql = "UPDATE entry SET notes = ? WHERE id = ?";
        self.database.execute(sql, params![notes, id])?;
        Ok(())
    }

    /// Adds what is to be known of an entry, a line each.
    pub fn tell(&self, id: i64, told: &[String]) -> Result<()> {
        let sql = "UPDATE entry SET notes = notes || ? WHERE id = ?";
        for sentence in told {
            let line = format!("{}\n", sentence.replace('\n', " "));
            self.database.execute(sql, params![line, id])?;
        }
        Ok(())
    }

    /// Sets how far an entry is.
    pub fn set(&self, id: i64, state: State) -> Result<()> {
        self.database
            .execute("UPDATE entry SET state = ? WHERE id = ?", params![state.word(), id])?;
        Ok(())
    }

    /// Notes what was really stored: undoing starts from there.
    pub fn stored(&self, id: i64, edits: &[FileEdit]) -> Result<()> {
        let sql = "UPDATE file SET after = ? WHERE entry = ? AND file = ?";
        for edit in edits {
            self.database.execute(sql, params![edit.after, id, edit.file])?;
        }
        Ok(())
    }

    /// Notes that these files were left as they are when the entry was taken back.
    pub fn keep(&self, id: i64, files: &[String]) -> Result<()> {
        let sql = "UPDATE file SET kept = 1 WHERE entry = ? AND file = ?";
        for file in files {
            self.database.execute(sql, params![id, file])?;
        }
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

    /// Whether applied entries, and nothing else, made `to` of `from` in `file`.
    pub fn leads(&self, file: &str, from: &Option<Vec<u8>>, to: &Option<Vec<u8>>) -> Result<bool> {
        if from == to {
            return Ok(true);
        }
        let mut text = to.clone();
        let applied = self
            .entries()?
            .into_iter()
            .filter(|entry| entry.state == State::Applied);
        for edit in applied.flat_map(|entry| entry.edits) {
            if edit.file == file && edit.after == text {
                text = edit.before;
                if text == *from {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The entry `id` of this store.
    pub fn entry(&self, id: i64) -> Result<Option<Entry>> {
        self.entry_of(id, &self.store)
    }

    fn entry_of(&self, id: i64, store: &str) -> Result<Option<Entry>> {
        let sql = "SELECT at, title, state, newly_blocked, newly_allowed, confirm_until, confirm_afterwards,
                   confirm_counts, notes FROM entry WHERE id = ? AND folder = ?";
        let entry = self.database.query_row(sql, params![id, store], |row| {
            let until: Option<i64> = row.get(5)?;
            let afterwards: Option<String> = row.get(6)?;
            let counts = row.get(7)?;
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
                confirm: until.map(|until| Confirm {
                    until: moment(until),
                    afterwards: match afterwards.as_deref() {
                        Some("ask") => Afterwards::Ask,
                        _ => Afterwards::Revert,
                    },
                    counts,
                }),
                notes: row.get(8)?,
                kept: Vec::new(),
            })
        });
        let Some(mut entry) = entry.optional()? else {
            return Ok(None);
        };
        let sql = "SELECT file, before, after, kept FROM file WHERE entry = ? ORDER BY position";
        let mut statement = self.database.prepare(sql)?;
        let mut rows = statement.query([id])?;
        while let Some(row) = rows.next()? {
            let edit = FileEdit {
                file: row.get(0)?,
                before: row.get(1)?,
                after: row.get(2)?,
            };
            if row.get(3)? {
                entry.kept.push(edit.file.clone());
            }
            entry.edits.push(edit);
        }
        Ok(Some(entry))
    }

    /// Entries of this store that wait to be confirmed, newest first.
    pub fn unconfirmed(&self) -> Result<Vec<Entry>> {
        Ok(self.entries()?.into_iter().filter(Entry::is_unconfirmed).collect())
    }

    /// The same of all other stores, each with the store's name, and what a dead app left in the middle there.
    pub fn unconfirmed_elsewhere(&self) -> Result<Vec<(String, Entry)>> {
        let sql = "SELECT id, folder FROM entry WHERE folder <> ? AND confirm_until IS NOT NULL
                   AND state IN ('applying', 'applied', 'undoing', 'stuck') ORDER BY id DESC";
        let mut statement = self.database.prepare(sql)?;
        let found = statement.query_map([&self.store], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })?;
        let mut all = Vec::new();
        for found in found {
            let (id, store) = found?;
            all.extend(self.entry_of(id, &store)?.map(|entry| (store, entry)));
        }
        Ok(all)
    }

    /// Somebody keeps the entry.
    pub fn confirmed(&self, id: i64) -> Result<()> {
        let sql = "UPDATE entry SET confirm_until = NULL WHERE id = ?";
        self.database.execute(sql, [id])?;
        Ok(())
    }

    /// Its time is up.
    pub fn overdue(&self, id: i64, now: OffsetDateTime) -> Result<()> {
        let sql = "UPDATE entry SET confirm_until = ? WHERE id = ?";
        self.database.execute(sql, params![milliseconds(now), id])?;
        Ok(())
    }

    /// The entry waits for an answer, and for no deadline.
    pub fn asks(&self, id: i64) -> Result<()> {
        let sql = "UPDATE entry SET confirm_counts = 0 WHERE id = ?";
        self.database.execute(sql, [id])?;
        Ok(())
    }
}

fn milliseconds(at: OffsetDateTime) -> i64 {
    at.unix_timestamp() * 1000 + i64::from(at.millisecond())
}

fn moment(milliseconds: i64) -> OffsetDateTime {
    let nanoseconds = i128::from(milliseconds) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn afterwards(afterwards: Afterwards) -> &'static str {
    match afterwards {
        Afterwards::Revert => "revert",
        Afterwards::Ask => "ask",
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::new("journal", format!("The journal cannot be read or written: {error}"))
            .hint("Is the disk full, or the app's data folder read-only?")
    }
}
