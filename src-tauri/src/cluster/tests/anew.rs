//! What was deleted and is made anew: its finalizers and owners.

use super::*;

const HOLD: &str = "example.com/hold";

/// A ServiceEntry with a finalizer, owned by the ConfigMaps `owners`.
fn owned(api: &Api, space: &str, owners: &[&str]) {
    let mut references = String::new();
    for owner in owners {
        api.text(&["create", "configmap", owner, "-n", space]);
        let uid = api.text(&["get", "configmap", owner, "-n", space, "-o", "jsonpath={.metadata.uid}"]);
        references.push_str(&format!(
            "  - {{apiVersion: v1, kind: ConfigMap, name: {owner}, uid: {uid}}}\n"
        ));
    }
    let head = format!("  namespace: {space}\n  finalizers: [{HOLD}]\n  ownerReferences:\n{references}");
    api.apply(&entry(space, "a", "a.com").replace(&format!("  namespace: {space}\n"), &head));
}

fn of(api: &Api, space: &str, path: &str) -> String {
    let path = format!("jsonpath={{{path}}}");
    api.text(&["get", "serviceentry", "a", "-n", space, "-o", &path])
}

fn let_go(api: &Api, space: &str) {
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    api.text(&[
        "patch",
        "serviceentry",
        "a",
        "-n",
        space,
        "--type",
        "merge",
        "-p",
        patch,
    ]);
}

fn text(bench: &Bench, space: &str) -> String {
    let bytes = bench.cluster.read(&format!("ServiceEntry/{space}.a.yaml"));
    String::from_utf8(bytes.unwrap().unwrap()).unwrap()
}

#[test]
fn a_deleted_object_comes_back_with_its_finalizers_and_under_the_owners_that_are_left() {
    let Some(api) = api("a_deleted_object_comes_back") else {
        return;
    };
    namespace(api, "anew");
    owned(api, "anew", &["stays", "goes", "replaced"]);
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let before = text(&bench, "anew");
    let delete = Edit::Delete {
        object: DraftKind::ServiceEntry,
        namespace: "anew".into(),
        name: "a".into(),
    };
    bench.changes.stage(&bench.view(), delete).unwrap();
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    let warned = |words: &str| review.warnings.iter().any(|warning| warning.contains(words));
    assert!(
        warned(HOLD) && warned("its owner ConfigMap goes only if"),
        "{:?}",
        review.warnings
    );

    // It is deleted, and in force until its finalizer goes.
    let applied = bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert!(
        applied.notes.iter().any(|note| note.contains(HOLD)),
        "{:?}",
        applied.notes
    );
    assert!(!of(api, "anew", ".metadata.deletionTimestamp").is_empty());
    assert_eq!(bench.hosts("anew"), ["a.com"]);
    let entry = bench.changes.entries(&*bench.cluster).unwrap().remove(0);
    assert!(entry.undo_blocked.unwrap().contains("deletion is not through"));
    assert_eq!(
        bench.changes.undo(&*bench.cluster, None).unwrap_err().code,
        "undo-blocked"
    );

    let_go(api, "anew");
    bench.waits_for("anew", &[]);
    api.text(&["delete", "configmap", "goes", "replaced", "-n", "anew"]);
    api.text(&["create", "configmap", "replaced", "-n", "anew"]);
    let undone = bench.changes.undo(&*bench.cluster, None).unwrap();
    for gone in ["goes", "replaced"] {
        let told = format!("ServiceEntry a is made without its owner ConfigMap {gone}, which is gone.");
        assert!(undone.notes.contains(&told), "{:?}", undone.notes);
    }
    assert_eq!(of(api, "anew", ".metadata.finalizers[*]"), HOLD);
    assert_eq!(of(api, "anew", ".metadata.ownerReferences[*].name"), "stays");
    assert_eq!(bench.hosts("anew"), ["a.com"]);

    // An edit of it keeps them.
    let now = text(&bench, "anew");
    assert_ne!(now, before);
    bench.put("anew", "a", &now.replace("a.com", "b.com"));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!(of(api, "anew", ".metadata.finalizers[*]"), HOLD);
    assert_eq!(of(api, "anew", ".metadata.ownerReferences[*].name"), "stays");
    let_go(api, "anew");
}

#[test]
fn an_edit_leaves_finalizers_and_owners_to_who_set_them() {
    let Some(api) = api("an_edit_leaves_finalizers_and_owners") else {
        return;
    };
    namespace(api, "theirs");
    owned(api, "theirs", &["owner"]);
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let before = text(&bench, "theirs");
    assert!(before.contains(HOLD) && before.contains("name: owner"), "{before}");
    bench.put("theirs", "a", &before.replace("a.com", "b.com"));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let own = r#".metadata.managedFields[?(@.manager=="egret")].fieldsV1"#;
    let own = of(api, "theirs", own);
    assert!(
        own.contains("f:hosts") && !own.contains("f:finalizers") && !own.contains("f:ownerReferences"),
        "{own}"
    );
    assert_eq!(text(&bench, "theirs"), before.replace("a.com", "b.com"));
    let_go(api, "theirs");
}
