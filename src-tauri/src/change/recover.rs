//! At the start, or when a place is opened again: what a dead app left in the middle is brought to one side.

use super::{
    Store, confirm,
    journal::{Entry, Journal, State},
    standing::left,
    write::FileEdit,
};
use crate::fault::Result;

impl Journal {
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
            told.push(match self.finish(store, &entry, &edits, done) {
                Ok(sentence) => sentence,
                Err(fault) => {
                    self.set(entry.id, State::Stuck)?;
                    let title = &entry.title;
                    format!("\"{title}\" was cut short, and cannot be completed: {}", fault.message)
                }
            });
        }
        told.extend(confirm::leftovers(self, store)?);
        Ok(told)
    }

    fn finish(&self, store: &dyn Store, entry: &Entry, edits: &[FileEdit], done: State) -> Result<String> {
        let (open, foreign) = left(store, edits)?;
        let title = &entry.title;
        if !foreign.is_empty() {
            self.set(entry.id, State::Stuck)?;
            return Ok(format!(
                "\"{title}\" was cut short, and {} changed since: nothing was touched. Changes shows what each holds.",
                foreign.join(", ")
            ));
        }
        // Taking back what nobody confirmed was agreed to before.
        let agreed = entry.confirm.is_some() && done == State::Undone;
        if let Some(reason) = store.locked().filter(|_| !open.is_empty() && !agreed) {
            self.set(entry.id, State::Stuck)?;
            let files: Vec<&str> = open.iter().map(|edit| edit.file.as_str()).collect();
            return Ok(format!(
                "\"{title}\" was cut short: {} was not written. {reason} Then finish it in Changes, or go back.",
                files.join(", ")
            ));
        }
        let stored = if agreed {
            store.write_back(&open)?
        } else {
            store.write_all(&open)?
        };
        if done == State::Applied {
            self.stored(entry.id, &stored.files)?;
        }
        self.tell(entry.id, &stored.warnings)?;
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
