//! What is expected, by the real engine, and what a difference is said to mean.

use std::fs;

use proxy_core::{
    record::{Formats, Line},
    source::Folder,
};

use super::*;
use crate::{dto, probe::request::Client, session::View, traffic::Traffic};

const AT: &str = "198.19.0.10";
const HTTPBIN: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin, namespace: default}
spec: {hosts: [httpbin.org], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
";
const TIMEOUT: &str = "
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin, namespace: default}
spec:
  hosts: [httpbin.org]
  http: [{route: [{destination: {host: httpbin.org}}], timeout: 3s}]
";
const PAST: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio-sidecar-injector, namespace: istio-system}
data: {values: '{\"global\": {\"proxy\": {\"excludeIPRanges\": \"198.19.0.10/32\"}}}'}
";

/// The policy of `default/sleep` with this mode and these objects.
fn view(mode: &str, objects: &str) -> (tempfile::TempDir, View) {
    let folder = tempfile::tempdir().unwrap();
    let mesh = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: \
         '{{outboundTrafficPolicy: {{mode: {mode}}}}}'\n"
    );
    fs::write(folder.path().join("mesh.yaml"), mesh).unwrap();
    fs::write(folder.path().join("objects.yaml"), objects).unwrap();
    let reading = Folder::open(folder.path()).unwrap().reading();
    assert_eq!(reading.errors, []);
    let view = View::new(folder.path(), reading, 1);
    (folder, view)
}

fn row(verdict: &str, status: u16, flags: &str) -> Row {
    let line = format!(
        "[2026-11-23T13:38:18.348Z] \"GET / HTTP/1.1\" {status} {flags} - - \"-\" 0 0 1 - \"-\" \"-\" \"-\" \"httpbin.org\" \"-\" - \
         - 198.19.0.10:80 10.88.0.13:1 - -"
    );
    let Line::Flow(mut record) = Formats::default().read(&line, &Default::default(), "") else {
        panic!("{line}");
    };
    record.verdict = serde_json::from_value(verdict.into()).unwrap();
    let traffic = Traffic::default();
    let id = traffic.add(*record);
    traffic.row(id).unwrap()
}

fn asked(view: &View, url: &str, seen: &Seen<'_>) -> Expectation {
    let target = Target::parse(url).unwrap();
    let at = SocketAddr::new(AT.parse().unwrap(), target.port);
    expectation(&view.snapshot("default/sleep"), &target, "GET", Some(at), seen)
}

fn seen(came: Came, flow: Option<&Row>) -> Seen<'_> {
    Seen {
        came,
        flow,
        sidecar: true,
        limit: "20",
    }
}

#[test]
fn the_engines_decision_is_said_in_a_clients_words() {
    let (http, https) = ("http://httpbin.org/headers", "https://httpbin.org/headers");
    for (mode, objects, url, verdict, outcome, agrees) in [
        (
            "ALLOW_ANY",
            "",
            http,
            dto::Verdict::Passthrough,
            "reaches the site",
            Came::Answered(200),
        ),
        (
            "ALLOW_ANY",
            "",
            https,
            dto::Verdict::Passthrough,
            "reaches the site",
            Came::Reached,
        ),
        (
            "REGISTRY_ONLY",
            "",
            https,
            dto::Verdict::Blocked,
            "cut in the TLS handshake: curl exits with 35",
            Came::Cut,
        ),
        (
            "REGISTRY_ONLY",
            "",
            http,
            dto::Verdict::Blocked,
            "cut without an answer: curl exits with 52 or 56",
            Came::Cut,
        ),
        (
            "REGISTRY_ONLY",
            HTTPBIN,
            http,
            dto::Verdict::Registered,
            "reaches the site",
            Came::Answered(404),
        ),
        (
            "REGISTRY_ONLY",
            HTTPBIN,
            "http://a.com/",
            dto::Verdict::Blocked,
            "502 from the sidecar",
            Came::Answered(502),
        ),
        (
            "REGISTRY_ONLY",
            &format!("{HTTPBIN}{TIMEOUT}"),
            http,
            dto::Verdict::Registered,
            "reaches the site; 504 after 3 s",
            Came::Answered(504),
        ),
        (
            "REGISTRY_ONLY",
            PAST,
            http,
            dto::Verdict::Bypassed,
            "reaches the site, past the sidecar",
            Came::Answered(200),
        ),
        (
            "REGISTRY_ONLY",
            "",
            "tcp://a.com:27017",
            dto::Verdict::Blocked,
            "cut at once",
            Came::Cut,
        ),
    ] {
        let (_folder, view) = view(mode, objects);
        let expected = asked(&view, url, &seen(agrees, None));
        assert_eq!(
            (expected.verdict, expected.outcome.as_str()),
            (Some(verdict), outcome),
            "{mode} {url}"
        );
        assert_eq!(expected.finding, None, "{mode} {url}: what was expected is no finding");
        assert!(!expected.reason.is_empty());
    }
}

