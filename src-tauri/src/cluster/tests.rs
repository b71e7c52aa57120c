//! A cluster from its contexts to a change that is applied and taken back, on a real API server.
//!
//! Where none can be had the tests say so on standard error and pass; with `EGRET_REQUIRE_MESH` set they fail instead.

mod access_log;
mod accounts;
mod anew;
mod connect;
pub mod cut;
mod cut_short;
pub mod deployed;
mod deploying;
mod elsewhere;
mod expiry;
mod flood;
mod follow;
mod lost;
mod parts;
mod pods;
mod probe;
mod reach;
mod refused;
mod registry;
mod revisions;
mod rights;
mod scale;
mod sight;
mod ways;
pub mod windows;
mod writes;

use std::{
    cell::RefCell,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use egret_tests::mesh::{Api, NotUp, Shared, eventually};
use proxy_core::{model::OutboundMode, source::Folder};

use super::{Attempt, Cluster, Feature, Kubeconfigs, Target};
use crate::{
    change::{Changes, Journal, Store},
    dto::{DraftKind, Edit, Mode},
    events::Events,
    session::{Origin, View},
    traffic::Traffic,
};
use accounts::{account, kubeconfig_of};
use cut::Cut;

static API: LazyLock<Shared<Api>> = LazyLock::new(|| Shared::new(Api::up));

/// Held for reading by every test that uses it, and for writing by one that stops it.
static TURN: RwLock<()> = RwLock::new(());

thread_local! {
    /// Let go when the test's thread ends.
    static TAKEN: RefCell<Option<RwLockReadGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// The API server; none, which is said, where none can be had.
pub fn api(test: &str) -> Option<&'static Api> {
    TAKEN.with_borrow_mut(|taken| {
        taken.get_or_insert_with(|| TURN.read().unwrap_or_else(PoisonError::into_inner));
    });
    match API.get() {
        Ok(api) => Some(api),
        Err(NotUp::Lacking(reason)) => {
            // Not through the test's captured output: a skipped test must be seen.
            let _ = writeln!(std::io::stderr(), "skipped {test}: {reason}");
            None
        }
        Err(NotUp::Failed(reason)) => panic!("{reason}"),
    }
}

/// Waits until no other test uses the API server, and keeps it from all others.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    TAKEN.take();
    TURN.write().unwrap_or_else(PoisonError::into_inner)
}

/// One connection with a change set and a journal of its own.
pub struct Bench {
    _root: tempfile::TempDir,
    pub cluster: Arc<Cluster>,
    changes: Changes,
    traffic: Traffic,
}

impl Bench {
    pub fn open(kubeconfig: PathBuf) -> Self {
        let root = tempfile::tempdir().unwrap();
        let target = target(&kubeconfig, root.path());
        let cluster = Cluster::open(&target, &root.path().join("mirror"), || {}, &Attempt::default()).unwrap();
        let journal = Journal::open(&root.path().join("journal.sqlite"), &*cluster).unwrap();
        Self {
            changes: Changes::new(journal, Vec::new(), Events::new(|_| {})),
            _root: root,
            cluster,
            traffic: Traffic::default(),
        }
    }

    pub fn view(&self) -> View {
        let reading = Folder::open(self.cluster.folder()).unwrap().reading();
        assert_eq!(reading.errors, [], "the model reads what the API server gives");
        View::of(Origin::Cluster(self.cluster.clone()), reading, 1)
    }

    fn hosts(&self, namespace: &str) -> Vec<String> {
        let view = self.view();
        let own = view
            .world()
            .service_entries
            .iter()
            .filter(|entry| &*entry.meta.namespace == namespace);
        own.flat_map(|entry| entry.spec.hosts.iter().map(ToString::to_string))
            .collect()
    }

    pub fn waits_for(&self, namespace: &str, hosts: &[&str]) {
        eventually(&format!("{hosts:?} in {namespace}"), || {
            (self.hosts(namespace) == hosts).then_some(())
        });
    }

