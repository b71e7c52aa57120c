//! What is written is what was shown, and what is taken back is what was there.

use super::*;

#[test]
fn an_object_that_egret_did_not_make_is_deleted_and_restored_as_it_was() {
    let Some(api) = api("an_object_that_egret_did_not_make") else {
        return;
    };
    namespace(api, "restored");
    let theirs = entry("restored", "a", "a.com").replace(
        "  namespace: restored\n",
        "  namespace: restored\n  labels:\n    app.kubernetes.io/managed-by: Helm\n  ownerReferences:\n  - {apiVersion: v1, \
         kind: Namespace, name: restored, uid: UID}\n",
    );
    let uid = api.text(&["get", "namespace", "restored", "-o", "jsonpath={.metadata.uid}"]);
    api.apply(&theirs.replace("UID", &uid));
    api.apply(&entry("restored", "plain", "plain.com"));
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let file = |name: &str| {
        let bytes = bench.cluster.read(&format!("ServiceEntry/restored.{name}.yaml"));
        String::from_utf8(bytes.unwrap().unwrap()).unwrap()
    };
    let before = (file("a"), file("plain"));
    for name in ["a", "plain"] {
        let edit = Edit::Delete {
            object: DraftKind::ServiceEntry,
            namespace: "restored".into(),
            name: name.into(),
        };
        bench.changes.stage(&bench.view(), edit).unwrap();
    }
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    let told =
        |warning: &String| warning.contains("ServiceEntry a") && warning.contains("its owner Namespace restored");
    assert!(review.warnings.iter().any(told), "{:?}", review.warnings);
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let left = || api.text(&["get", "serviceentries", "-n", "restored", "-o", "name"]);
    assert_eq!(left(), "");
    let back = bench.changes.undo(&*bench.cluster, None).unwrap();
    assert!(back.undone);
    assert_eq!((file("a"), file("plain")), before);
    let made_by = |by: &str| {
        let selector = format!("app.kubernetes.io/managed-by={by}");
        api.text(&["get", "serviceentries", "-n", "restored", "-l", &selector, "-o", "name"])
    };
    assert_eq!(made_by("egret"), "", "the clean-up would take what is theirs");
    assert_eq!(made_by("Helm"), "serviceentry.networking.istio.io/a\n");
}
