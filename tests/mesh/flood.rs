//! A flood of lines: the sidecars of several pods write as fast as they can, and the log window has every line. How fast
//! that went is told, not asserted, and whose processor time it took.

use std::{collections::BTreeMap, fs, time::Instant};

use egret_tests::mesh::{Mesh, eventually};

use super::{own, stage, window::Window};

const PODS: usize = 5;
/// Lines of each pod: less than the kubelet keeps in one file.
const LINES: usize = 20_000;
const HOST: &str = "flood.example.com";

/// A pod whose sidecar is a shell: nothing writes lines faster, and the kubelet, the API server and the app cannot tell.
fn pod(index: usize) -> String {
    let line = format!(
        "[2026-11-23T13:38:18.348Z] \"GET /lines/%d HTTP/1.1\" 200 - via_upstream - \"-\" 0 1 2 1 \"-\" \"curl/8.16.0\" \
         \"4bc8e474-2a91-4a67-872e-ad5ee2258b1c\" \"{HOST}\" \"1.2.3.4:80\" PassthroughCluster 10.0.0.1:1 1.2.3.4:80 \
         10.0.0.1:2 - allow_any\\n"
    );
    let script = format!(
        "until [ -e /tmp/go ]; do sleep 0.1; done; i=0; while [ $i -lt {LINES} ]; do printf '{line}' $i; i=$((i+1)); done; \
         sleep infinity"
    );
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("flood-{index}"), "labels": {"app": "flood", "sidecar.istio.io/inject": "false",
            "security.istio.io/tlsMode": "istio"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "istio-proxy", "image": "egret.test/sleep:1",
            "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", script]}]},
    })
    .to_string()
}

pub fn every_line_comes(mesh: &Mesh) {
    let scratch = tempfile::tempdir().unwrap();
    for index in 0..PODS {
        mesh.apply(&pod(index));
    }
    eventually("the pods to run", || {
        let phases = mesh.text(&[
            "get",
            "pods",
            "-l",
            "app=flood",
            "-o",
            "jsonpath={.items[*].status.phase}",
        ]);
        (phases.matches("Running").count() == PODS).then_some(())
    });
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| play(mesh, window).await);
    mesh.text(&["delete", "pods", "-l", "app=flood", "--wait=false"]);
}

async fn play(mesh: &Mesh, window: &Window) {
    window.click("source-menu").await;
    window.click("context").await;
    window.wait_for("source-menu", &["cluster"]).await;
    let log = window.opens("rail-log").await;
    window.switch(&log).await;
    window.wait_for("log-pods", &["6 pods"]).await;
    window.fill("log-filter", HOST).await;

    let (began, before) = (Instant::now(), spent());
    for index in 0..PODS {
        mesh.text(&[
            "exec",
            &format!("flood-{index}"),
            "-c",
            "istio-proxy",
            "--",
            "/bin/sh",
            "-c",
            ": > /tmp/go",
        ]);
    }
    let all = format!("{},000 of", PODS * LINES / 1000);
    // A busy machine takes its time, but lines go on coming: what stands still is lost.
    let (mut last, mut stood) = (String::new(), 0);
    while !last.contains(&all) {
        assert!(stood < 20, "{last:?} stands still");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let count = window.text("log-count").await;
        stood = if count == last { stood + 1 } else { 0 };
        last = count;
    }
    println!(
        "{} lines of {PODS} pods came in {:.1} s: {last}",
        PODS * LINES,
        began.elapsed().as_secs_f64()
    );
    let taken: Vec<String> = spent()
        .into_iter()
        .map(|(part, after)| (after - before.get(part).copied().unwrap_or_default(), part))
        .map(|(ticks, part)| format!("{part} {}", ticks * 10_000 / (PODS * LINES) as u64))
        .collect();
    println!("processor time a line, in microseconds: {}", taken.join(", "));
    window.wait_for("log-dropped", &["dropped\n0"]).await;
    window.wait_for("log-row", &[HOST, "default/flood"]).await;
}

/// Who handles a line, by the name that the kernel has for its process, which ends after 15 characters.
const PARTS: [(&str, &str); 6] = [
    ("egret", "the app"),
    ("WebKitWebProces", "its windows"),
    ("kube-apiserver", "API server"),
    ("kubelet", "kubelet"),
    ("containerd", "container runtime"),
    ("containerd-shim", "container runtime"),
];

/// Processor time of each part so far, in hundredths of a second. Of apps only the one that this test has started counts.
fn spent() -> BTreeMap<&'static str, u64> {
    let mut parents = BTreeMap::new();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // One that ends meanwhile has none.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let Some((head, tail)) = stat.rsplit_once(") ") else {
            continue;
        };
        let Some((pid, name)) = head.split_once(" (") else {
            continue;
        };
        let fields: Vec<&str> = tail.split(' ').collect();
        let number = |at: usize| fields[at].parse::<u64>().unwrap_or_default();
        let pid: u64 = pid.parse().unwrap();
        parents.insert(pid, number(1));
        if let Some((_, part)) = PARTS.iter().find(|(own, _)| *own == name) {
            found.push((pid, *part, number(11) + number(12)));
        }
    }
    let is_ours = |pid: u64| {
        let mut at = Some(&pid);
        std::iter::from_fn(|| {
            let own = at?;
            at = parents.get(own);
            Some(*own)
        })
        .any(|own| own == u64::from(std::process::id()))
    };
    let mut spent = BTreeMap::new();
    for (pid, part, ticks) in found {
        if !matches!(part, "the app" | "its windows") || is_ours(pid) {
            *spent.entry(part).or_default() += ticks;
        }
    }
    spent
}