    /// As a form does that has just been opened.
    fn put(&self, namespace: &str, name: &str, yaml: &str) {
        let seen = self.cluster.read(&format!("ServiceEntry/{namespace}.{name}.yaml"));
        let edit = Edit::Put {
            object: DraftKind::ServiceEntry,
            namespace: namespace.into(),
            name: name.into(),
            yaml: yaml.into(),
            base: seen.unwrap().map(|text| String::from_utf8(text).unwrap()),
        };
        self.changes.stage(&self.view(), edit).unwrap();
    }
}

/// The first context of a kubeconfig, its program allowed.
fn target(kubeconfig: &Path, data: &Path) -> Target {
    let own = Kubeconfigs::open(data);
    let id = own.add(kubeconfig).unwrap();
    let name = own.list().remove(1).contexts.unwrap().remove(0).0.name;
    let target = own.target(&id, &name).unwrap();
    target.allow_as_shown();
    target
}

pub fn entry(namespace: &str, name: &str, host: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: {name}\n  namespace: {namespace}\n\
         spec:\n  hosts:\n  - {host}\n  ports:\n  - name: http\n    number: 80\n    protocol: HTTP\n  resolution: DNS\n"
    )
}

/// What the pods of a Deployment name as their owner.
pub fn uid_of(api: &Api, namespace: &str, deployment: &str) -> String {
    let path = "jsonpath={.metadata.uid}";
    api.text(&["get", "deployment", deployment, "-n", namespace, "-o", path])
}

pub fn namespace(api: &Api, name: &str) {
    api.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"
    ));
}

#[test]
fn a_cluster_reads_as_a_folder_does_and_follows_what_changes() {
    let Some(api) = api("a_cluster_reads_as_a_folder_does") else {
        return;
    };
    namespace(api, "read");
    api.apply(&entry("read", "a", "a.com"));
    let bench = Bench::open(api.kubeconfig());
    assert_eq!(bench.hosts("read"), ["a.com"]);
    assert!(bench.cluster.version.starts_with("v1.") && bench.cluster.lost().is_none());
    let view = bench.view();
    let found = view
        .world()
        .service_entries
        .iter()
        .find(|entry| &*entry.meta.namespace == "read")
        .unwrap();
    assert_eq!(&*found.place.file, "ServiceEntry/read.a.yaml");
    assert!(found.meta.created.is_some(), "age decides between entries of one host");

    api.apply(&entry("read", "a", "b.com"));
    bench.waits_for("read", &["b.com"]);
    api.apply(&entry("read", "z", "z.com"));
    bench.waits_for("read", &["b.com", "z.com"]);
    api.text(&["delete", "serviceentry", "a", "z", "-n", "read"]);
    bench.waits_for("read", &[]);
    let mirror = bench.cluster.folder().to_path_buf();
    drop((view, bench));
    eventually("the mirror to go with the connection", || {
        (!mirror.exists()).then_some(())
    });
}

