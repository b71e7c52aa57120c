//! Windows beside each other, each on a copy of the playground.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{Desk, Places};
use crate::{
    app::{App, Opened, Source, left_by_a_killed_app},
    dto::{Afterwards, Countdown, Edit, InWindow, Mode},
};

/// Longest that a window may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// What each window was told of.
type Told = Arc<Mutex<Vec<(String, &'static str)>>>;

struct Bench {
    root: tempfile::TempDir,
    desk: Arc<Desk>,
    first: Arc<App>,
    told: Told,
}

impl Bench {
    /// A desk whose first window has the folder `a`; `b` and `c` are there too.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy-core/examples/playground");
        for name in ["a", "b", "c"] {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            for entry in fs::read_dir(&bundle).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        let told = Told::default();
        let (desk, first) = desk(root.path(), root.path().join("data"), told.clone());
        Self {
            root,
            desk,
            first,
            told,
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(name).canonicalize().unwrap()
    }

    fn open(&self, caller: &App, name: &str, window: InWindow) -> Opened {
        let source = Source::Folder(self.folder(name));
        self.desk.turn(caller, &source, window).unwrap()
    }

    fn new_window(&self, name: &str) -> Arc<App> {
        match self.open(&self.first, name, InWindow::New) {
            Opened::New(app) => app,
            other => panic!("{name} opens in no window of its own: {other:?}"),
        }
    }

    fn bytes(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.folder(name)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

fn desk(root: &Path, data: PathBuf, told: Told) -> (Arc<Desk>, Arc<App>) {
    let places = Places {
        folder: Some(root.join("a")),
        resources: None,
        data,
    };
    let tell = move |window: &str, event: crate::events::Event| {
        told.lock().unwrap().push((window.to_string(), event.name()));
    };
    Desk::open(places, tell).unwrap()
}

fn stage(app: &App) {
    let edit = Edit::Mode {
        scope: "mesh".into(),
        mode: Mode::RegistryOnly,
    };
    app.changes.stage(&app.view(), edit).unwrap();
}

/// Applies the mode, to be kept within an hour.
fn apply(app: &App, afterwards: Afterwards) -> i64 {
    stage(app);
    let countdown = Countdown {
        seconds: 3600,
        afterwards,
    };
    app.apply(Some(&countdown)).unwrap().id
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn each_window_stages_and_hears_for_itself() {
    let bench = Bench::new();
    let second = bench.new_window("b");
    assert_eq!((&*bench.first.window, &*second.window), ("main-1", "main-2"));
    assert!(bench.desk.app("main-2").is_ok_and(|app| Arc::ptr_eq(&app, &second)));
    bench.told.lock().unwrap().clear();
    stage(&second);
    assert_eq!(
        (bench.first.changes.staged().len(), second.changes.staged().len()),
        (0, 1)
    );
    let before = bench.bytes("a");
    second.apply(None).unwrap();
    assert_eq!(bench.bytes("a"), before);
    assert!(
        bench
            .first
            .changes
            .entries(&*bench.first.view().store)
            .unwrap()
            .is_empty()
    );
    // The folder's own watch tells of it too.
    let told = |window: &str, event| bench.told.lock().unwrap().contains(&(window.to_string(), event));
    eventually("the second window is told of its folder", || {
        told("main-2", "source-changed")
    });
    assert!(told("main-2", "staged-changed") && told("main-2", "journal-changed"));
    let told = bench.told.lock().unwrap();
    assert!(told.iter().all(|(window, _)| window == "main-2"), "{told:?}");
}

#[test]
fn a_source_that_a_window_has_is_opened_in_no_other_one() {
    let bench = Bench::new();
    let second = bench.new_window("b");
    let elsewhere = |opened: Opened| match opened {
        Opened::Elsewhere(window) => window,
        other => panic!("opened twice: {other:?}"),
    };
    assert_eq!(elsewhere(bench.open(&bench.first, "b", InWindow::New)), "main-2");
    assert_eq!(elsewhere(bench.open(&bench.first, "b", InWindow::This)), "main-2");
    assert_eq!(elsewhere(bench.open(&second, "b", InWindow::New)), "main-2");
    assert_eq!(bench.first.view().folder, bench.folder("a"), "and what was open stays");
    // Its own folder may be opened anew, and a place that was left is free.
    assert!(matches!(bench.open(&second, "b", InWindow::This), Opened::Here(_)));
    assert_eq!(elsewhere(bench.open(&bench.first, "b", InWindow::This)), "main-2");
    assert!(matches!(bench.open(&second, "c", InWindow::This), Opened::Here(_)));
    assert!(matches!(bench.open(&bench.first, "b", InWindow::This), Opened::Here(_)));
    assert_eq!(elsewhere(bench.open(&bench.first, "c", InWindow::This)), "main-2");
}

#[test]
fn a_window_that_closes_takes_back_what_nobody_kept_and_the_others_stay() {
    let bench = Bench::new();
    let (before, second) = (bench.bytes("b"), bench.new_window("b"));
    apply(&second, Afterwards::Revert);
    stage(&bench.first);
    assert!(!bench.desk.close("main-2"), "the first is still open");
    // Opening waits until the closing window has left the place.
    let third = bench.new_window("b");
    assert_eq!(bench.bytes("b"), before);
    assert_eq!(third.window, "main-3");
    let journal = third.changes.entries(&*third.view().store).unwrap();
    assert!(journal[0].reverted, "by the window that closed: {journal:?}");
    assert!(third.changes.recovered().is_empty());
    assert_eq!(bench.first.changes.staged().len(), 1);
    // What a closed window still wants is not done.
    assert_eq!(second.undo(None).unwrap_err().code, "closed");
    let again = bench
        .desk
        .turn(&second, &Source::Folder(bench.folder("c")), InWindow::This);
    assert_eq!(again.unwrap_err().code, "closed");
    let parts = Arc::downgrade(&second);
    drop(second);
    eventually("nothing is left of it", || parts.strong_count() == 0);
    assert!(bench.desk.app("main-2").is_err());
    assert!(!bench.desk.close("main-3"));
    assert!(bench.desk.close("main-1"), "the last one");
    bench.desk.end();
    assert_eq!(Arc::strong_count(&bench.desk), 1, "every window is at its end");
}

#[test]
fn the_end_of_the_app_is_the_end_of_each_window() {
    let bench = Bench::new();
    let (a, b, second) = (bench.bytes("a"), bench.bytes("b"), bench.new_window("b"));
    apply(&bench.first, Afterwards::Revert);
    apply(&second, Afterwards::Revert);
    assert_ne!((bench.bytes("a"), bench.bytes("b")), (a.clone(), b.clone()));
    bench.desk.end();
    assert_eq!((bench.bytes("a"), bench.bytes("b")), (a, b));
}

#[test]
fn a_change_that_waits_in_one_window_is_neither_told_nor_taken_back_by_another() {
    let bench = Bench::new();
    let second = bench.new_window("b");
    let id = apply(&second, Afterwards::Revert);
    let applied = bench.bytes("b");
    assert!(bench.first.unconfirmed().unwrap().is_empty());
    bench.first.revert_elsewhere().unwrap();
    let third = bench.new_window("c");
    assert!(third.unconfirmed().unwrap().is_empty());
    assert_eq!(bench.bytes("b"), applied);
    let waiting = second.unconfirmed().unwrap();
    assert!(
        waiting.len() == 1 && waiting[0].here && waiting[0].until.is_some(),
        "{waiting:?}"
    );
    second.changes.keep(id).unwrap();

    // One that is to be asked about waits after its window has closed, and then the others say so.
    second.undo(Some(id)).unwrap();
    apply(&second, Afterwards::Ask);
    bench.told.lock().unwrap().clear();
    bench.desk.close("main-2");
    eventually("the first window says what waits in b", || {
        let waiting = bench.first.unconfirmed().unwrap();
        waiting
            .iter()
            .any(|change| !change.here && change.place.ends_with("/b"))
    });
    eventually("and was told that there is news", || {
        let told = bench.told.lock().unwrap();
        told.contains(&("main-1".to_string(), "journal-changed"))
    });
    assert_eq!(bench.bytes("b"), applied, "it is not taken back unasked");
}

#[test]
fn what_a_killed_app_left_is_taken_back_once_whether_a_window_has_the_place_or_none() {
    let bench = Bench::new();
    let (b, c) = (bench.bytes("b"), bench.bytes("c"));
    let (second, third) = (bench.new_window("b"), bench.new_window("c"));
    apply(&second, Afterwards::Revert);
    apply(&third, Afterwards::Revert);
    drop((second, third));
    let (root, told) = (bench.root.path().to_path_buf(), bench.told.clone());
    // Killed: nothing of its end runs.
    let bench = std::mem::ManuallyDrop::new(bench);

    let left = left_by_a_killed_app(&root.join("data"));
    let (desk, first) = desk(&root, left, told);
    let source = Source::Folder(bench.folder("b"));
    let Opened::New(second) = desk.turn(&first, &source, InWindow::New).unwrap() else {
        panic!("nobody has it");
    };
    assert_eq!(bench.bytes("b"), b, "by then at the latest");
    eventually("nobody has the other one", || bench.bytes("c") == c);
    let reverted = |app: &App| app.changes.entries(&*app.view().store).unwrap()[0].reverted;
    assert!(reverted(&second));
    eventually("each is told in one sentence", || {
        let told = [first.changes.recovered(), second.changes.recovered()].concat();
        told.len() == 2 && told.iter().all(|told| told.contains("was taken back"))
    });
    assert!(first.unconfirmed().unwrap().is_empty());
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn a_place_is_not_opened_beside_what_is_written_and_never_by_a_second_desk() {
    let bench = Bench::new();
    let (order_tx, order_rx) = mpsc::channel();
    thread::scope(|scope| {
        bench
            .first
            .while_open(|| {
                let (opened_tx, bench) = (order_tx.clone(), &bench);
                let opening = scope.spawn(move || {
                    bench.open(&bench.first, "a", InWindow::This);
                    opened_tx.send("opened").unwrap();
                });
                // What does not wait has opened it long before.
                let until = Instant::now() + Duration::from_secs(2);
                while !opening.is_finished() && Instant::now() < until {
                    thread::sleep(Duration::from_millis(10));
                }
                order_tx.send("written").unwrap();
                Ok(())
            })
            .unwrap();
    });
    assert_eq!(order_rx.iter().next(), Some("written"));

    let places = Places {
        folder: Some(bench.folder("b")),
        resources: None,
        data: bench.root.path().join("data"),
    };
    let second = Desk::open(places, |_, _| {}).map(drop);
    assert_eq!(second.unwrap_err().code, "running");
}

#[test]
fn windows_that_apply_and_undo_at_the_same_time_keep_one_journal_each() {
    let bench = Bench::new();
    let windows = [bench.first.clone(), bench.new_window("b"), bench.new_window("c")];
    let before = ["a", "b", "c"].map(|name| bench.bytes(name));
    thread::scope(|scope| {
        for app in &windows {
            scope.spawn(move || {
                for _ in 0..10 {
                    stage(app);
                    let entry = app.apply(None).unwrap();
                    app.undo(Some(entry.id)).unwrap();
                }
            });
        }
    });
    for app in &windows {
        let entries = app.changes.entries(&*app.view().store).unwrap();
        assert_eq!(
            entries.iter().filter(|entry| entry.undone).count(),
            10,
            "{}",
            app.window
        );
    }
    assert_eq!(["a", "b", "c"].map(|name| bench.bytes(name)), before);
}

#[test]
fn a_window_that_turns_to_another_source_is_told_that_its_flows_are_gone() {
    let bench = Bench::new();
    bench.told.lock().unwrap().clear();
    assert!(matches!(bench.open(&bench.first, "b", InWindow::This), Opened::Here(_)));
    let told = bench.told.lock().unwrap();
    assert!(told.contains(&("main-1".into(), "flows-added")), "{told:?}");
}
