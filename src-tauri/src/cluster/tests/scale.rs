//! A large cluster, measured: how long until it can be seen, what it takes in memory, and how soon a change is seen.
//! Run by `make bench-cluster`, which writes down what it prints.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use kube::{
    Api as KubeApi,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::{Attempt, Cluster, api, target};
use crate::{
    change::{Changes, Journal},
    events::{Event, Events},
    session::{self, Origin, Session, findings_of, pods_view, policy_view},
    sidecar::Sidecar,
    traffic::Traffic,
};

const NAMESPACES: usize = 2_000;
const ENTRIES: usize = 20_000;
const PODS: usize = 5_000;
const WORKLOADS: usize = 500;
/// Changes whose way to a view is timed.
const CHANGES: usize = 40;
/// Requests to the API server at once while the objects are made.
const AT_ONCE: usize = 48;

/// Resident memory of this process in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn objects() -> Vec<(ApiResource, String, Value)> {
    let mut objects = Vec::new();
    let space = |index: usize| format!("scale-{:04}", index % NAMESPACES);
    let entry = resource("networking.istio.io", "v1", "ServiceEntry");
    for index in 0..ENTRIES {
        let spec = json!({"hosts": [format!("host-{index}.example.com")], "resolution": "DNS",
            "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 80, "name": "http", "protocol": "HTTP"}]});
        objects.push((
            entry.clone(),
            space(index),
            json!({"metadata": {"name": format!("entry-{index}")}, "spec": spec}),
        ));
    }
    let deployment = resource("apps", "v1", "Deployment");
    for index in 0..WORKLOADS {
        let labels = json!({"app": format!("work-{index}")});
        let spec = json!({"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": "i"}]}}});
        objects.push((
            deployment.clone(),
            space(index),
            json!({"metadata": {"name": format!("work-{index}")}, "spec": spec}),
        ));
    }
    let pod = resource("", "v1", "Pod");
    for index in 0..PODS {
        let work = index % WORKLOADS;
        let metadata = json!({"name": format!("work-{work}-5d-{index}"), "labels": {"app": format!("work-{work}"), "pod-template-hash": "5d"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("work-{work}-5d"),
                "uid": "00000000-0000-0000-0000-000000000000", "controller": true}]});
        let environment: Vec<Value> = (0..30)
            .map(|at| json!({"name": format!("V{at}"), "value": "x".repeat(40)}))
            .collect();
        let spec = json!({"containers": [{"name": "app", "image": "i", "env": environment}, {"name": "istio-proxy", "image": "p", "env": environment}],
            "initContainers": [{"name": "istio-init", "image": "p", "args": ["istio-iptables", "-i", "*", "-x", ""]}]});
        objects.push((pod.clone(), space(work), json!({"metadata": metadata, "spec": spec})));
    }
    objects
}

/// Makes everything, namespaces first.
fn make(cluster: &Cluster) {
    let client = cluster.client.clone();
    let spaces = (0..NAMESPACES).map(|index| {
        let name = format!("scale-{index:04}");
        (
            resource("", "v1", "Namespace"),
            None,
            json!({"metadata": {"name": name}}),
        )
    });
    let accounts = (0..NAMESPACES).map(|index| {
        let space = Some(format!("scale-{index:04}"));
        (
            resource("", "v1", "ServiceAccount"),
            space,
            json!({"metadata": {"name": "default"}}),
        )
    });
    let rest = objects()
        .into_iter()
        .map(|(kind, space, object)| (kind, Some(space), object));
    let waves: [Vec<_>; 3] = [spaces.collect(), accounts.collect(), rest.collect()];
    let (done_tx, done_rx) = mpsc::channel();
    cluster.spawn(async move {
        for wave in waves {
            stream::iter(wave)
                .for_each_concurrent(AT_ONCE, |(kind, space, object)| {
                    let client = client.clone();
                    async move {
                        let api: KubeApi<DynamicObject> = match &space {
                            Some(space) => KubeApi::namespaced_with(client, space, &kind),
                            None => KubeApi::all_with(client, &kind),
                        };
                        let mut object: DynamicObject = serde_json::from_value(object).unwrap();
                        object.types = Some(kube::core::TypeMeta {
                            api_version: kind.api_version.clone(),
                            kind: kind.kind.clone(),
                        });
                        api.create(&PostParams::default(), &object).await.unwrap();
                    }
                })
                .await;
        }
        done_tx.send(()).unwrap();
    });
    done_rx.recv_timeout(Duration::from_secs(900)).unwrap();
}

/// Names the kubeconfig to a process of its own that makes the objects: what that takes is not this process's memory.
const MAKER: &str = "EGRET_SCALE_MAKER";

