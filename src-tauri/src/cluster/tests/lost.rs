//! The network goes away, with a word or without one.

use super::*;

#[test]
fn a_lost_connection_keeps_the_last_state_and_comes_back() {
    let Some(api) = api("a_lost_connection") else { return };
    namespace(api, "lost");
    api.apply(&entry("lost", "a", "a.com"));
    let folder = tempfile::tempdir().unwrap();
    let (cut, kubeconfig) = Cut::before(&api.kubeconfig(), folder.path());
    let bench = Bench::open(kubeconfig);
    bench.put("lost", "b", &entry("lost", "b", "b.com"));
    cut.cut();
    let (kinds, fault, _) = eventually("the loss to be noticed", || bench.cluster.lost());
    assert!(!kinds.is_empty() && fault.code == "unreachable", "{kinds:?} {fault:?}");
    assert_eq!(bench.hosts("lost"), ["a.com"], "the last state stays");
    assert_eq!(bench.changes.staged().len(), 1, "and what was staged");
    api.apply(&entry("lost", "a", "new.com"));
    cut.mend();
    bench.waits_for("lost", &["new.com"]);
    eventually("the watches to be back", || {
        bench.cluster.lost().is_none().then_some(())
    });
}

#[test]
fn a_network_that_falls_silent_is_noticed_and_what_comes_back_is_followed_again() {
    let Some(api) = api("a_network_that_falls_silent") else {
        return;
    };
    namespace(api, "silent");
    api.apply(&entry("silent", "a", "a.com"));
    let folder = tempfile::tempdir().unwrap();
    let (cut, kubeconfig) = Cut::before(&api.kubeconfig(), folder.path());
    let bench = Bench::open(kubeconfig);
    cut.fall_silent();
    let (kinds, fault, _) = eventually("the silence to be noticed", || {
        bench.cluster.lost().filter(|(kinds, ..)| kinds.len() > 1)
    });
    assert_eq!(fault.code, "unreachable", "{kinds:?} {fault:?}");
    assert_eq!(
        bench.cluster.logs().fault.map(|fault| fault.code).as_deref(),
        Some("unreachable"),
        "nor is any pod followed"
    );
    assert_eq!(bench.hosts("silent"), ["a.com"], "the last state stays");
    api.apply(&entry("silent", "a", "new.com"));
    cut.mend();
    bench.waits_for("silent", &["new.com"]);
    eventually("the watches to be back", || {
        bench.cluster.lost().is_none().then_some(())
    });
}
