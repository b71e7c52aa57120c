//! What is written is what was shown, and what is taken back is what was there.

use super::*;
use crate::dto::{Afterwards, Countdown};

fn spec(api: &Api, space: &str, name: &str) -> String {
    api.text(&["get", "serviceentry", name, "-n", space, "-o", "jsonpath={.spec}"])
}

#[test]
fn what_the_network_kept_from_being_taken_back_is_taken_back_once_it_is_there_again() {
    let Some(api) = api("what_the_network_kept") else {
        return;
    };
    namespace(api, "kept");
    let folder = tempfile::tempdir().unwrap();
    let (cut, kubeconfig) = Cut::before(&api.kubeconfig(), folder.path());
    let bench = Bench::open(kubeconfig);
    bench.cluster.set_editing(true);
    bench.put("kept", "a", &entry("kept", "a", "a.com"));
    let countdown = Countdown {
        seconds: 5,
        afterwards: Afterwards::Revert,
    };
    bench
        .changes
        .apply(&bench.view(), &bench.traffic, Some(&countdown))
        .unwrap();
    cut.cut();
    let due = || {
        while !bench.changes.await_deadline() {}
        bench.changes.revert_due(&*bench.cluster).unwrap();
        bench.changes.unconfirmed(&*bench.cluster).unwrap().pop()
    };
    for _ in 0..2 {
        let waiting = due().expect("it stays to be taken back");
        assert_eq!(waiting.fault.unwrap().code, "unreachable");
        assert!(waiting.until.is_some());
        assert!(spec(api, "kept", "a").contains("a.com"));
    }
    cut.mend();
    eventually("it to be taken back", || due().is_none().then_some(()));
    let left = api.text(&["get", "serviceentries", "-n", "kept", "-o", "name"]);
    assert_eq!(left, "");
    assert!(bench.changes.entries(&*bench.cluster).unwrap()[0].reverted);
}

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
    let delete = |name: &str| {
        let edit = Edit::Delete {
            object: DraftKind::ServiceEntry,
            namespace: "restored".into(),
            name: name.into(),
        };
        bench.changes.stage(&bench.view(), edit).unwrap();
    };
    delete("a");
    delete("plain");
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

    // The clean-up goes the same way back.
    delete("plain");
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let deleted = "ServiceEntry/restored.plain.yaml".to_string();
    bench.changes.stage_cleanup(&bench.view(), &[deleted]).unwrap();
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    assert_eq!((file("plain"), made_by("egret").as_str()), (before.1, ""));
}

/// Lets through what is only tried, and refuses to write an object without a resolution.
pub fn refuse_when_real(api: &Api, space: &str) {
    api.apply(&format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: {space}}}\nspec:\n  \
         matchConstraints: {{resourceRules: [{{apiGroups: [networking.istio.io], apiVersions: ['*'], operations: [CREATE, \
         UPDATE], resources: [serviceentries]}}]}}\n  validations: [{{expression: 'object.metadata.name != \"probe\" && \
         (request.dryRun || has(object.spec.resolution))', message: none of these}}]\n---\napiVersion: \
         admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: {space}}}\nspec: \
         {{policyName: {space}, validationActions: [Deny], matchResources: {{namespaceSelector: {{matchLabels: \
         {{kubernetes.io/metadata.name: {space}}}}}}}}}\n"
    ));
    let probe = entry(space, "probe", "probe.com");
    eventually("the policy to be in force", || {
        let tried = api.send(&["create", "--dry-run=server"], &probe);
        (!tried.status.success()).then_some(())
    });
}