#[test]
#[ignore = "the other half of the bench, started by it"]
fn the_objects_of_a_large_cluster_are_made() {
    let Some(kubeconfig) = std::env::var_os(MAKER) else {
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let context = target(std::path::Path::new(&kubeconfig), root.path());
    make(&Cluster::open(&context, &root.path().join("maker"), || {}, &Attempt::default()).unwrap());
}

/// Lists everything that is mirrored, as the watches do, and throws it away: what the API server alone takes for it.
fn list_only(cluster: &Cluster) -> Duration {
    #[derive(serde::Deserialize)]
    struct Page {
        metadata: Meta,
    }
    #[derive(serde::Deserialize)]
    struct Meta {
        #[serde(rename = "continue")]
        more: Option<String>,
    }
    let lists = cluster.resources.values().cloned().map(|resource| {
        let client = cluster.client.clone();
        async move {
            let mut more = String::new();
            loop {
                let path = KubeApi::<DynamicObject>::all_with(client.clone(), &resource)
                    .resource_url()
                    .to_string();
                let uri = format!("{path}?limit=500&continue={more}");
                let text = client
                    .request_text(http::Request::get(uri).body(Vec::new()).unwrap())
                    .await
                    .unwrap();
                let page: Page = serde_json::from_str(&text).unwrap();
                match page.metadata.more.filter(|more| !more.is_empty()) {
                    Some(next) => more = next,
                    None => return,
                }
            }
        }
    });
    let lists: Vec<_> = lists.collect();
    let began = Instant::now();
    cluster
        .call_within(Duration::from_secs(120), async move {
            futures_util::future::join_all(lists).await;
            Ok(())
        })
        .unwrap();
    began.elapsed()
}

#[test]
#[ignore = "takes minutes and measures; make bench-cluster runs it"]
fn a_large_cluster_is_seen_soon_and_follows_changes() {
    let Some(api) = api("a_large_cluster") else { return };
    let root = tempfile::tempdir().unwrap();
    let context = target(&api.kubeconfig(), root.path());
    // In memory, as in a desktop session.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let open = |name: &str| {
        let began = Instant::now();
        let attempt = Attempt::new(move |step| eprintln!("{:>6} ms: {step}", began.elapsed().as_millis()));
        Cluster::open(&context, &memory.path().join(name), || {}, &attempt).unwrap()
    };
    let began = Instant::now();
    let maker = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "the_objects_of_a_large_cluster_are_made"])
        .env(MAKER, api.kubeconfig())
        .status()
        .unwrap();
    assert!(maker.success());
    println!("made: {:.0} s", began.elapsed().as_secs_f64());

    println!("| what | figure |\n| --- | --- |");
    let tell = |what: &str, figure: String| println!("| {what} | {figure} |");
    let ms = |duration: Duration| format!("{} ms", duration.as_millis());
    tell("resident memory before", format!("{} MiB", resident()));

    // From the click on the context to everything that the first screen asks for.
    let folder = root.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let (seen_tx, seen_rx) = mpsc::channel();
    let events = Events::new(move |event| {
        if let Event::SourceChanged(state) = event {
            let _ = seen_tx.send((Instant::now(), state.objects));
        }
    });
    let session = Session::start(session::folder(&folder).unwrap(), None, events.clone()).unwrap();
    let traffic = std::sync::Arc::new(Traffic::default());
    let sidecar = Sidecar::new(root.path(), "main-1", traffic.clone(), events.clone());
    let began = Instant::now();
    let cluster = open("mirror");
    tell("everything listed and mirrored", ms(began.elapsed()));
    session.open(Origin::Cluster(cluster.clone()), None).unwrap();
    tell("read as policy", ms(began.elapsed()));
    let view = session.view();
    let changes = Changes::new(
        Journal::open(&root.path().join("journal.sqlite"), &*cluster).unwrap(),
        Vec::new(),
        events,
    );
    let overview = session::overview(&view, &traffic, &sidecar.state(), &changes);
    let seen = began.elapsed();
    tell("Overview answered", ms(seen));
    let policy = policy_view(&view, None, findings_of(&view));
    tell("Policy answered, with all checks", ms(began.elapsed()));
    let pods = pods_view(&view, &cluster);
    tell("pods answered", ms(began.elapsed()));
    let text = serde_json::to_string(&policy).unwrap().len();
    let rows: usize = pods.workloads.iter().map(|row| row.pods).sum();
    tell("Policy's answer to the window", format!("{} kB", text / 1000));
    tell("resident memory with the cluster open", format!("{} MiB", resident()));
    assert!(policy.services.len() >= ENTRIES && rows >= PODS && overview.namespaces.len() >= NAMESPACES);

    // A change by another hand, from the API server's answer to a new view and its event.
    let mut late: Vec<Duration> = Vec::new();
    let client = cluster.client.clone();
    let settle = Duration::from_millis(1500);
    while seen_rx.recv_timeout(settle).is_ok() {}
    for index in 0..CHANGES {
        let entry = resource("networking.istio.io", "v1", "ServiceEntry");
        let (space, name) = (
            format!("scale-{:04}", index * 37 % NAMESPACES),
            format!("entry-{}", index * 37 % NAMESPACES),
        );
        let own: KubeApi<DynamicObject> = KubeApi::namespaced_with(client.clone(), &space, &entry);
        let host = format!("changed-{index}.example.com");
        let patch = json!({"spec": {"hosts": [host]}});
        let answered = cluster
            .call(async move {
                own.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                    .await
                    .unwrap();
                Ok(Instant::now())
            })
            .unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let at = loop {
            assert!(Instant::now() < until, "{host} is seen");
            let Ok((at, _)) = seen_rx.recv_timeout(Duration::from_secs(20)) else {
                continue;
            };
            let view = session.view();
            let hosts = view.world().service_entries.iter().flat_map(|entry| &entry.spec.hosts);
            if hosts.into_iter().any(|known| **known == *host) {
                break at;
            }
        };
        late.push(at.saturating_duration_since(answered));
    }
    late.sort();
    tell("a change is seen, median", ms(late[late.len() / 2]));
    tell(
        "a change is seen, worst",
        format!("{} (of {CHANGES})", ms(late[late.len() - 1])),
    );
    tell("resident memory at the end", format!("{} MiB", resident()));
    let alone = list_only(&cluster);
    tell("the API server alone, for the same lists", ms(alone));
    tell("Overview after that time", ms(seen.saturating_sub(alone)));
}
