//! A policy that one ConfigMap has no room for, as kubelet brings it in parts, and DNS that is captured: in a pod that is
//! written by hand.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use egret_tests::mesh::Mesh;
use serde_json::{Value, json};

use super::pod::{Guarded, POD, TOKEN, archive, egret_image};

/// Hosts of the policy.
const HOSTS: u64 = 20_000;
/// Most bytes of a part, which are a third more in a ConfigMap's JSON.
const PART: usize = 740 << 10;

/// Names are answered by the sidecar, and nothing but what is registered passes.
const MESH: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}}
";

pub fn story(mesh: &Mesh) {
    mesh.import(&archive().unwrap());
    let pod = Guarded { mesh };
    // Two hosts of one port, which nothing but their addresses tells apart.
    let (one, two) = (
        database("a.example.com", "240.240.0.1"),
        database("b.example.com", "240.240.0.2"),
    );
    assert!(mount(mesh, 1, &[&one, &two]) > 1, "it is in parts");
    let sources: Vec<Value> = names()
        .map(|name| json!({"configMap": {"name": name, "optional": true}}))
        .collect();
    let text = POD
        .replace("IMAGE", &egret_image())
        .replace(
            "configMap: {name: guarded-policy, optional: true}",
            &format!("projected: {}", json!({"sources": sources})),
        )
        .replace("limits: {memory: 64Mi}", "limits: {memory: 128Mi}")
        .replace(
            "    - --keep=",
            "    - --dns=127.0.0.1:15953\n    - --dns=[::1]:15953\n    - --keep=",
        )
        .replace("--port=15901, ", "--port=15901, --dns-port=15953, ");
    mesh.apply(&text);
    mesh.text(&["wait", "pod/guarded", "--for=condition=Ready", "--timeout=55s"]);

    pod.settles(1, "mounted");
    for host in ["a.example.com", "b.example.com"] {
        assert_eq!(
            pod.curl(&format!("http://{host}:5432/headers")),
            (0, "200".into()),
            "{host}"
        );
        pod.logs("the cluster of its own", |line| {
            line.contains(&format!("outbound|5432||{host}"))
        });
    }
    let memory = pod.own(&["get", "-f", "-s", "http://127.0.0.1:15900/metrics"]).unwrap();
    let resident = memory
        .lines()
        .find(|line| line.starts_with("process_resident_memory_bytes "))
        .unwrap_or_default();
    println!("with {HOSTS} hosts: {resident}");

    // Another version of as many parts; the sidecar's death changes nothing of it.
    mount(mesh, 2, &[&one]);
    mesh.text(&["annotate", "pod/guarded", "egret.dev/nudge=2", "--overwrite"]);
    pod.settles(2, "mounted");
    assert_eq!(pod.curl("http://a.example.com:5432/headers").1, "200");
    assert_ne!(pod.curl("http://b.example.com:5432/headers").0, 0);
    pod.kill();
    pod.settles(2, "mounted");
    assert_eq!(pod.curl("http://a.example.com:5432/headers").1, "200");
    let all: Vec<String> = names().map(|name| format!("configmap/{name}")).collect();
    let all = all.iter().map(String::as_str);
    mesh.text(
        &["delete", "pod/guarded", "--ignore-not-found"]
            .into_iter()
            .chain(all)
            .collect::<Vec<_>>(),
    );
}

/// The ConfigMaps that the policy may be in.
fn names() -> impl Iterator<Item = String> {
    let parts = ["even", "odd"]
        .into_iter()
        .flat_map(|slot| (0..4).map(move |part| format!("guarded-policy-{slot}-{part}")));
    ["guarded-policy".to_string()].into_iter().chain(parts)
}

/// Writes the policy, its parts first, and says how many there are.
fn mount(mesh: &Mesh, generation: u64, databases: &[&str]) -> usize {
    let hosts = (0..HOSTS).map(entry);
    let all: Vec<String> = [MESH.to_string()]
        .into_iter()
        .chain(databases.iter().map(ToString::to_string))
        .chain(hosts)
        .collect();
    let packed = piped("gzip", &["-9", "-n"], all.join("---\n").as_bytes());
    let digest = String::from_utf8(piped("sha256sum", &[], &packed)).unwrap();
    let slot = if generation.is_multiple_of(2) { "even" } else { "odd" };
    let mut list = format!("sha256:{}\n", digest.split(' ').next().unwrap());
    for (number, part) in packed.chunks(PART).enumerate() {
        let file = format!("policy.yaml.gz.{slot}-{number}");
        list += &format!("{file}\n");
        let base64 = String::from_utf8(piped("base64", &["-w0"], part)).unwrap();
        apply(
            mesh,
            &format!("guarded-policy-{slot}-{number}"),
            &json!({"binaryData": {file: base64}}),
        );
    }
    let own = json!({"policy.yaml.gz.parts": list, "generation": generation.to_string(), "push-token": TOKEN});
    apply(mesh, "guarded-policy", &json!({"data": own}));
    packed.chunks(PART).len()
}

fn apply(mesh: &Mesh, name: &str, data: &Value) {
    let mut map = data.clone();
    map["apiVersion"] = json!("v1");
    map["kind"] = json!("ConfigMap");
    map["metadata"] = json!({"name": name, "namespace": "default"});
    // Without a copy of itself in an annotation, which has less room.
    let output = mesh.send(&["apply", "--server-side"], &map.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// One that has nothing in common with the others, so that it takes its room also when it is packed.
fn entry(number: u64) -> String {
    let mut state = number;
    let words: Vec<String> = (0..6)
        .map(|_| {
            // The steps of splitmix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            format!("{:016x}", mixed ^ (mixed >> 27))
        })
        .collect();
    let (host, name) = (words.join("."), format!("e{number}"));
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  hosts: \
         [{host}.example]\n  ports: [{{number: 443, name: tls, protocol: TLS}}]\n  resolution: DNS\n"
    )
}

/// A TCP host without an address but for the one that Istio allocated.
fn database(host: &str, address: &str) -> String {
    let name = host.replace('.', "-");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: default}}\nspec:\n  hosts: \
         [{host}]\n  ports: [{{number: 5432, name: tcp, protocol: TCP}}]\n  resolution: DNS\nstatus:\n  addresses: [{{value: \
         {address}, host: {host}}}]\n"
    )
}

fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut writer, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writing = std::thread::spawn(move || writer.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}
