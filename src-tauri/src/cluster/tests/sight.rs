//! Who may read some namespaces only sees these, is told what is not seen, and sees more as soon as that is allowed.

use std::collections::BTreeSet;

use super::*;
use crate::{
    cluster::MAX_SINGLY,
    dto::SandboxState,
    session::{overview, policy_view},
};

/// A kubeconfig for `token`, whose context is about `namespace`.
fn kubeconfig(api: &Path, folder: &Path, token: &str, namespace: &str) -> PathBuf {
    let file = kubeconfig_of(api, &folder.join("config"), &format!("{{token: {token}}}"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace("user: admin}", &format!("user: admin, namespace: {namespace}}}")),
    )
    .unwrap();
    file
}

/// Gives an account one of the documented roles in a namespace.
fn bind(api: &Api, account: &str, namespace: &str, role: &str) {
    let (role, subject) = (
        format!("--clusterrole=documented-{role}"),
        format!("--serviceaccount=default:{account}"),
    );
    let name = format!("{account}-{}", role.rsplit('-').next().unwrap());
    api.text(&["create", "rolebinding", &name, "-n", namespace, &role, &subject]);
}

/// A namespace with one service.
fn space(api: &Api, name: &str) {
    namespace(api, name);
    api.apply(&entry(name, "own", &format!("{name}.com")));
}

fn seen(bench: &Bench, feature: Feature) -> BTreeSet<String> {
    bench.cluster.rights().reach(feature).namespaces
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn who_may_read_two_namespaces_of_three_sees_both_and_is_told_what_is_not_seen() {
    let Some(api) = api("who_may_read_two_namespaces") else {
        return;
    };
    for name in ["sight-a", "sight-b", "sight-c"] {
        space(api, name);
    }
    let own = [("sight-a", "viewer"), ("sight-b", "viewer"), ("sight-b", "editor")];
    let token = account(api, "sight", &[], &own[..0]);
    for (namespace, role) in own {
        bind(api, "sight", namespace, role);
    }
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(kubeconfig(&api.kubeconfig(), folder.path(), &token, "sight-a"));
    assert_eq!(bench.hosts("sight-a"), ["sight-a.com"], "the context's own namespace");
    assert_eq!(bench.hosts("sight-b"), Vec::<String>::new(), "nobody has named it");
    bench.cluster.name_namespaces(&["sight-b".into(), "sight-c".into()]);
    bench.waits_for("sight-b", &["sight-b.com"]);
    let told = |text: &str| bench.cluster.unseen().iter().any(|sentence| sentence.contains(text));
    eventually("both to be told", || {
        told("Only what is in the namespaces sight-a and sight-b is visible").then_some(())
    });
    assert!(told("The ConfigMaps in istio-system are not visible"));
    assert!(!told("visible nowhere"), "{:?}", bench.cluster.unseen());
    assert_eq!(bench.hosts("sight-c"), Vec::<String>::new());
    assert!(bench.cluster.lost().is_none(), "nothing is cut off");
    let view = eventually("its labels to be read", || {
        let view = bench.view();
        let spaces = &view.world().namespaces;
        spaces.iter().any(|each| &*each.meta.name == "sight-b").then_some(view)
    });
    let shown = overview(&view, &bench.traffic, &SandboxState::default(), &bench.changes);
    let visible = shown.health.iter().find(|row| row.name == "Visible").unwrap();
    assert!(visible.detail.contains("sight-a and sight-b"), "{}", visible.detail);

    // Their gates, each for itself.
    eventually("the rights in both", || {
        (seen(&bench, Feature::FollowLogs) == set(&["sight-a", "sight-b"])).then_some(())
    });
    assert_eq!(seen(&bench, Feature::SeePolicy), set(&["sight-a", "sight-b"]));
    assert_eq!(seen(&bench, Feature::WriteServiceEntries), set(&["sight-b"]));
    assert!(bench.cluster.logs().fault.is_none(), "{:?}", bench.cluster.logs().fault);

    // Changes go where they are allowed, and the watch of that namespace brings what others change.
    bench.cluster.set_editing(true);
    bench.put("sight-a", "more", &entry("sight-a", "more", "more.com"));
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    let because = review.blocked_because.unwrap();
    assert!(
        because.contains("serviceentries.networking.istio.io in sight-a"),
        "{because}"
    );
    bench.changes.discard_all();
    bench.put("sight-b", "more", &entry("sight-b", "more", "more.com"));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    api.apply(&entry("sight-b", "theirs", "theirs.com"));
    bench.waits_for("sight-b", &["more.com", "sight-b.com", "theirs.com"]);
    api.text(&["delete", "serviceentry", "theirs", "-n", "sight-b"]);
    bench.changes.undo(&*bench.cluster, None).unwrap();
    bench.waits_for("sight-b", &["sight-b.com"]);

    // A right that is gained later is found, without connecting again.
    bind(api, "sight", "sight-c", "viewer");
    bench.waits_for("sight-c", &["sight-c.com"]);
    eventually("no namespace to be missing", || {
        told("sight-a, sight-b and sight-c").then_some(())
    });
    // And one that is gone takes along what it showed; what is open goes on until the API server ends it.
    api.text(&["delete", "rolebinding", "sight-viewer", "-n", "sight-c"]);
    bench.cluster.facts().unwrap();
    bench.waits_for("sight-c", &[]);
    assert_eq!(bench.hosts("sight-a"), ["sight-a.com"]);
}

#[test]
fn namespaces_that_may_be_listed_need_no_naming_and_everything_is_seen_once_that_is_allowed() {
    let Some(api) = api("namespaces_that_may_be_listed") else {
        return;
    };
    for name in ["found-a", "found-b"] {
        space(api, name);
    }
    let token = account(api, "found", &[], &[]);
    api.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: found-list}\nrules:\n- {apiGroups: [''], \
         resources: [namespaces], verbs: [get, list, watch]}\n",
    );
    let subject = "--serviceaccount=default:found";
    api.text(&[
        "create",
        "clusterrolebinding",
        "found-list",
        "--clusterrole=found-list",
        subject,
    ]);
    bind(api, "found", "found-b", "viewer");
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::open(kubeconfig(&api.kubeconfig(), folder.path(), &token, "default"));
    assert_eq!(bench.hosts("found-b"), ["found-b.com"], "at once");
    assert_eq!(bench.hosts("found-a"), Vec::<String>::new());
    let view = policy_view(&bench.view(), None, Vec::new());
    assert_eq!(view.services.len(), 1);
    assert!(bench.cluster.unseen()[0].starts_with("Only what is in the namespace found-b is visible"));

    account(api, "found-all", &["viewer"], &[]);
    let all = "--clusterrole=documented-viewer";
    api.text(&["create", "clusterrolebinding", "found-viewer", all, subject]);
    bench.waits_for("found-a", &["found-a.com"]);
    eventually("all kinds to be seen as a whole", || {
        (bench.cluster.unseen().len() == 1).then_some(())
    });
    assert!(bench.cluster.unseen()[0].starts_with("The ConfigMaps in istio-system"));
    // One watch has taken the place of the single ones.
    api.text(&["delete", "serviceentry", "own", "-n", "found-b"]);
    bench.waits_for("found-b", &[]);
    api.apply(&entry("found-b", "own", "again.com"));
    bench.waits_for("found-b", &["again.com"]);
}

