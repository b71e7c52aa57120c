//! An apply that was cut short by the app's end: what the next start makes of it.

use std::path::PathBuf;

use super::Bench;
use crate::{
    change::{FileEdit, Journal, Store, Stored, journal::State, write},
    dto::ImpactCounts,
    fault::Result,
};

/// The state of things when the app is killed after `written` of two files.
fn killed(written: usize, foreign: bool) -> (Bench, Vec<FileEdit>, Vec<String>) {
    let bench = Bench::new();
    let edits: Vec<FileEdit> = ["mesh.yaml", "injector.yaml"]
        .iter()
        .map(|file| FileEdit {
            file: (*file).into(),
            before: Some(bench.text(file).into_bytes()),
            after: Some(format!("{}# new\n", bench.text(file)).into_bytes()),
        })
        .collect();
    let mut journal = Journal::open(&bench.database, &bench.folder).unwrap();
    journal
        .begin("two files", "now", ImpactCounts::default(), &edits, None)
        .unwrap();
    write::write_all(&bench.folder, &edits[..written]).unwrap();
    if foreign {
        bench.write("injector.yaml", "kind: Other\n");
    }
    drop(journal);
    let journal = Journal::open(&bench.database, &bench.folder).unwrap();
    let told = journal.recover(&bench.folder).unwrap();
    (bench, edits, told)
}

#[test]
fn an_apply_cut_short_is_completed_at_the_next_start() {
    for written in 0..=2 {
        let (bench, edits, told) = killed(written, false);
        assert_eq!(told.len(), 1, "the next start says so");
        write::verify(&bench.folder, &edits).unwrap();
        let journal = Journal::open(&bench.database, &bench.folder).unwrap();
        assert_eq!(journal.entries().unwrap()[0].state, State::Applied);
        assert!(journal.recover(&bench.folder).unwrap().is_empty(), "only once");
    }
}

/// A store that can be read and not be written.
#[derive(Debug)]
struct Locked(PathBuf);

impl Store for Locked {
    fn name(&self) -> String {
        Store::name(&self.0)
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        self.0.read(file)
    }

    fn write_all(&self, _: &[FileEdit]) -> Result<Stored> {
        panic!("it is locked");
    }

    fn locked(&self) -> Option<String> {
        Some("Editing is switched off.".into())
    }
}

#[test]
fn an_apply_cut_short_is_told_and_not_completed_where_nothing_can_be_written() {
    let bench = Bench::new();
    let before = bench.text("mesh.yaml").into_bytes();
    let edit = FileEdit {
        file: "mesh.yaml".into(),
        before: Some(before.clone()),
        after: Some(b"kind: Other\n".to_vec()),
    };
    let mut journal = Journal::open(&bench.database, &bench.folder).unwrap();
    journal
        .begin("one file", "now", ImpactCounts::default(), &[edit], None)
        .unwrap();
    let told = journal.recover(&Locked(bench.folder.clone())).unwrap();
    assert!(told[0].contains("mesh.yaml was not written"), "{told:?}");
    assert_eq!(bench.text("mesh.yaml").into_bytes(), before);
}

#[test]
fn an_apply_cut_short_touches_nothing_when_another_hand_was_there() {
    let (bench, edits, told) = killed(1, true);
    assert!(told[0].contains("injector.yaml"), "{told:?}");
    assert_eq!(bench.text("injector.yaml"), "kind: Other\n");
    assert_eq!(bench.text("mesh.yaml").into_bytes(), edits[0].after.clone().unwrap());
}
