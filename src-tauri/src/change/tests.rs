//! The way from an edit to the files and back, on a copy of the playground.

mod access_log;
mod cleanup;
mod confirm;
mod cut_short;
mod failing;
mod fix;
mod forms;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use proxy_core::{record::FlowRecord, source::Folder};

use super::{
    Changes, Journal,
    write::{self, FileEdit},
};
use crate::{
    dto::{DraftKind, Edit, Keep, Mode, Verdict},
    events::Events,
    fault::Fault,
    session::View,
    traffic::Traffic,
};

const HTTPBIN: &str = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata:\n  name: httpbin\n  namespace: default\nspec:\n  hosts:\n  - httpbin.org\n  ports:\n  - number: 80\n    name: http\n    protocol: HTTP\n  resolution: DNS\n";

struct Bench {
    _root: tempfile::TempDir,
    folder: PathBuf,
    database: PathBuf,
    changes: Changes,
    traffic: Traffic,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("policy");
        fs::create_dir(&folder).unwrap();
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy-core/examples/playground");
        for entry in fs::read_dir(bundle).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        let database = root.path().join("journal.sqlite");
        let journal = Journal::open(&database, &folder).unwrap();
        Self {
            changes: Changes::new(journal, Vec::new(), Events::new(|_| {})),
            _root: root,
            folder,
            database,
            traffic: Traffic::default(),
        }
    }

    fn view(&self) -> View {
        View::new(&self.folder, Folder::open(&self.folder).unwrap().reading(), 1)
    }

    fn stage(&self, edit: Edit) {
        self.changes.stage(&self.view(), edit).unwrap();
    }

    fn bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(&self.folder).unwrap().map(Result::unwrap);
        entries
            .map(|entry| {
                (
                    entry.file_name().into_string().unwrap(),
                    fs::read(entry.path()).unwrap(),
                )
            })
            .collect()
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap();
    }
}

#[test]
fn what_is_staged_stays_when_the_same_source_is_opened_again_and_goes_with_another() {
    let (bench, other) = (Bench::new(), Bench::new());
    bench.stage(registry_only());
    bench.changes.turn_to(&bench.database, &bench.folder).unwrap();
    assert_eq!(bench.changes.staged().len(), 1);
    bench.changes.turn_to(&bench.database, &other.folder).unwrap();
    assert_eq!(bench.changes.staged(), []);
}

fn registry_only() -> Edit {
    Edit::Mode {
        scope: "mesh".into(),
        mode: Mode::RegistryOnly,
    }
}

fn put(name: &str, yaml: &str) -> Edit {
    Edit::Put {
        object: DraftKind::ServiceEntry,
        namespace: "default".into(),
        name: name.into(),
        yaml: yaml.into(),
        base: None,
    }
}

fn ranges(exclude: &str) -> Edit {
    Edit::Ranges {
        revision: String::new(),
        include_ranges: "*".into(),
        exclude_ranges: exclude.into(),
        include_ports: String::new(),
        exclude_ports: String::new(),
    }
}

pub fn flow(host: &str, address: &str, protocol: &str) -> FlowRecord {
    let http = protocol == "http";
    serde_json::from_value(serde_json::json!({
        "time": "2026-11-23T14:00:00.000Z",
        "workload": {"namespace": "default", "name": "sleep", "labels": {"app": "sleep"}},
        "source": "192.0.2.2:40000", "destination": address, "protocol": protocol,
        "host": http.then_some(host), "sni": (!http).then_some(host),
        "method": http.then_some("GET"), "path": http.then_some("/headers"),
        "verdict": "passthrough", "cluster": "PassthroughCluster", "route": null, "upstream": null,
        "status": if http { 200 } else { 0 }, "flags": "-", "details": "-", "bytes_sent": 1, "bytes_received": 1,
        "duration_ms": 1, "upstream_ms": null, "request_id": null, "policy_hash": "0", "line": ""
    }))
    .unwrap()
}

#[test]
fn staging_touches_no_file() {
    let bench = Bench::new();
    let before = bench.bytes();
    bench.stage(registry_only());
    bench.stage(put("httpbin", HTTPBIN));
    bench.stage(ranges("198.18.0.20/32"));
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(review.applicable, "{:?}", review.blocked_because);
    assert_eq!(review.diffs.len(), 3);
    assert_eq!(bench.bytes(), before);
}

#[test]
fn applying_changes_the_meant_lines_and_undo_restores_every_byte() {
    let bench = Bench::new();
    let before = bench.bytes();
    bench.stage(registry_only());
    bench.stage(put("httpbin", HTTPBIN));
    bench.stage(ranges("198.18.0.20/32"));
    let entry = bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert!(entry.undoable);
    assert_eq!(bench.text("httpbin.yaml"), HTTPBIN);
    let mesh = String::from_utf8(before["mesh.yaml"].clone()).unwrap();
    assert_eq!(
        bench.text("mesh.yaml"),
        mesh.replace("mode: ALLOW_ANY", "mode: REGISTRY_ONLY")
    );
    assert!(bench.changes.staged().is_empty());
    let undone = bench.changes.undo(&bench.folder, None).unwrap();
    assert!(undone.undone && !undone.undoable);
    assert_eq!(bench.bytes(), before, "no file more, none less, each byte the same");
    assert!(
        bench.changes.undo(&bench.folder, None).is_err(),
        "nothing is left to undo"
    );
}