#[test]
fn a_change_set_is_tried_by_the_api_server_applied_and_taken_back() {
    let Some(api) = api("a_change_set_is_tried") else {
        return;
    };
    namespace(api, "write");
    let bench = Bench::open(api.kubeconfig());
    bench.put("write", "a", &entry("write", "a", "a.com"));
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(!review.applicable);
    assert!(review.blocked_because.unwrap().contains("switched off"));
    assert_eq!(
        bench
            .changes
            .apply(&bench.view(), &bench.traffic, None)
            .unwrap_err()
            .code,
        "read-only"
    );
    assert_eq!(bench.hosts("write"), Vec::<String>::new(), "a review writes nothing");

    bench.cluster.set_editing(true);
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert_eq!((review.applicable, review.blocked_because), (true, None));
    let diff = format!("{:?}", review.diffs);
    assert!(
        diff.contains("app.kubernetes.io/managed-by: egret"),
        "as the server would store it: {diff}"
    );
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(bench.hosts("write"), ["a.com"], "at once, before any watch tells");
    let managers = [
        "get",
        "serviceentry",
        "a",
        "-n",
        "write",
        "-o",
        "jsonpath={.metadata.managedFields[*].manager}",
    ];
    assert_eq!(api.text(&managers), "egret");

    // An object of another tool is changed too, and it is said whose fields are taken over.
    api.apply(&entry("write", "k", "k.com"));
    bench.waits_for("write", &["a.com", "k.com"]);
    let theirs = String::from_utf8(bench.cluster.read("ServiceEntry/write.k.yaml").unwrap().unwrap()).unwrap();
    bench.put(
        "write",
        "k",
        &theirs.replace("k.com", "other.com").replace("  resolution: DNS\n", ""),
    );
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(
        review.warnings.iter().any(|warning| warning.contains("kubectl")),
        "{:?}",
        review.warnings
    );
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let stored = api.text(&["get", "serviceentry", "k", "-n", "write", "-o", "jsonpath={.spec}"]);
    assert!(
        stored.contains("other.com") && !stored.contains("resolution"),
        "{stored}"
    );

    bench.changes.undo(&*bench.cluster, None).unwrap();
    assert_eq!(
        bench.cluster.read("ServiceEntry/write.k.yaml").unwrap().unwrap(),
        theirs.as_bytes()
    );
    bench.changes.undo(&*bench.cluster, None).unwrap();
    let left = api.text(&["get", "serviceentries", "-n", "write", "-o", "name"]);
    assert_eq!(left, "serviceentry.networking.istio.io/k\n");
}

#[test]
fn what_egret_made_is_found_by_its_mark_and_taken_away_whoever_made_it() {
    let Some(api) = api("what_egret_made_is_found") else {
        return;
    };
    namespace(api, "marked");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    bench.put("marked", "own", &entry("marked", "own", "own.com"));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    api.apply(&entry("marked", "theirs", "theirs.com"));
    // Another computer's journal knows nothing of what stands there.
    let elsewhere = Bench::open(api.kubeconfig());
    elsewhere.cluster.set_editing(true);
    for bench in [&elsewhere, &bench] {
        let left = bench.changes.leftovers(&bench.view()).unwrap();
        let own: Vec<_> = left.iter().filter(|row| row.file.contains("/marked.")).collect();
        assert!(
            own.len() == 1 && own[0].file == "ServiceEntry/marked.own.yaml" && own[0].removes,
            "{left:?}"
        );
    }
    let file = ["ServiceEntry/marked.own.yaml".to_string()];
    elsewhere.changes.stage_cleanup(&elsewhere.view(), &file).unwrap();
    elsewhere
        .changes
        .apply(&elsewhere.view(), &elsewhere.traffic, None)
        .unwrap();
    let left = api.text(&["get", "serviceentries", "-n", "marked", "-o", "name"]);
    assert_eq!(left, "serviceentry.networking.istio.io/theirs\n");
    bench.waits_for("marked", &["theirs.com"]);
    assert_eq!(
        bench
            .changes
            .leftovers(&bench.view())
            .unwrap()
            .iter()
            .filter(|row| row.file == file[0])
            .count(),
        0
    );
}

#[test]
fn what_changed_meanwhile_is_shown_and_never_overwritten() {
    let Some(api) = api("what_changed_meanwhile") else {
        return;
    };
    namespace(api, "meanwhile");
    api.apply(&entry("meanwhile", "a", "a.com"));
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let seen = String::from_utf8(bench.cluster.read("ServiceEntry/meanwhile.a.yaml").unwrap().unwrap()).unwrap();
    bench.put("meanwhile", "a", &seen.replace("a.com", "mine.com"));
    api.apply(&entry("meanwhile", "a", "theirs.com"));
    let fault = bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap_err();
    assert_eq!(fault.code, "conflict");
    bench.waits_for("meanwhile", &["theirs.com"]);
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    let conflict = &review.conflicts[0];
    assert!(
        conflict.base.contains("a.com") && conflict.mine.contains("mine.com") && conflict.theirs.contains("theirs.com")
    );
    let by = conflict.by.as_deref().unwrap();
    assert!(by.starts_with("kubectl"), "who changed it is named: {by}");
}