#[test]
fn an_object_that_the_server_refuses_to_replace_is_not_half_changed() {
    let Some(api) = api("an_object_that_the_server_refuses") else {
        return;
    };
    namespace(api, "whole");
    refuse_when_real(api, "whole");
    api.apply(&entry("whole", "k", "k.com"));
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let theirs = String::from_utf8(bench.cluster.read("ServiceEntry/whole.k.yaml").unwrap().unwrap()).unwrap();
    let before = spec(api, "whole", "k");
    bench.put(
        "whole",
        "k",
        &theirs.replace("k.com", "other.com").replace("  resolution: DNS\n", ""),
    );
    let fault = bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap_err();
    assert!(fault.message.contains("none of these"), "{fault:?}");
    assert_eq!(spec(api, "whole", "k"), before);
    assert!(bench.changes.entries(&*bench.cluster).unwrap().is_empty());
    assert_eq!(bench.changes.staged().len(), 1);
}

#[test]
fn a_new_object_does_not_take_the_place_of_another_hands() {
    let Some(api) = api("a_new_object_does_not_take_the_place") else {
        return;
    };
    namespace(api, "taken");
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    // The form of a new object is open meanwhile.
    api.apply(&entry("taken", "a", "theirs.com"));
    bench.waits_for("taken", &["theirs.com"]);
    let edit = Edit::Put {
        object: DraftKind::ServiceEntry,
        namespace: "taken".into(),
        name: "a".into(),
        yaml: entry("taken", "a", "mine.com"),
        base: None,
    };
    bench.changes.stage(&bench.view(), edit).unwrap();
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    let conflict = &review.conflicts[0];
    assert!(conflict.base.is_empty() && conflict.mine.contains("mine.com") && conflict.theirs.contains("theirs.com"));
    assert!(conflict.by.as_deref().unwrap().starts_with("kubectl"));
    let fault = bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap_err();
    assert_eq!(fault.code, "conflict");
    assert_eq!(bench.hosts("taken"), ["theirs.com"]);
}

#[test]
fn labels_and_annotations_of_another_tool_that_are_left_out_are_gone_and_come_back() {
    let Some(api) = api("labels_and_annotations_of_another_tool") else {
        return;
    };
    namespace(api, "left-out");
    let head = "  namespace: left-out\n  labels: {stays: a, team: b}\n  annotations: {kept: c, note: d}\n";
    api.apply(&entry("left-out", "a", "a.com").replace("  namespace: left-out\n", head));
    let bench = Bench::open(api.kubeconfig());
    bench.cluster.set_editing(true);
    let file = "ServiceEntry/left-out.a.yaml";
    let text = || String::from_utf8(bench.cluster.read(file).unwrap().unwrap()).unwrap();
    let theirs = text();
    let mine = theirs.replace("    team: b\n", "").replace("    note: d\n", "");
    bench.put("left-out", "a", &mine);
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    let diff = format!("{:?}", review.diffs);
    assert!(diff.contains("team: b") && diff.contains("note: d"), "{diff}");
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    let of = |path: &str| {
        let path = format!("jsonpath={{.metadata.{path}}}");
        api.text(&["get", "serviceentry", "a", "-n", "left-out", "-o", &path])
    };
    assert_eq!(of("labels"), r#"{"stays":"a"}"#);
    let annotations = of("annotations");
    assert!(
        annotations.contains(r#""kept":"c""#) && !annotations.contains(r#""note":"d""#),
        "{annotations}"
    );
    assert_eq!(text(), mine);

    bench.changes.undo(&*bench.cluster, None).unwrap();
    assert_eq!((text(), of("labels")), (theirs, r#"{"stays":"a","team":"b"}"#.into()));
}

#[test]
fn a_file_beside_the_mirror_is_none_of_the_clusters() {
    let Some(api) = api("a_file_beside_the_mirror") else {
        return;
    };
    let bench = Bench::open(api.kubeconfig());
    let beside = bench.cluster.folder().parent().unwrap().join("beside");
    std::fs::write(&beside, "secret").unwrap();
    for file in ["../beside", "ServiceEntry/../../beside", beside.to_str().unwrap(), ""] {
        assert_eq!(bench.cluster.read(file).unwrap_err().code, "input", "{file}");
    }
}