#[test]
fn a_difference_is_a_finding_with_its_likely_reason() {
    let (http, https) = ("http://httpbin.org/", "https://httpbin.org/");
    let (registered, blocked) = (row("registered", 200, "-"), row("blocked", 502, "-"));
    let (site, unreachable) = (row("registered", 502, "-"), row("registered", 503, "UF,URX"));
    for (mode, objects, url, came, flow, message, hint) in [
        // Refused by the policy, and yet an answer that nobody logged: it went past.
        (
            "REGISTRY_ONLY",
            "",
            https,
            Came::Answered(200),
            None,
            "refuses",
            "restart the workload",
        ),
        // The sidecar has another policy.
        (
            "REGISTRY_ONLY",
            "",
            http,
            Came::Answered(200),
            Some(&registered),
            "made it registered",
            "newest policy",
        ),
        (
            "ALLOW_ANY",
            HTTPBIN,
            http,
            Came::Answered(502),
            Some(&blocked),
            "made it blocked",
            "newest policy",
        ),
        // It should have gone past, and the sidecar has it.
        (
            "ALLOW_ANY",
            PAST,
            http,
            Came::Answered(200),
            Some(&registered),
            "made it registered",
            "restart the workload",
        ),
        // The site's own 502, and the sidecar's word that it could not connect.
        (
            "ALLOW_ANY",
            HTTPBIN,
            http,
            Came::Answered(502),
            Some(&site),
            "the site's own",
            "passed the answer on",
        ),
        (
            "ALLOW_ANY",
            HTTPBIN,
            http,
            Came::Answered(503),
            Some(&unreachable),
            "got no answer",
            "cannot connect",
        ),
        (
            "ALLOW_ANY",
            HTTPBIN,
            http,
            Came::Answered(504),
            None,
            "from the site",
            "logged nothing",
        ),
        // Let through, and cut all the same.
        ("ALLOW_ANY", "", https, Came::Cut, None, "was cut", "newest policy"),
        ("ALLOW_ANY", PAST, http, Came::Cut, None, "was cut", "firewall"),
        (
            "REGISTRY_ONLY",
            "",
            https,
            Came::Failed,
            None,
            "as expected",
            "may not speak HTTPS",
        ),
        (
            "ALLOW_ANY",
            "",
            https,
            Came::Failed,
            None,
            "the client failed",
            "may not speak HTTPS",
        ),
        ("ALLOW_ANY", "", http, Came::Unresolved, None, "not resolved", "DNS"),
        (
            "ALLOW_ANY",
            "",
            http,
            Came::Refused,
            None,
            "Nobody took",
            "sidecar is not ready",
        ),
        ("ALLOW_ANY", "", http, Came::TimedOut, None, "within 20 s", "silent"),
    ] {
        let (_folder, view) = view(mode, objects);
        let finding = asked(&view, url, &seen(came, flow)).finding;
        let finding = finding.unwrap_or_else(|| panic!("{mode} {url} {came:?} is a difference"));
        assert!(finding.message.contains(message), "{came:?}: {}", finding.message);
        assert!(finding.hint.contains(hint), "{came:?}: {}", finding.hint);
    }
}

#[test]
fn a_flow_that_an_earlier_policy_decided_says_so() {
    let (_folder, view) = view("REGISTRY_ONLY", "");
    let mut flow = row("passthrough", 200, "-");
    flow.record.policy_hash = "0123456789abcdef".into();
    let finding = asked(&view, "http://httpbin.org/", &seen(Came::Answered(200), Some(&flow)))
        .finding
        .unwrap();
    assert!(finding.hint.contains("earlier policy"), "{}", finding.hint);
}

#[test]
fn without_a_sidecar_no_policy_is_expected_to_hold() {
    let (_folder, view) = view("REGISTRY_ONLY", "");
    let alone = Seen {
        sidecar: false,
        ..seen(Came::Answered(200), None)
    };
    let expected = asked(&view, "https://httpbin.org/", &alone);
    assert_eq!(
        (expected.verdict, expected.finding),
        (Some(dto::Verdict::Bypassed), None)
    );
    assert!(
        expected.reason.contains("no sidecar") && expected.reason.contains("blocked"),
        "{}",
        expected.reason
    );
}

#[test]
fn without_an_address_nothing_is_expected_and_the_failure_still_explained() {
    let (_folder, view) = view("ALLOW_ANY", "");
    let target = Target::parse("http://nowhere.example/").unwrap();
    let snapshot = view.snapshot("default/sleep");
    let expected = expectation(&snapshot, &target, "GET", None, &seen(Came::Unresolved, None));
    assert_eq!(expected.verdict, None);
    assert!(expected.finding.unwrap().hint.contains("DNS"));
}

#[test]
fn a_client_is_read_as_far_as_it_tells() {
    for (client, exit, status, came) in [
        (Client::Curl, 0, Some(200), Came::Answered(200)),
        (Client::Curl, 28, Some(200), Came::Answered(200)),
        (Client::Curl, 6, None, Came::Unresolved),
        (Client::Curl, 7, None, Came::Refused),
        (Client::Curl, 28, None, Came::TimedOut),
        (Client::Curl, 35, None, Came::Cut),
        (Client::Curl, 52, None, Came::Cut),
        (Client::Curl, 56, None, Came::Cut),
        (Client::Curl, 60, None, Came::Reached),
        (Client::Curl, 3, None, Came::Failed),
        (Client::Wget, 1, Some(502), Came::Answered(502)),
        (Client::Wget, 8, Some(404), Came::Answered(404)),
        (Client::Wget, 4, None, Came::Failed),
    ] {
        assert_eq!(Came::of(client, exit, status), came, "{client:?} {exit} {status:?}");
    }
}

#[test]
fn a_bare_connection_is_cut_when_it_ends_without_a_word() {
    for (exit, connected, came, read) in [
        (0, true, false, Came::Cut),
        (0, true, true, Came::Reached),
        (28, true, true, Came::Reached),
        (28, true, false, Came::Reached),
        (28, false, false, Came::TimedOut),
        (56, true, false, Came::Cut),
        (7, false, false, Came::Refused),
    ] {
        assert_eq!(
            Came::of_stream(exit, connected, came),
            read,
            "{exit} {connected} {came}"
        );
    }
}
