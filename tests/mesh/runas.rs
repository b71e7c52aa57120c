//! A command of this computer in the place of a workload of the cluster: its policy while it changes, and its Services.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use egret_tests::mesh::{Api, Cluster, Mesh, eventually};

use super::{connect::with_program, story::HTTPBIN};

const CONTEXT: &str = "egret-mesh";
/// Nothing but what is registered, for one workload.
const REGISTRY_ONLY: &str = "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: strict, namespace: default}
spec:
  workloadSelector: {labels: {app: sleep}}
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
";
/// A workload whose container has variables and files from everywhere.
const FURNISHED: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: furnished, namespace: default}
data: {MODE: quick}
---
apiVersion: v1
kind: Secret
metadata: {name: furnished, namespace: default}
stringData: {password: s3cret}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: furnished, namespace: default}
spec:
  replicas: 0
  selector: {matchLabels: {app: furnished}}
  template:
    metadata: {labels: {app: furnished}}
    spec:
      containers:
      - name: app
        image: app:1
        envFrom: [{configMapRef: {name: furnished}}]
        env:
        - {name: WHERE, value: http://$(MODE).default}
        - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: furnished, key: password}}}
        volumeMounts:
        - {name: settings, mountPath: /etc/furnished}
        - {name: secrets, mountPath: /egret-furnished/secrets}
        - {name: cache, mountPath: /egret-furnished/cache}
      volumes:
      - {name: settings, configMap: {name: furnished, items: [{key: MODE, path: modes/mode}]}}
      - {name: secrets, secret: {secretName: furnished}}
      - {name: cache, emptyDir: {}}
";
/// Asks for each line that it reads, and says what came of it.
const ASKER: &str =
    "while read -r url; do curl -s -o /dev/null --max-time 20 -w '%{http_code}\\n' \"$url\"; done; true";

/// `egret mirror`.
struct Mirror {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    folder: PathBuf,
}