#[test]
fn an_edit_of_the_same_thing_takes_the_place_of_the_earlier_one() {
    let bench = Bench::new();
    bench.stage(ranges("10.0.0.0/8"));
    bench.stage(ranges("10.1.0.0/16"));
    assert_eq!(bench.changes.staged().len(), 1);
    let id = bench.changes.staged()[0].id;
    assert!(bench.changes.unstage(&bench.view(), id).unwrap().is_empty());
}

#[test]
fn a_file_changed_on_disk_is_a_conflict_and_never_overwritten() {
    let bench = Bench::new();
    bench.stage(registry_only());
    let theirs = format!("{}# by another hand\n", bench.text("mesh.yaml"));
    bench.write("mesh.yaml", &theirs);
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(!review.applicable);
    assert_eq!(review.conflicts[0].theirs, theirs);
    assert!(review.conflicts[0].mine.contains("REGISTRY_ONLY") && review.conflicts[0].base.contains("mode: ALLOW_ANY"));
    assert_eq!(
        bench
            .changes
            .apply(&bench.view(), &bench.traffic, None)
            .unwrap_err()
            .code,
        "conflict"
    );
    assert_eq!(bench.text("mesh.yaml"), theirs);

    let review = bench
        .changes
        .resolve(&bench.view(), &bench.traffic, "mesh.yaml", Keep::Mine)
        .unwrap();
    assert!(review.applicable && review.conflicts.is_empty());
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(
        bench.text("mesh.yaml"),
        theirs.replace("mode: ALLOW_ANY", "mode: REGISTRY_ONLY")
    );
}

#[test]
fn keeping_their_version_drops_my_edits_to_that_file_only() {
    let bench = Bench::new();
    bench.stage(registry_only());
    bench.stage(ranges("10.0.0.0/8"));
    bench.write("mesh.yaml", &format!("{}# other\n", bench.text("mesh.yaml")));
    let review = bench
        .changes
        .resolve(&bench.view(), &bench.traffic, "mesh.yaml", Keep::Theirs)
        .unwrap();
    assert_eq!(review.edits.len(), 1);
    assert!(matches!(review.edits[0].edit, Edit::Ranges { .. }));
    assert!(review.applicable);
}

#[test]
fn undo_refuses_with_the_reason_when_a_file_has_changed_since() {
    let bench = Bench::new();
    bench.stage(registry_only());
    bench.stage(ranges("10.0.0.0/8"));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let edited = format!("{}# later\n", bench.text("mesh.yaml"));
    bench.write("mesh.yaml", &edited);
    let before = bench.bytes();
    let fault = bench.changes.undo(&bench.folder, None).unwrap_err();
    assert!(fault.message.contains("mesh.yaml"), "{fault}");
    assert_eq!(bench.bytes(), before, "the other file was not restored either");
    let entries = bench.changes.entries(&bench.folder).unwrap();
    assert!(!entries[0].undoable && entries[0].undo_blocked.is_some());
}

#[test]
fn the_impact_is_what_the_engine_decides_about_the_flows_seen() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.traffic.add(flow("edition.cnn.com", "198.18.0.30:443", "tls"));
    }
    bench.traffic.add(flow("httpbin.org", "198.18.0.10:80", "http"));
    bench.traffic.add(flow("api.example.com", "198.18.0.40:80", "http"));
    let review = bench
        .changes
        .preview(&bench.view(), &bench.traffic, vec![registry_only()])
        .unwrap();
    let blocked: Vec<_> = review
        .impact
        .newly_blocked
        .iter()
        .map(|row| (row.destination.as_str(), row.flows))
        .collect();
    assert_eq!(blocked, [("edition.cnn.com:443", 3), ("httpbin.org:80", 1)]);
    assert_eq!(
        (review.impact.seen, review.impact.same, review.impact.undecidable),
        (5, 1, 0)
    );
    assert_eq!(review.impact.newly_blocked[0].before, Verdict::Passthrough);

    let both = vec![registry_only(), put("httpbin", HTTPBIN)];
    let review = bench.changes.preview(&bench.view(), &bench.traffic, both).unwrap();
    assert_eq!(review.impact.newly_blocked.len(), 1);
    assert_eq!(review.impact.changed[0].after, Verdict::Registered);
    assert!(bench.changes.staged().is_empty(), "a preview stages nothing");
}

#[test]
fn wrong_input_is_refused_with_the_reason_and_stages_nothing() {
    let bench = Bench::new();
    for (edit, code) in [
        (ranges("10.0.0.0/33"), "ranges"),
        (put("../x", HTTPBIN), "name"),
        (put("other", HTTPBIN), "object"),
        (put("httpbin", "kind: ["), "syntax"),
        (
            Edit::Mode {
                scope: "planet".into(),
                mode: Mode::AllowAny,
            },
            "input",
        ),
    ] {
        assert_eq!(bench.changes.stage(&bench.view(), edit).unwrap_err().code, code);
    }
    assert!(bench.changes.staged().is_empty());
}

