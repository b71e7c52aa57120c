//! Everything that Egret left in a place, and the change set that takes it away: by the journal, which knows the text of
//! before, and by the mark on objects that Egret made, wherever that was.

use std::{collections::BTreeMap, sync::Arc};

use proxy_core::model::{Meta, Object, Place, World};

use super::{
    journal::{Entry, State},
    proposal::Base,
    stage::Changes,
    store::Store,
    write::FileEdit,
};
use crate::{
    cluster::MADE_BY,
    dto::{CleanupRow, Edit, StagedEdit},
    fault::{Fault, Result},
    session::View,
};

/// A file as the oldest change found it and as the newest one left it.
struct Span {
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    titles: Vec<String>,
}

impl Changes {
    /// What Egret left, file by file.
    pub fn leftovers(&self, view: &View) -> Result<Vec<CleanupRow>> {
        let entries = self.journal().entries()?;
        let spans = spans(&entries);
        let mut rows = Vec::new();
        for (file, span) in &spans {
            rows.extend(row(&*view.store, file, span)?);
        }
        // A file of a folder may hold other objects beside a marked one; one of a cluster is one object.
        let marked = match view.origin.cluster() {
            Some(_) => marked(view.world()),
            None => Vec::new(),
        };
        for (meta, place) in marked {
            if !spans.contains_key(&*place.file) {
                rows.push(CleanupRow {
                    file: place.file.to_string(),
                    removes: true,
                    because: vec![format!("{}/{} was made by Egret elsewhere", meta.namespace, meta.name)],
                    kept_because: None,
                });
            }
        }
        Ok(rows)
    }

    /// Stages the way back of `files`, which are among the leftovers.
    pub fn stage_cleanup(&self, view: &View, files: &[String]) -> Result<Vec<StagedEdit>> {
        let leftovers = self.leftovers(view)?;
        let entries = self.journal().entries()?;
        let spans = spans(&entries);
        let restore = |file: &String| {
            let row = leftovers.iter().find(|row| row.file == *file);
            let row = row.ok_or_else(|| Fault::input(format!("Egret left nothing in {file}.")))?;
            if let Some(reason) = &row.kept_because {
                return Err(Fault::new("kept", format!("{file} stays: {reason}")));
            }
            let before = spans.get(file).and_then(|span| span.before.clone());
            let text = before.map(String::from_utf8).transpose();
            let text = text.map_err(|_| Fault::new("syntax", format!("What {file} held before is not UTF-8.")))?;
            Ok(Edit::Restore {
                file: file.clone(),
                text,
            })
        };
        self.stage_together(view, files.iter().map(restore).collect::<Result<_>>()?, &Base::new())
    }
}

/// Of each file, what the changes that still hold did to it as a whole.
fn spans(entries: &[Entry]) -> BTreeMap<String, Span> {
    let mut spans: BTreeMap<String, Span> = BTreeMap::new();
    for entry in entries.iter().rev() {
        let holds = |edit: &&FileEdit| entry.state == State::Applied || entry.kept.contains(&edit.file);
        for edit in entry.edits.iter().filter(holds) {
            let span = spans.entry(edit.file.clone()).or_insert_with(|| Span {
                before: edit.before.clone(),
                after: None,
                titles: Vec::new(),
            });
            span.after.clone_from(&edit.after);
            span.titles.push(entry.title.clone());
        }
    }
    spans
}

/// `None` where the file is what it was before Egret.
fn row(store: &dyn Store, file: &str, span: &Span) -> Result<Option<CleanupRow>> {
    let now = store.read(file)?;
    Ok((now != span.before).then(|| CleanupRow {
        file: file.to_string(),
        removes: span.before.is_none(),
        because: span.titles.clone(),
        kept_because: (now != span.after)
            .then(|| "another hand changed it since; going back would lose that".to_string()),
    }))
}

/// Objects that carry Egret's mark.
fn marked(world: &World) -> Vec<(&Meta, &Place)> {
    fn of<T>(objects: &[Arc<Object<T>>]) -> impl Iterator<Item = (&Meta, &Place)> {
        let (key, value) = MADE_BY;
        let own = objects
            .iter()
            .filter(move |object| object.meta.labels.get(key).is_some_and(|by| by == value));
        own.map(|object| (&object.meta, &object.place))
    }
    of(&world.service_entries)
        .chain(of(&world.virtual_services))
        .chain(of(&world.destination_rules))
        .chain(of(&world.sidecars))
        .chain(of(&world.telemetries))
        .collect()
}
