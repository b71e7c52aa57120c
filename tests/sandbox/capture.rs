//! What the command sends goes through the sidecar, or through the relay where policy does not capture it.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use crate::trial::{SITE, Trial, binary, eventually, said};

/// Prints nothing but the status.
const CURL: &str = "curl -s -o /dev/null -m 10 -w '%{http_code}\\n' http://httpbin.org/";

#[test]
fn a_request_passes_the_sidecar_and_is_in_its_log() {
    let Some(trial) = Trial::new("a_request_passes", "ALLOW_ANY") else {
        return;
    };
    let output = trial.run(&["sh", "-c", CURL]);
    assert_eq!(said(&output), "200", "{output:?}");
    let lines = trial.lines("access.log");
    assert!(
        lines.len() == 1 && lines[0].contains("PassthroughCluster") && lines[0].contains(SITE),
        "{lines:?}"
    );
    assert_eq!(trial.lines("relay.log"), Vec::<String>::new());
}

#[test]
fn what_policy_blocks_never_reaches_the_site() {
    let Some(trial) = Trial::new("what_policy_blocks", "REGISTRY_ONLY") else {
        return;
    };
    let output = trial.run(&["sh", "-c", CURL]);
    assert_ne!(said(&output), "200", "{output:?}");
    let lines = trial.lines("access.log");
    assert!(
        lines.len() == 1 && lines[0].contains("BlackHoleCluster") && lines[0].contains(SITE),
        "{lines:?}"
    );
    assert_eq!(trial.site.visits(), 0);
}

#[test]
fn a_range_excluded_while_the_command_runs_goes_through_the_relay() {
    let Some(trial) = Trial::new("a_range_excluded", "REGISTRY_ONLY") else {
        return;
    };
    let mut child = trial
        .command(&["sh", "-c", &format!("while read line; do {CURL}; done")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut blocked = 0;
    let mut ask = || {
        writeln!(input, "go").unwrap();
        let passed = answers.next().unwrap().unwrap() == "200";
        blocked += usize::from(!passed);
        passed
    };
    assert!(!ask());
    trial.annotate("excludeOutboundIPRanges", "198.18.0.0/16");
    eventually("a request past the sidecar", || ask().then_some(()));
    assert!(ask());
    drop(input);
    assert!(child.wait().unwrap().success());
    let logged = trial.lines("access.log");
    assert_eq!(logged.len(), blocked, "{logged:?}");
    let records = trial.lines("relay.log");
    assert_eq!(records.len(), 2, "{records:?}");
    for record in records {
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["verdict"], "bypassed");
        assert_eq!(record["destination"], SITE);
        assert_eq!(record["workload"]["name"], "sleep");
    }
}

#[test]
fn an_ordinary_user_has_a_sandbox_and_keeps_its_name() {
    let Some(trial) = Trial::new("an_ordinary_user", "ALLOW_ANY") else {
        return;
    };
    let own = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap();
    let (mut command, uid) = match own.trim() {
        "0" => {
            // The trial run wrote them as root.
            for log in ["access.log", "relay.log"] {
                let _ = std::fs::remove_file(trial.folder.path().join(log));
            }
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
                .arg(binary())
                .args(trial.arguments(&["sh", "-c", &format!("id -u; {CURL}")]));
            (command, "65534")
        }
        own => (trial.command(&["sh", "-c", &format!("id -u; {CURL}")]), own),
    };
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(said(&output), format!("{uid}\n200"), "{output:?}");
}

#[test]
fn names_resolve_whatever_nameserver_the_host_has() {
    let Some(trial) = Trial::new("names_resolve", "ALLOW_ANY") else {
        return;
    };
    let resolv = trial.folder.path().join("resolv.conf");
    for nameserver in ["203.0.113.53", "127.0.0.53", "2001:db8::53"] {
        std::fs::write(&resolv, format!("nameserver {nameserver}\n")).unwrap();
        // Seen by this command only.
        let output = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "--", "sh", "-c"])
            .args([
                "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"".into(),
                resolv.display().to_string(),
            ])
            .arg(binary())
            .args(trial.arguments(&["getent", "ahostsv4", "httpbin.org"]))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(said(&output).starts_with("198.18.0.10 "), "{nameserver}: {output:?}");
    }
}
