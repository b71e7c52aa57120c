//! There is no other way out.

use std::{
    net::{TcpListener, UdpSocket},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::trial::{Trial, binary, said};

#[test]
fn the_command_cannot_change_the_rules() {
    let Some(trial) = Trial::new("the_command_cannot_change_the_rules", "REGISTRY_ONLY") else {
        return;
    };
    let script = "
        PATH=$PATH:/usr/sbin:/sbin
        nft list tables && echo listed
        nft flush ruleset && echo flushed
        unshare --user --map-root-user nft flush ruleset && echo flushed nested
        nsenter --user --net --target $PPID true && echo entered
        grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f 2 | sort -u
        curl -s -o /dev/null -m 10 http://httpbin.org/";
    let output = trial.run(&["sh", "-c", script]);
    assert_eq!(said(&output), "0000000000000000", "{output:?}");
    assert_eq!(trial.site.visits(), 0);
}

#[test]
fn datagrams_do_not_leave() {
    let Some(trial) = Trial::new("datagrams_do_not_leave", "ALLOW_ANY") else {
        return;
    };
    // The host's own address on its network, where it has one, and its loopback.
    let outside = UdpSocket::bind("0.0.0.0:0").unwrap();
    let _ = outside.connect("198.18.0.1:9");
    let address = outside.local_addr().unwrap().ip();
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let port = socket.local_addr().unwrap().port();
    let send = |to: &str| format!("echo out > /dev/udp/{to}/{port}");
    let here = Command::new("bash").args(["-c", &send("127.0.0.1")]).status().unwrap();
    assert!(
        here.success() && socket.recv(&mut [0; 16]).is_ok(),
        "the check itself works"
    );
    for to in ["127.0.0.1", "198.18.0.1", &address.to_string()] {
        trial.run(&["bash", "-c", &send(to)]);
        assert!(socket.recv(&mut [0; 16]).is_err(), "a datagram to {to} left");
    }
    let output = trial.run(&["bash", "-c", &format!("{{ {}; }} 2>&1", send("198.18.0.1"))]);
    assert!(
        said(&output).contains("not permitted"),
        "the sender hears of it: {output:?}"
    );
}

#[test]
fn the_hosts_loopback_is_out_of_reach_even_on_an_excluded_port() {
    let Some(trial) = Trial::new("the_hosts_loopback", "ALLOW_ANY") else {
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    trial.annotate("excludeOutboundPorts", &port.to_string());
    let output = trial.run(&["curl", "-s", "-m", "5", &format!("http://127.0.0.1:{port}/")]);
    assert_eq!(output.status.code(), Some(7), "refused: {output:?}");
    assert!(listener.accept().is_err());
    assert_eq!(trial.lines("relay.log"), Vec::<String>::new());
}

#[test]
fn where_namespaces_are_forbidden_it_says_what_forbids_them_and_the_way_out() {
    let Some(trial) = Trial::new("where_namespaces_are_forbidden", "ALLOW_ANY") else {
        return;
    };
    let output = forbidden()
        .arg(binary())
        .args(trial.arguments(&["echo", "ran"]))
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        complaint.contains("user.max_user_namespaces=0") && complaint.contains("--explicit"),
        "{complaint}"
    );
    assert_eq!(said(&output), "");
}

#[test]
fn where_namespaces_are_forbidden_the_tour_plays_over_the_explicit_proxy_and_without_curl_by_itself() {
    if Trial::new("the_tour_over_the_explicit_proxy", "ALLOW_ANY").is_none() {
        return;
    }
    // Everything the tour runs but curl.
    let programs = tempfile::tempdir().unwrap();
    for program in ["env", "true"] {
        symlink(Path::new("/usr/bin").join(program), programs.path().join(program)).unwrap();
    }
    let output = forbidden()
        .args(["env", &format!("PATH={}", programs.path().display())])
        .arg(binary())
        .arg("tour")
        .output()
        .unwrap();
    let played = said(&output);
    assert_eq!(output.status.code(), Some(0), "{played}");
    for line in [
        "Playing over the explicit proxy",
        "$ egret-proxy get https://www.google.com/",
        "✓ HTTPS ends with curl exit 35",
        "✓ /delay/5 is answered 504",
        "✓ every file is as it was",
    ] {
        assert!(played.contains(line), "{line} in {played}");
    }
}

/// Runs a command below a user namespace that forbids further ones.
fn forbidden() -> Command {
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--", "sh", "-c", forbid, "sh"])
        .stdin(Stdio::null());
    command
}