impl Mirror {
    fn start(cluster: &Cluster, scratch: &Path, more: &[&str]) -> Self {
        let folder = scratch.join("policy");
        let mut child = Command::new(program("egret"))
            .args(["mirror", "--context", CONTEXT, "--to"])
            .arg(&folder)
            .args(more)
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("EGRET_DATA", scratch.join("data"))
            .env_remove("DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, folder }
    }

    /// The next line that says this.
    fn says(&mut self, word: &str) -> serde_json::Value {
        loop {
            let line = self
                .lines
                .next()
                .unwrap_or_else(|| panic!("it ended without {word}"))
                .unwrap();
            let said: serde_json::Value = serde_json::from_str(&line).unwrap();
            if said.get(word).is_some() {
                return said[word].clone();
            }
        }
    }
}

pub fn a_cluster_is_a_folder_without_a_window(api: &Api) {
    let scratch = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::start(api, scratch.path(), &[]);
    let ready = mirror.says("ready");
    assert!(
        ready["forwarder"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{ready}"
    );
    api.apply(HTTPBIN);
    let entry = mirror.folder.join("ServiceEntry/default.httpbin.yaml");
    eventually("the new object in the folder", || entry.exists().then_some(()));
    api.text(&["delete", "serviceentry", "httpbin"]);
    eventually("its end", || (!entry.exists()).then_some(()));
    drop(mirror.child.stdin.take());
    assert!(mirror.child.wait().unwrap().success());
    assert!(!mirror.folder.exists(), "nothing is left behind");

    let mut asked_to_end = Mirror::start(api, scratch.path(), &[]);
    asked_to_end.says("ready");
    let pid = asked_to_end.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(asked_to_end.child.wait().unwrap().success());
    assert!(!asked_to_end.folder.exists());
}

pub fn what_a_window_would_ask_about_is_refused_without_one(api: &Api) {
    let scratch = tempfile::tempdir().unwrap();
    let (team, mark) = (scratch.path().join("team.yaml"), scratch.path().join("ran"));
    fs::write(&team, with_program(&api.user("viewer").kubeconfig(), &mark)).unwrap();
    let mut mirror = Mirror::start(api, scratch.path(), &["--kubeconfig", &team.display().to_string()]);
    let fault = mirror.says("fault");
    assert_eq!(fault["code"], "asks");
    assert!(fault["message"].as_str().unwrap().contains("sh -c"), "{fault}");
    assert!(fault["hint"].as_str().unwrap().contains("allow the program"), "{fault}");
    assert!(!mirror.child.wait().unwrap().success() && !mark.exists());

    // And `egret-proxy` hands it on.
    let output = exec(api, &["--kubeconfig", &team.display().to_string()], &["true"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("allow the program") && output.status.code() == Some(2),
        "{said}"
    );
}

pub fn variables_are_taken_over_and_secret_ones_only_after_a_word_of_their_own(api: &Api) {
    api.apply(FURNISHED);
    let run = |cluster: &Cluster, more: &[&str]| {
        let options = [&["--workload", "deploy/furnished", "--environment"], more].concat();
        let output = exec(cluster, &options, &["env"]).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let (variables, said) = run(api, &[]);
    for line in ["MODE=quick", "WHERE=http://quick.default", "POD=furnished-sandbox"] {
        assert!(variables.lines().any(|own| own == line), "{line}: {variables}{said}");
    }
    assert!(
        !variables.contains("PASSWORD") && said.contains("PASSWORD: Secret furnished"),
        "{said}"
    );
    let (variables, said) = run(api, &["--secrets"]);
    assert!(
        variables.contains("PASSWORD=s3cret") && !said.contains("s3cret"),
        "{said}"
    );
    // The mesh's viewer may read no Secrets.
    let (_, said) = run(&api.user("viewer"), &["--secrets"]);
    assert!(said.contains("needs get secrets in default"), "{said}");
    api.text(&[
        "delete",
        "deployment/furnished",
        "configmap/furnished",
        "secret/furnished",
    ]);
}

pub fn an_ordinary_user_has_the_files_of_a_workload(api: &Api) {
    api.apply(FURNISHED);
    let place = tempfile::tempdir().unwrap();
    let kubeconfig = place.path().join("kubeconfig");
    fs::copy(api.kubeconfig(), &kubeconfig).unwrap();
    let options = ["--workload", "deploy/furnished", "--environment"];
    let script = "id -u; echo $MODE; cat /etc/furnished/modes/mode /egret-furnished/secrets/password; echo; \
                  touch /etc/furnished/new 2>&1 | grep -c Read-only; ls -d /egret-furnished/cache";
    let run = |more: &[&str]| {
        let asked = exec(api, &[&options, more].concat(), &["sh", "-c", script]);
        let mut command = as_ordinary_user(&asked, place.path());
        command.env("KUBECONFIG", &kubeconfig).env("HOME", place.path());
        // Another user's, as after `su`.
        command.env("XDG_RUNTIME_DIR", "/proc/1").env_remove("EGRET_DATA");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    let (said, warned) = run(&["--secrets"]);
    let mut lines = said.lines();
    assert_ne!(lines.next(), Some("0"), "{warned}");
    assert_eq!(lines.collect::<Vec<_>>(), ["quick", "quicks3cret", "1"], "{warned}");
    assert!(warned.contains("cache"), "what is left out is named: {warned}");
    // Without the word of its own no Secret comes, in variables or files.
    let (said, warned) = run(&[]);
    assert!(!said.contains("s3cret") && said.contains("quick"), "{said}{warned}");
    assert!(
        warned.contains("furnished: Secret") || warned.contains("Secret furnished"),
        "{warned}"
    );
    for path in ["/etc/furnished", "/egret-furnished"] {
        assert!(!Path::new(path).exists(), "{path} is on the disk");
    }
    api.text(&[
        "delete",
        "deployment/furnished",
        "configmap/furnished",
        "secret/furnished",
    ]);
}

/// The same command by somebody without any right, who owns `place`.
fn as_ordinary_user(asked: &Command, place: &Path) -> Command {
    if !is_root() {
        let mut command = Command::new(asked.get_program());
        command.args(asked.get_args());
        return command;
    }
    let owned = Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(place)
        .status()
        .unwrap();
    assert!(owned.success());
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--bounding-set=-all",
        "--",
    ]);
    command.arg(asked.get_program()).args(asked.get_args());
    command
}

fn is_root() -> bool {
    let own = Command::new("id").arg("-u").output().unwrap();
    own.stdout == b"0\n"
}

pub fn a_command_in_the_place_of_a_clusters_workload(mesh: &Mesh) {
    let unknown = exec(mesh, &["--workload", "deploy/slep"], &["true"]).output().unwrap();
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(said.contains("near to it: deploy/sleep"), "{said}");

    let site = site();
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("access.log");
    let (map, log_text) = (format!("198.18.0.10:80={site}"), log.display().to_string());
    let own = [
        "--map",
        &map,
        "--host",
        "httpbin.org=198.18.0.10",
        "--access-log",
        &log_text,
    ];
    let mut child = exec(
        mesh,
        &[&["--workload", "deploy/sleep"], &own[..]].concat(),
        &["sh", "-c", ASKER],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    let mut asker = Asker {
        input: child.stdin.take().unwrap(),
        output: BufReader::new(child.stdout.take().unwrap()).lines(),
    };
    assert_eq!(asker.ask("http://httpbin.org/"), "200");
    // The policy changes under it, and back.
    mesh.apply(REGISTRY_ONLY);
    asker.settles("000");
    mesh.apply(HTTPBIN);
    asker.settles("200");
    mesh.text(&["delete", "sidecar/strict", "serviceentry/httpbin"]);

    // A Service of the cluster, through a port-forward to its pod, by every name that a pod has for it.
    for host in ["istiod.istio-system", "istiod.istio-system.svc.cluster.local"] {
        assert_eq!(asker.ask(&format!("http://{host}:15014/version")), "200", "{host}");
    }
    assert_eq!(asker.ask("http://istiod.istio-system:4444/"), "000", "no such port");
    drop(asker);
    assert!(child.wait().unwrap().success());
    let lines = fs::read_to_string(&log).unwrap();
    assert!(
        lines.contains("outbound|15014||istiod.istio-system.svc.cluster.local"),
        "{lines}"
    );
}

struct Asker {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Asker {
    fn ask(&mut self, url: &str) -> String {
        writeln!(self.input, "{url}").unwrap();
        self.output.next().unwrap().unwrap()
    }

    fn settles(&mut self, status: &str) {
        eventually(&format!("{status} from httpbin.org"), || {
            (self.ask("http://httpbin.org/") == status).then_some(())
        });
    }
}

/// `egret-proxy exec` under the policy of this cluster.
fn exec(cluster: &Cluster, options: &[&str], argv: &[&str]) -> Command {
    let mut command = Command::new(program("egret-proxy"));
    command
        .args(["exec", "--context", CONTEXT])
        .args(options)
        .arg("--")
        .args(argv);
    command.env("KUBECONFIG", cluster.kubeconfig());
    command
}

/// A program that was built beside this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(name)
}

/// A site on loopback that answers everything with 200.
fn site() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    address
}