#[test]
fn the_mode_is_changed_in_its_config_map_and_every_other_line_stays() {
    let Some(api) = api("the_mode_is_changed") else { return };
    let mesh = "# owned by the platform team\noutboundTrafficPolicy:\n  mode: ALLOW_ANY # for now\naccessLogFile: /dev/stdout\n";
    let map = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system", "labels": {"app.kubernetes.io/managed-by": "Helm"}},
        "data": {"mesh": mesh, "meshNetworks": "networks: {}"}});
    api.apply(&map.to_string());
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let edit = Edit::Mode {
        scope: "mesh".into(),
        mode: Mode::RegistryOnly,
    };
    bench.changes.stage(&bench.view(), edit).unwrap();
    bench.cluster.set_editing(false);
    let locked = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    bench.cluster.set_editing(true);
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert_eq!(
        locked.owners, review.owners,
        "its own way is open to who may not write here too"
    );
    let owner = &review.owners[0];
    assert_eq!(
        (review.owners.len(), owner.file.as_str()),
        (1, "ConfigMap/istio-system.istio.yaml")
    );
    assert!(
        owner.tool.contains("Helm") && owner.text.as_deref().unwrap().starts_with("helm upgrade istiod"),
        "{owner:?}"
    );
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let text = || {
        api.text(&[
            "get",
            "configmap",
            "istio",
            "-n",
            "istio-system",
            "-o",
            "jsonpath={.data.mesh}",
        ])
    };
    assert_eq!(text(), mesh.replace("ALLOW_ANY", "REGISTRY_ONLY"));
    assert_eq!(
        bench.view().world().mesh_configs[0].spec.mode,
        OutboundMode::RegistryOnly
    );
    bench.changes.undo(&*bench.cluster, None).unwrap();
    assert_eq!(text(), mesh);
}

#[test]
fn who_may_only_read_is_told_so_and_changes_nothing() {
    let Some(api) = api("who_may_only_read") else { return };
    namespace(api, "viewer");
    let bench = Bench::open(api.user("viewer").kubeconfig());
    let writes = |bench: &Bench| {
        let rights = bench.cluster.rights();
        let all = rights
            .all()
            .filter(|(feature, reach)| feature.writes() && reach.everywhere);
        all.map(|(feature, _)| feature).collect::<Vec<_>>()
    };
    assert_eq!(writes(&bench), []);
    // Of a cluster with more namespaces than are asked about nobody knows; so it is where the other tests have made many.
    let unsure = bench.cluster.rights().reach(Feature::WriteServiceEntries).unsure;
    let refused = bench.cluster.require_any_change().map_err(|fault| fault.code);
    assert_eq!(refused, if unsure { Ok(()) } else { Err("forbidden".into()) });
    bench.cluster.set_editing(true);
    bench.put("viewer", "a", &entry("viewer", "a", "a.com"));
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(
        review
            .blocked_because
            .unwrap()
            .contains("needs create, patch serviceentries.networking.istio.io in viewer")
    );
    let editor = Bench::open(api.user("editor").kubeconfig());
    assert!(writes(&editor).contains(&Feature::WriteServiceEntries));
    assert!(editor.cluster.require_any_change().is_ok());
}

#[test]
fn a_context_that_leads_nowhere_says_what_is_wrong_and_nothing_secret() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let open = |server: &str, user: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\nusers: [{{name: u, user: \
             {user}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
        );
        std::fs::write(&kubeconfig, text).unwrap();
        let target = target(&kubeconfig, folder.path());
        Cluster::open(&target, &folder.path().join("mirror"), || {}, &Attempt::default()).unwrap_err()
    };
    let nobody = open("https://127.0.0.1:1", "{token: s3cret}");
    assert_eq!(nobody.code, "unreachable");
    let plugin = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, 'echo s3cret; exit 3'], \
                  env: [{name: TOKEN, value: s3cret}]}}";
    let failed = open("https://127.0.0.1:1", plugin);
    assert_eq!(failed.code, "credentials");
    for fault in [&nobody, &failed] {
        assert!(!format!("{fault:?}").contains("s3cret"), "{fault:?}");
    }
    assert!(!Path::new("mirror").exists());
}
