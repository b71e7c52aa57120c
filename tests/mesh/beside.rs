//! The same requests from a copy with Egret's sidecar and from the workload with Istio's: what the client gets, and what the
//! two sidecars log of it, word by word.

use egret_tests::mesh::{Mesh, eventually};

use super::{
    deploying::{bring_image, check_and_start, choose, left, open, policy_is, stop},
    own, stage,
    story::{CATCH_ALL, GOOGLE, HTTPBIN, ROUTES, TIMEOUT},
    window::Window,
};

/// Sent under each policy, from both.
const REQUESTS: [&str; 9] = [
    "http://httpbin.org/headers",
    "http://httpbin.org/status/503",
    "http://httpbin.org/delay/4",
    "http://httpbin.org:8080/headers",
    "http://edition.cnn.com/headers",
    "http://198.19.0.12/headers",
    "https://www.google.com/headers",
    "https://edition.cnn.com/headers",
    "https://www.google.com:8443/headers",
];

/// One after the other, so that the rows of the log are in this order.
const ASKER: &str = "for url in \"$@\"; do status=$(curl -sk -m 20 -o /dev/null -w '%{http_code}' \"$url\"); \
                     echo \"exit $? status $status\"; sleep 0.3; done";

/// Where words of the sidecars' log say what became of a request, in Istio's default format.
const COMPARED: [(usize, &str); 9] = [
    (1, "request"),
    (2, "status"),
    (3, "flags"),
    (4, "details"),
    (5, "why the connection ended"),
    (14, "authority"),
    (16, "cluster"),
    (20, "server name"),
    (21, "route"),
];

pub fn story(mesh: &Mesh) {
    bring_image(mesh);
    let scratch = tempfile::tempdir().unwrap();
    let session = own::session(scratch.path(), &mesh.kubeconfig());
    stage::play(&session, async |window| play(mesh, window).await);
    assert_eq!(left(mesh), "");
}

async fn play(mesh: &Mesh, window: &Window) {
    let sleep = mesh.sleep();
    open(window).await;
    choose(window, "Deployment default/sleep", &["mode-enforce"]).await;
    check_and_start(window).await;
    let copy = mesh.text(&["get", "pods", "--selector=egret.dev/copy-of=sleep", "--output=name"]);
    let workload = mesh.text(&["get", "pods", "--selector=app=sleep", "--output=name"]);
    let copy = Side {
        mesh,
        pod: copy.trim(),
        sidecar: "egret-proxy",
    };
    let workload = Side {
        mesh,
        pod: workload.trim(),
        sidecar: "istio-proxy",
    };
    let mut differences = Vec::new();
    let mut compare = |policy: &str| {
        let both = copy.asks().into_iter().zip(workload.asks());
        for (url, (own, istio)) in REQUESTS.into_iter().zip(both) {
            if own != istio {
                differences.push(format!("{policy}, {url}:\n  Egret {own:?}\n  Istio {istio:?}"));
            }
        }
    };
    compare("ALLOW_ANY");

    mesh.set_mode("ALLOW_ANY", "REGISTRY_ONLY");
    sleep.settles(CATCH_ALL, |listener| !listener.contains("PassthroughCluster"));
    policy_is(window, "no. 2").await;
    compare("REGISTRY_ONLY");

    mesh.apply(HTTPBIN);
    sleep.settles("/listeners", |listeners| listeners.contains("0.0.0.0_80:"));
    policy_is(window, "no. 3").await;
    compare("with httpbin.org");

    mesh.apply(GOOGLE);
    sleep.settles("/listeners", |listeners| listeners.contains("0.0.0.0_443:"));
    policy_is(window, "no. 4").await;
    mesh.apply(TIMEOUT);
    sleep.settles(ROUTES, |routes| routes.contains(r#""timeout": "3s""#));
    policy_is(window, "no. 5").await;
    compare("with www.google.com and a timeout");

    mesh.text(&[
        "delete",
        "virtualservice/httpbin",
        "serviceentry/httpbin",
        "serviceentry/google",
    ]);
    mesh.set_mode("REGISTRY_ONLY", "ALLOW_ANY");
    stop(window).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// A pod with a sidecar.
struct Side<'m> {
    mesh: &'m Mesh,
    pod: &'m str,
    sidecar: &'static str,
}

impl Side<'_> {
    /// For each request curl's exit code and the response's status, and the words of the sidecar's log.
    fn asks(&self) -> Vec<Vec<String>> {
        let before = self.lines().len();
        let output = self.mesh.kubectl(
            &[
                &["exec", self.pod, "--container=sleep", "--", "sh", "-c", ASKER, "sh"],
                &REQUESTS[..],
            ]
            .concat(),
        );
        let ends = String::from_utf8_lossy(&output.stdout).into_owned();
        let ends: Vec<&str> = ends.lines().collect();
        assert_eq!(ends.len(), REQUESTS.len(), "{output:?}");
        let lines = eventually(&format!("{} rows in the log of {}", ends.len(), self.sidecar), || {
            let lines = self.lines().split_off(before);
            (lines.len() == ends.len()).then_some(lines)
        });
        let row = |(end, line): (&&str, &String)| {
            let words = words(line);
            let compared = COMPARED.iter().map(|(at, what)| {
                let word = words.get(*at).unwrap_or_else(|| panic!("no {what}: {line}"));
                format!("{what} {word}")
            });
            // Whether curl sees the end of a connection or its reset is a matter of time.
            let end = end.replace("exit 52", "cut").replace("exit 56", "cut");
            [end].into_iter().chain(compared).collect()
        };
        ends.iter().zip(&lines).map(row).collect()
    }

    /// The lines of the access log.
    fn lines(&self) -> Vec<String> {
        let log = self
            .mesh
            .text(&["logs", self.pod, "--container", self.sidecar, "--tail=-1"]);
        let access = log.lines().filter(|line| line.starts_with("[20"));
        access.map(str::to_string).collect()
    }
}

/// Words are parted by spaces outside of quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            letter => words.last_mut().expect("it begins with one").push(letter),
        }
    }
    words
}
