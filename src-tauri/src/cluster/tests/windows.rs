//! A cluster in a window of its own, beside a folder.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use egret_tests::mesh::eventually;

use super::{api, entry, namespace};
use crate::{
    app::{App, Opened, Source},
    desk::{Desk, Places},
    dto::{ContextRow, DraftKind, Edit, InWindow},
    events::Event,
};

/// An app with its data below `root` whose window has the cluster of `kubeconfig` open.
pub fn started(root: &Path, kubeconfig: &Path) -> (Arc<Desk>, Arc<App>) {
    started_telling(root, kubeconfig, |_, _| {})
}

/// The same; `tell` gets what its windows are told.
pub fn started_telling(
    root: &Path,
    kubeconfig: &Path,
    tell: impl Fn(&str, Event) + Send + Sync + 'static,
) -> (Arc<Desk>, Arc<App>) {
    let (folder, data) = (root.join("folder"), root.join("data"));
    std::fs::create_dir_all(&folder).unwrap();
    let places = Places {
        folder: Some(folder),
        resources: None,
        data,
    };
    let (desk, app) = Desk::open(places, tell).unwrap();
    let file = app.shared.kubeconfigs.add(kubeconfig).unwrap();
    let name = row(&app, &file).name;
    let opened = app.open(&Source::Context { file, name }).unwrap();
    assert!(matches!(opened, Opened::Here(_)), "{opened:?}");
    (desk, app)
}

fn put(namespace: &str) -> Edit {
    Edit::Put {
        object: DraftKind::ServiceEntry,
        namespace: namespace.into(),
        name: "a".into(),
        yaml: entry(namespace, "a", "a.com"),
        base: None,
    }
}

fn row(app: &App, file: &str) -> ContextRow {
    let listed = app.kubeconfigs().into_iter().find(|listed| listed.id == file);
    listed.unwrap().contexts.remove(0)
}

#[test]
fn a_context_opens_in_a_window_of_its_own_and_its_connection_ends_with_it() {
    let Some(api) = api("a_context_opens_in_a_window_of_its_own") else {
        return;
    };
    namespace(api, "beside");
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let places = Places {
        folder: Some(folder),
        resources: None,
        data: root.path().join("data"),
    };
    let told: Arc<Mutex<Vec<(String, &str)>>> = Arc::default();
    let heard = told.clone();
    let tell = move |window: &str, event: Event| {
        heard.lock().unwrap().push((window.to_string(), event.name()));
    };
    let (desk, first) = Desk::open(places, tell).unwrap();
    let was_told = |window: &str, event| told.lock().unwrap().contains(&(window.to_string(), event));
    let file = first.shared.kubeconfigs.add(&api.kubeconfig()).unwrap();
    let name = row(&first, &file).name;
    let context = Source::Context {
        file: file.clone(),
        name,
    };
    let Opened::New(second) = desk.turn(&first, &context, InWindow::New).unwrap() else {
        panic!("nobody has it");
    };

    // The steps are shown where it was asked for; from then on the cluster is the second window's.
    assert!(was_told("main-1", "connecting-changed") && !was_told("main-2", "connecting-changed"));
    assert!(first.cluster().is_err() && first.connecting().is_none());
    let (here, there) = (row(&second, &file), row(&first, &file));
    assert_eq!((here.open, here.elsewhere), (true, false));
    assert_eq!((there.open, there.elsewhere), (false, true));
    for window in [InWindow::This, InWindow::New] {
        let opened = desk.turn(&first, &context, window).unwrap();
        assert!(
            matches!(&opened, Opened::Elsewhere(window) if window == "main-2"),
            "{opened:?}"
        );
    }
    assert!(
        matches!(desk.turn(&second, &context, InWindow::This).unwrap(), Opened::Here(_)),
        "to reconnect"
    );

    // Editing is switched on for one window, and so is what is told of it.
    told.lock().unwrap().clear();
    second.set_editing(true).unwrap();
    second.changes.stage(&second.view(), put("beside")).unwrap();
    second.apply(None).unwrap();
    eventually("the second window to see its object", || {
        second
            .view()
            .world()
            .service_entries
            .iter()
            .any(|entry| &*entry.meta.namespace == "beside")
            .then_some(())
    });
    second.undo(None).unwrap();
    assert!(was_told("main-2", "source-changed") && was_told("main-2", "staged-changed"));
    assert!(!told.lock().unwrap().iter().any(|(window, _)| window == "main-1"));

    // Closed, it leaves the context, and no mirror.
    let mirror = second.view().folder.clone();
    assert!(mirror.exists());
    drop(second);
    assert!(!desk.close("main-2"));
    eventually("the connection to end", || (!mirror.exists()).then_some(()));
    assert!(!row(&first, &file).elsewhere);
    assert!(matches!(
        desk.turn(&first, &context, InWindow::This).unwrap(),
        Opened::Here(_)
    ));
    assert!(!first.view().state().cluster.unwrap().editing, "it is read-only again");
    desk.end();
}
