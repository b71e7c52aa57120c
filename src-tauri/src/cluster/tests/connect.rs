//! Connecting: what is called off, what may not run, what a look shows.

use std::{fs, net::TcpListener, sync::mpsc, thread};

use egret_tests::mesh::eventually;

use super::*;
use crate::cluster::{Step, facts::Revision, look};

/// A kubeconfig of a server that takes connections and says nothing.
fn silent(folder: &Path, user: &str) -> (TcpListener, PathBuf) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let file = folder.join("config");
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'https://{server}'}}}}]\nusers: [{{name: u, \
         user: {user}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
    );
    fs::write(&file, text).unwrap();
    (listener, file)
}

#[test]
fn connecting_that_is_cancelled_ends_at_once_in_any_step_and_leaves_nothing() {
    let hangs = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sleep, args: ['10']}}";
    for (user, step) in [("{token: t}", Step::Version), (hangs, Step::Credentials)] {
        let folder = tempfile::tempdir().unwrap();
        let (_server, kubeconfig) = silent(folder.path(), user);
        let target = target(&kubeconfig, folder.path());
        let (step_tx, step_rx) = mpsc::channel();
        let attempt = Arc::new(Attempt::new(move |step| step_tx.send(step.clone()).unwrap()));
        let (own, mirror) = (attempt.clone(), folder.path().join("mirror"));
        let place = mirror.clone();
        let opening = thread::spawn(move || Cluster::open(&target, &place, || {}, &own));
        while step_rx.recv().unwrap() != step {}
        attempt.cancel();
        assert_eq!(opening.join().unwrap().unwrap_err().code, "cancelled", "{step}");
        eventually("the mirror to go", || (!mirror.exists()).then_some(()));
    }
}

#[test]
fn a_program_that_nobody_allowed_never_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("ran");
    let user = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: touch, args: ['{}']}}}}",
        mark.display()
    );
    let (_server, kubeconfig) = silent(folder.path(), &user);
    let own = Kubeconfigs::open(folder.path());
    let id = own.add(&kubeconfig).unwrap();
    assert!(
        own.list()[1].contexts.as_ref().unwrap()[0].1,
        "it is listed as one that asks"
    );
    let target = own.target(&id, "x").unwrap();
    let opened = Cluster::open(&target, &folder.path().join("mirror"), || {}, &Attempt::default());
    assert_eq!(opened.unwrap_err().code, "asks");
    assert_eq!(look(&target).unwrap_err().code, "asks");
    assert!(!mark.exists());
    own.allow(&id, "x", &own.asks(&id, "x").unwrap().unwrap().command)
        .unwrap();
    assert_eq!(look(&target).unwrap_err().code, "credentials", "it ran, and gave none");
    assert!(mark.exists());
}

#[test]
fn a_look_at_a_context_shows_what_runs_there_and_what_may_be_done() {
    let Some(api) = api("a_look_at_a_context") else { return };
    namespace(api, "planes");
    api.apply(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: istiod-1-31, namespace: planes, labels: {app: istiod, \
         istio.io/rev: 1-31}}\nspec:\n  selector: {matchLabels: {app: istiod}}\n  template:\n    metadata: {labels: {app: \
         istiod}}\n    spec: {containers: [{name: discovery, image: 'istio/pilot:1.31.0'}]}\n",
    );
    api.apply(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: \
         istio-revision-tag-prod, labels: {app: sidecar-injector, istio.io/rev: 1-31, istio.io/tag: prod}}\n",
    );
    let folder = tempfile::tempdir().unwrap();
    let facts = look(&target(&api.kubeconfig(), folder.path())).unwrap();
    assert!(facts.kubernetes.starts_with("v1."));
    let revision = Revision {
        name: "1-31".into(),
        versions: ["1.31.0".into()].into(),
        tags: ["prod".into()].into(),
    };
    assert_eq!(facts.revisions, Some(vec![revision]));
    assert_eq!((facts.sidecars, facts.ambient), (Some(false), Some(false)));
    assert!(
        facts.rights.all().all(|(_, reach)| reach.everywhere),
        "an administrator may do all of it"
    );

    // Who may not see the webhooks sees the rest.
    let facts = look(&target(&api.user("viewer").kubeconfig(), folder.path())).unwrap();
    assert!(!facts.tags_seen && facts.revisions.is_some_and(|found| found[0].tags.is_empty()));
}
