//! Gates: what a person may do, where, and what would change it; with ServiceAccounts bound to the documented roles.

use super::*;

fn open(api: &Api, token: &str) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = kubeconfig_of(
        &api.kubeconfig(),
        &folder.path().join("config"),
        &format!("{{token: {token}}}"),
    );
    Bench::open(kubeconfig)
}

#[test]
fn the_documented_viewer_sees_everything_and_changes_nothing() {
    let Some(api) = api("the_documented_viewer") else {
        return;
    };
    namespace(api, "gates");
    let token = account(api, "reader", &["viewer"], &[("istio-system", "viewer")]);
    let bench = open(api, &token);
    assert!(bench.cluster.lost().is_none(), "all kinds are read");
    for (feature, reach) in bench.cluster.rights().all() {
        let reads = matches!(
            feature,
            Feature::SeePolicy
                | Feature::SeeRevisions
                | Feature::SeeOwnRanges
                | Feature::SeeAccessLog
                | Feature::FollowLogs
                // Of Istio's own workloads: ConfigMaps are read where these are.
                | Feature::SeeEnvironment
        );
        assert_eq!(reach.anywhere(), reads, "{feature:?} {reach:?}");
    }
    let fault = bench.cluster.require(Feature::RestartWorkloads, "gates").unwrap_err();
    assert_eq!(fault.code, "forbidden");
    assert!(
        fault.message.contains("needs patch deployments.apps"),
        "{}",
        fault.message
    );
    assert!(bench.cluster.require(Feature::FollowLogs, "gates").is_ok());

    // The Role that is offered is what was missing, for this person.
    let missing = bench
        .cluster
        .missing(Feature::WriteServiceEntries, "gates")
        .unwrap()
        .unwrap();
    assert_eq!(
        missing.reason,
        "needs create, update, patch, delete serviceentries.networking.istio.io in gates"
    );
    api.apply(&missing.role);
    eventually("the Role to be in force", || {
        bench
            .cluster
            .missing(Feature::WriteServiceEntries, "gates")
            .unwrap()
            .is_none()
            .then_some(())
    });
    assert!(
        bench
            .cluster
            .missing(Feature::WriteServiceEntries, "default")
            .unwrap()
            .is_some()
    );
    bench.cluster.facts().unwrap();
    let reach = bench.cluster.rights().reach(Feature::WriteServiceEntries);
    assert_eq!(reach.namespaces, ["gates".to_string()].into(), "and the gates follow");
}

#[test]
fn an_editor_of_one_namespace_applies_there_and_is_told_what_is_missing_elsewhere() {
    let Some(api) = api("an_editor_of_one_namespace") else {
        return;
    };
    namespace(api, "team");
    namespace(api, "others");
    let own = [("istio-system", "viewer"), ("team", "editor")];
    let bench = open(api, &account(api, "team", &["viewer"], &own));
    let reach = bench.cluster.rights().reach(Feature::WriteServiceEntries);
    assert!(!reach.everywhere && !reach.unsure, "{reach:?}");
    assert_eq!(reach.namespaces, ["team".to_string()].into());
    assert!(bench.cluster.require_any_change().is_ok());
    bench.cluster.set_editing(true);
    bench.put("others", "a", &entry("others", "a", "a.com"));
    let review = bench.changes.review(&bench.view(), &bench.traffic).unwrap();
    assert_eq!(
        review.blocked_because.as_deref(),
        Some("Applying needs create, patch serviceentries.networking.istio.io in others.")
    );
    let role = review.role.unwrap();
    assert!(
        role.contains("namespace: others") && role.contains("kind: ServiceAccount"),
        "{role}"
    );
    bench.changes.discard_all();
    bench.put("team", "a", &entry("team", "a", "a.com"));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    bench.put("team", "a", &entry("team", "a", "b.com"));
    bench.changes.apply(&bench.view(), &bench.traffic, None).unwrap();
    bench.changes.undo(&*bench.cluster, None).unwrap();
    bench.changes.undo(&*bench.cluster, None).unwrap();
    assert_eq!(api.text(&["get", "serviceentries", "-n", "team", "-o", "name"]), "");
}

#[test]
fn the_documented_roles_together_allow_everything_in_the_table() {
    let Some(api) = api("the_documented_roles_together") else {
        return;
    };
    let own = ["viewer", "editor", "operator"].map(|role| ("istio-system", role));
    let bench = open(
        api,
        &account(api, "whole", &["viewer", "editor", "operator", "secrets"], &own),
    );
    for (feature, reach) in bench.cluster.rights().all() {
        assert!(reach.everywhere, "{feature:?} {reach:?}");
    }
}