#[test]
fn a_namespace_gets_a_sidecar_of_its_own_and_then_that_one_is_edited() {
    let bench = Bench::new();
    let shop = |mode| Edit::Mode {
        scope: "namespace shop".into(),
        mode,
    };
    bench.stage(shop(Mode::RegistryOnly));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let first = bench.text("shop-sidecar.yaml");
    bench.stage(shop(Mode::AllowAny));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(
        bench.text("shop-sidecar.yaml"),
        first.replace("REGISTRY_ONLY", "ALLOW_ANY")
    );
}

#[test]
fn each_revision_of_the_control_plane_has_a_mode_of_its_own() {
    let bench = Bench::new();
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: istio-1-31\n  namespace: istio-system\ndata:\n  mesh: |\n    outboundTrafficPolicy:\n      mode: REGISTRY_ONLY # kept\n";
    bench.write("canary.yaml", map);
    let scopes = |bench: &Bench| {
        let modes = crate::session::modes(bench.view().world());
        modes
            .into_iter()
            .map(|mode| (mode.scope, mode.mode))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        scopes(&bench)[..2],
        [
            ("mesh".into(), Mode::AllowAny),
            ("revision 1-31".into(), Mode::RegistryOnly)
        ]
    );
    bench.stage(Edit::Mode {
        scope: "revision 1-31".into(),
        mode: Mode::AllowAny,
    });
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(bench.text("canary.yaml"), map.replace("REGISTRY_ONLY", "ALLOW_ANY"));
    let unknown = Edit::Mode {
        scope: "revision 1-29".into(),
        mode: Mode::AllowAny,
    };
    assert_eq!(bench.changes.stage(&bench.view(), unknown).unwrap_err().code, "missing");
}

#[test]
fn what_istio_would_refuse_is_not_applied_and_says_where() {
    let bench = Bench::new();
    bench.stage(put("httpbin", &HTTPBIN.replace("name: http\n", "name: no_label\n")));
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert!(
        review.blocked_because.unwrap().contains("httpbin.yaml:11"),
        "{:?}",
        review.findings
    );
    assert_eq!(
        bench
            .changes
            .apply(&bench.view(), &bench.traffic, None)
            .unwrap_err()
            .code,
        "not-applicable"
    );
    assert!(!bench.folder.join("httpbin.yaml").exists());
}

#[test]
fn a_file_that_cannot_be_written_takes_the_others_back() {
    let bench = Bench::new();
    let before = bench.bytes();
    let good = FileEdit {
        file: "mesh.yaml".into(),
        before: Some(before["mesh.yaml"].clone()),
        after: Some(b"new".to_vec()),
    };
    // A link to nowhere stands where the second file's folder should be: reading finds no file, writing cannot make one.
    std::os::unix::fs::symlink("/nowhere/at/all", bench.folder.join("blocked")).unwrap();
    let bad = FileEdit {
        file: "blocked/new.yaml".into(),
        before: None,
        after: Some(b"x".to_vec()),
    };
    let fault = write::write_all(&bench.folder, &[good, bad]).unwrap_err();
    assert_eq!(fault.hint.as_deref(), Some("No file was changed."));
    assert_eq!(bench.text("mesh.yaml").into_bytes(), before["mesh.yaml"]);
}

#[test]
fn a_file_that_was_changed_by_a_write_that_failed_is_taken_back_too() {
    let bench = Bench::new();
    let before = bench.bytes();
    let edits = ["injector.yaml", "mesh.yaml"].map(|file| FileEdit {
        file: file.into(),
        before: Some(before[file].clone()),
        after: Some(b"new".to_vec()),
    });
    // The file is there, and the folder cannot be flushed: neither now nor when it is taken back.
    let unflushed = |folder: &Path, edit: &FileEdit| {
        write::write_one(folder, edit)?;
        match edit.file.as_str() {
            "mesh.yaml" => Err(Fault::new("io", "The folder cannot be flushed.")),
            _ => Ok(()),
        }
    };
    let fault = write::write_each(&bench.folder, &edits, unflushed).unwrap_err();
    assert_eq!(bench.bytes(), before);
    assert_eq!(
        (fault.code.as_str(), fault.hint.as_deref()),
        ("io", Some("No file was changed."))
    );
}

#[test]
fn an_edit_that_waited_while_the_window_turned_is_not_staged_for_the_next_source() {
    let (bench, other) = (Bench::new(), Bench::new());
    let view = bench.view();
    bench.changes.turn_to(&bench.database, &other.folder).unwrap();
    let fault = bench.changes.stage(&view, registry_only()).unwrap_err();
    assert_eq!(fault.code, "turned");
    assert_eq!(bench.changes.staged(), []);
}

#[test]
fn no_file_outside_the_folder_is_ever_named() {
    for file in ["../x", "/etc/passwd", "a/../../x", ""] {
        assert!(write::read(Path::new("/tmp"), file).is_err(), "{file:?}");
    }
}