#[test]
fn at_most_so_many_namespaces_are_followed_singly_and_the_rest_is_counted() {
    let Some(api) = api("at_most_so_many_namespaces") else {
        return;
    };
    let token = account(api, "many", &[], &[]);
    let names: Vec<String> = (0..MAX_SINGLY + 2).map(|index| format!("many-{index:02}")).collect();
    let subject = "{kind: ServiceAccount, name: many, namespace: default}";
    let objects: String = names
        .iter()
        .map(|name| {
            format!(
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\napiVersion: \
                 rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: many, namespace: {name}}}\nroleRef: \
                 {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: documented-viewer}}\nsubjects: \
                 [{subject}]\n---\n"
            )
        })
        .collect();
    api.apply(&objects);
    let folder = tempfile::tempdir().unwrap();
    let file = kubeconfig(&api.kubeconfig(), folder.path(), &token, &names[0]);
    let bench = Bench::open(file);
    bench.cluster.name_namespaces(&names);
    eventually("the bound to be told", || {
        let unseen = bench.cluster.unseen();
        unseen
            .iter()
            .any(|told| told.starts_with("2 more namespaces may be visible"))
            .then_some(())
    });
}

#[test]
fn who_may_read_nothing_is_told_where_namespaces_are_named() {
    let Some(api) = api("who_may_read_nothing") else { return };
    let token = account(api, "nothing", &[], &[]);
    let folder = tempfile::tempdir().unwrap();
    let target = target(
        &kubeconfig(&api.kubeconfig(), folder.path(), &token, "default"),
        folder.path(),
    );
    let refused = Cluster::open(&target, &folder.path().join("mirror"), || {}, &Attempt::default()).unwrap_err();
    assert_eq!(refused.code, "forbidden");
    assert!(refused.hint.unwrap().contains("What is there"), "{}", refused.message);
}
