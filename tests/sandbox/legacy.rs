//! Interception rules in the legacy tables of iptables, put there without iptables, as iptables lists them. And that they do what
//! those of nf_tables do.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::socket::{getsockopt, sockopt},
    unistd::Uid,
};

use crate::{
    rules::RULES,
    trial::{REQUIRED, Trial, binary},
};

/// Set inside a namespace.
const INSIDE: &str = "EGRET_TEST_INSIDE";

/// Rules that name users are only taken where the users are: a namespace in which root alone is mapped has no others.
fn unshare(script: &str) -> Command {
    let mut command = Command::new("unshare");
    if !Uid::effective().is_root() {
        command.args(["--map-root-user", "--map-auto"]);
    }
    let script = format!(
        "PATH=$PATH:/usr/sbin:/sbin
        save() {{ {{ iptables-legacy-save $@; ip6tables-legacy-save $@; }} | grep -v '^#'; }}
        set -e
        {script}"
    );
    command.args(["--net", "--kill-child", "--", "sh", "-c", &script]);
    command.stdin(Stdio::null());
    command
}

/// True where a network can be had in which iptables takes rules; else the test `name` is skipped.
fn possible(name: &str) -> bool {
    let probe = unshare("ip6tables-legacy -t nat -A OUTPUT -m owner --uid-owner 1339 -j RETURN")
        .output()
        .unwrap();
    if probe.status.success() {
        return true;
    }
    let reason = String::from_utf8_lossy(&probe.stderr).trim().to_string();
    assert!(std::env::var_os(REQUIRED).is_none(), "{name}: {reason}");
    // Not through the test's captured output: a skipped test must be seen.
    let _ = writeln!(std::io::stderr(), "skipped {name}: no legacy tables ({reason})");
    false
}

/// What a script prints as root of a network namespace of its own; `$0` is the program, and after it `arguments`.
fn alone(script: &str, arguments: &[&str]) -> String {
    let output = unshare(script).arg(binary()).args(arguments).output().unwrap();
    said(&output)
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn rules_put_in_force_are_those_that_iptables_makes_of_the_plan() {
    if !possible("rules_put_in_force") {
        return;
    }
    let script = r#"
        save -t nat
        echo applied
        $0 capture apply --with iptables "$@"
        save -t nat
        echo removed
        $0 capture remove
        save -t nat
        echo by iptables
        $0 capture plan --with iptables "$@" >plan
        iptables-legacy-restore --noflush plan
        ip6tables-legacy-restore --noflush plan
        save -t nat"#;
    for rules in RULES {
        let folder = tempfile::tempdir().unwrap();
        let listed = alone(&format!("cd {}\n{script}", folder.path().display()), rules);
        let parts: Vec<_> = ["applied\n", "removed\n", "by iptables\n"]
            .iter()
            .scan(&*listed, |rest, word| {
                let (part, behind) = rest.split_once(word)?;
                *rest = behind;
                Some((part, behind))
            })
            .collect();
        let [(nothing, _), (own, _), (left, iptables)] = parts[..] else {
            panic!("{listed}")
        };
        assert_eq!((own, left), (iptables, nothing), "{rules:?}");
        assert_eq!(own.matches("-A OUTPUT -j EGRET_OUTPUT\n").count(), 2, "{own}");
    }
}

/// Rules of others with all ways of going on: jump, go to, nowhere, and what they have counted.
const FOREIGN: &str = "*nat
:PREROUTING ACCEPT [7:420]
:INPUT ACCEPT [1:60]
:OUTPUT ACCEPT [9:540]
:POSTROUTING ACCEPT [2:120]
:EGRET - [0:0]
:ISTIO_OUTPUT - [0:0]
:ISTIO_REDIRECT - [0:0]
:Z - [0:0]
[3:180] -A PREROUTING -p tcp -j ISTIO_REDIRECT
[4:240] -A OUTPUT -p tcp -m comment --comment first -j ISTIO_OUTPUT
[5:300] -A OUTPUT -p udp -g Z
[6:360] -A OUTPUT -m comment --comment \"only counts\"
[8:480] -A EGRET -j RETURN
[10:600] -A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
[11:660] -A ISTIO_OUTPUT -p tcp -m multiport --dports 1,2:9 -j ISTIO_REDIRECT
[12:720] -A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
[13:780] -A Z -j EGRET
COMMIT
";

#[test]
fn rules_of_others_stay_as_they_are_with_their_counters_behind_ours() {
    if !possible("rules_of_others") {
        return;
    }
    let script = "
        printf %s \"$1\" | iptables-legacy-restore -c
        printf %s \"$1\" | ip6tables-legacy-restore -c
        save -c
        echo applied
        $0 capture apply --with iptables --exclude-ports 22
        $0 capture apply --with iptables --exclude-ports 23
        save -c
        echo removed
        $0 capture remove
        $0 capture remove
        save -c";
    let listed = alone(script, &[FOREIGN]);
    let (before, rest) = listed.split_once("applied\n").unwrap();
    let (applied, after) = rest.split_once("removed\n").unwrap();
    assert!(before.contains("[12:720] -A ISTIO_REDIRECT"), "{before}");
    assert_eq!(before, after);
    let (own, others): (Vec<_>, Vec<_>) = applied.lines().partition(|line| line.contains("EGRET_OUTPUT"));
    assert_eq!(others, before.lines().collect::<Vec<_>>());
    let ports: Vec<_> = own.iter().filter(|line| line.contains("--dport")).collect();
    assert!(
        ports.len() == 2 && ports.iter().all(|line| line.contains("--dport 23 ")),
        "{own:?}"
    );
}

#[test]
fn applied_again_the_rules_are_first_again_and_others_may_change_theirs_around_them() {
    if !possible("applied_again") {
        return;
    }
    let script = "
        $0 capture apply --with iptables
        iptables-legacy -t nat -N LATER
        iptables-legacy -t nat -N LAST
        iptables-legacy -t nat -A LATER -g LAST
        iptables-legacy -t nat -I OUTPUT -j LATER
        $0 capture apply --with iptables
        iptables-legacy -t nat -S | grep -v EGRET_OUTPUT' '
        $0 capture remove
        iptables-legacy -t nat -S";
    let listed = alone(script, &[]);
    assert!(
        listed.contains("-A OUTPUT -j EGRET_OUTPUT\n-A OUTPUT -j LATER\n"),
        "{listed}"
    );
    assert_eq!(
        listed.matches("-A OUTPUT -j LATER\n-A LATER -g LAST\n").count(),
        2,
        "{listed}"
    );
    assert_eq!(listed.matches("EGRET").count(), 2, "{listed}");
}

#[test]
fn what_was_applied_to_the_other_tables_goes_and_tables_are_not_made_for_nothing() {
    if !possible("what_was_applied") {
        return;
    }
    let script = "
        ours() { nft list ruleset | grep -c 'table inet egret' || true; save | grep -c -- '-j EGRET_OUTPUT' || true; }
        $0 capture apply
        $0 capture remove
        cat /proc/net/ip_tables_names /proc/net/ip6_tables_names
        echo made; $0 capture apply; ours
        $0 capture apply --with iptables; ours
        $0 capture apply --with nft; ours
        $0 capture plan --with iptables >$1/plan
        iptables-legacy-restore -n $1/plan
        ip6tables-legacy-restore -n $1/plan
        ours
        $0 capture remove; ours";
    let folder = tempfile::tempdir().unwrap();
    let listed = alone(script, &[folder.path().to_str().unwrap()]);
    let counts: Vec<_> = listed.split_whitespace().collect();
    // In nf_tables, and of the two tables of iptables: by default, by iptables, by nft, in both, and removed.
    assert_eq!(counts.join(" "), "made 1 0 0 2 1 0 1 2 0 0");
}

#[test]
fn rules_are_not_held_beside_those_that_were_applied() {
    if !possible("rules_are_not_held") {
        return;
    }
    let script = "
        cd $1; mkdir policy; ip link set lo up
        $0 capture apply --with iptables
        $0 run --policy policy --outbound 127.0.0.1:15901 --admin 127.0.0.1:15900 2>/dev/null & sidecar=$!
        $0 capture hold --port 15901 --sidecar 127.0.0.1:15900 2>&1 || echo $?
        kill $sidecar
        nft list ruleset";
    let folder = tempfile::tempdir().unwrap();
    let said = alone(script, &[folder.path().to_str().unwrap()]);
    assert!(said.contains("another sidecar") && said.ends_with("\n1\n"), "{said}");
}

#[test]
fn nat_rules_of_others_in_nf_tables_are_named_since_they_may_come_first() {
    if !possible("nat_rules_of_others") {
        return;
    }
    let script = "
        apply() { $0 capture apply $@ 2>&1 | grep -c 'NAT rules of others' || true; }
        nft add table ip other
        nft add chain ip other output '{ type nat hook output priority -99; }'
        apply --with iptables
        nft add chain ip other earlier '{ type nat hook output priority -100; }'
        apply --with iptables; apply --with nft; apply";
    assert_eq!(
        alone(script, &[]).split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "0", "0"]
    );
}

#[test]
fn a_thousand_ranges_are_one_change() {
    if !possible("a_thousand_ranges") {
        return;
    }
    let script = "
        ranges=$(seq -f 10.%g.0.0/24 -s , 0 255),$(seq -f 11.%g.0.0/24 -s , 0 255),$(seq -f 12.%g.0.0/24 -s , 0 255)
        ranges=$ranges,$(seq -f fd00:%g::/32 -s , 1 2 599)
        $0 capture apply --with iptables --exclude-ranges $ranges
        save | grep -c -- ' -d '";
    // With the two of loopback, and the one of link-local addresses.
    assert_eq!(alone(script, &[]).trim(), (3 * 256 + 300 + 3).to_string());
}

#[test]
fn net_admin_is_enough_and_without_it_the_way_out_is_said() {
    if !possible("net_admin_is_enough") {
        return;
    }
    let script = "
        setpriv --bounding-set=-all,+net_admin -- $0 capture apply --with iptables
        save | grep -c -- '-j EGRET_OUTPUT'
        for command in 'apply --with iptables' remove; do
            setpriv --bounding-set=-all -- $0 capture $command 2>&1 || echo $?
        done";
    let listed = alone(script, &[]);
    let lines: Vec<_> = listed.lines().collect();
    let [count, apply, one, remove, also_one] = lines[..] else {
        panic!("{listed}")
    };
    assert_eq!([count, one, also_one], ["2", "1", "1"], "{listed}");
    for said in [apply, remove] {
        assert!(said.contains("NET_ADMIN") && said.contains("explicit proxy"), "{said}");
    }
}

/// Runs `body` as the test `name` in a network namespace of its own, in which 198.18.0.0/15 and fd00:198::/64 are on loopback.
/// Of the latter, listeners need the addresses themselves.
fn inside(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    if !possible(name) {
        return;
    }
    let script = r#"
        ip link set lo up
        ip route add local 198.18.0.0/15 dev lo src 127.0.0.1
        ip -6 route add local fd00:198::/64 dev lo
        for own in 1 9 54; do ip addr add fd00:198::$own/128 dev lo nodad; done
        exec "$0" "$@""#;
    let mut command = unshare(script);
    command
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1");
    let output = command.output().unwrap();
    assert!(said(&output).contains("1 passed"), "{output:?}");
}

/// A listener that says `word` to everyone, and where they wanted to go.
fn site(address: &str, word: &'static str) {
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let wanted = match stream.local_addr().unwrap().ip() {
                IpAddr::V4(_) => getsockopt(&stream.as_fd(), sockopt::OriginalDst)
                    .map(|to| SocketAddr::from((to.sin_addr.s_addr.to_ne_bytes(), u16::from_be(to.sin_port)))),
                IpAddr::V6(_) => getsockopt(&stream.as_fd(), sockopt::Ip6tOriginalDst)
                    .map(|to| SocketAddr::from((to.sin6_addr.s6_addr, u16::from_be(to.sin6_port)))),
            };
            let wanted = wanted.map(|to| to.to_string()).unwrap_or_default();
            stream.write_all(format!("{word} {wanted}").as_bytes()).unwrap();
        }
    });
}

/// A socket that answers `word` to everyone.
fn answers(address: &str, word: &'static str) {
    let socket = UdpSocket::bind(address).unwrap();
    thread::spawn(move || {
        loop {
            let (_, from) = socket.recv_from(&mut [0; 16]).unwrap();
            socket.send_to(word.as_bytes(), from).unwrap();
        }
    });
}

fn connect(address: &str) -> String {
    let mut said = String::new();
    TcpStream::connect(address).unwrap().read_to_string(&mut said).unwrap();
    said
}

fn ask(server: &str) -> String {
    let own = if server.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(own).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    socket.connect(server).unwrap();
    socket.send(b"?").unwrap();
    let mut said = [0; 16];
    let length = socket.recv(&mut said).unwrap();
    String::from_utf8_lossy(&said[..length]).into_owned()
}

fn connect_as_proxy(host: &str, port: u16) -> String {
    let read = format!("cat </dev/tcp/{host}/{port}");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=1339", "--clear-groups", "--", "bash", "-c", &read]);
    said(&command.output().unwrap())
}

#[test]
fn connections_go_where_the_rules_say_by_either_tables() {
    inside("legacy::connections_go_where_the_rules_say_by_either_tables", || {
        for (loopback, net) in [("127.0.0.1", "198.18.0."), ("[::1]", "[fd00:198::")] {
            let end = if loopback.starts_with('[') { "]" } else { "" };
            site(&format!("{loopback}:15001"), "sidecar");
            site(&format!("{loopback}:15953"), "dns");
            answers(&format!("{loopback}:15953"), "dns");
            site(&format!("{net}1{end}:80"), "site");
            site(&format!("{net}9{end}:80"), "site");
            answers(&format!("{net}54{end}:53"), "other server");
        }
        let capture = |arguments: &[&str]| {
            said(&Command::new(binary()).arg("capture").args(arguments).output().unwrap());
        };
        for tables in ["iptables", "nft"] {
            let rules = [
                "apply",
                "--with",
                tables,
                "--uid=1339",
                "--exclude-ranges=198.18.0.8/31,fd00:198::9",
                "--dns-port=15953",
                "--dns-servers=198.18.0.53,fd00:198::53",
            ];
            capture(&rules);
            for (host, to) in [
                (
                    "198.18.0.1",
                    ["198.18.0.1:80", "198.18.0.9:80", "198.18.0.53:53", "198.18.0.54:53"],
                ),
                (
                    "fd00:198::1",
                    [
                        "[fd00:198::1]:80",
                        "[fd00:198::9]:80",
                        "[fd00:198::53]:53",
                        "[fd00:198::54]:53",
                    ],
                ),
            ] {
                let [captured, excluded, dns, other] = to;
                assert_eq!(connect(captured), format!("sidecar {captured}"), "{tables}");
                assert!(connect(excluded).starts_with("site"), "{tables}: {excluded}");
                assert!(connect_as_proxy(host, 80).starts_with("site"), "{tables}: {host}");
                assert_eq!(ask(dns), "dns", "{tables}: {dns}");
                assert_eq!(connect(dns), format!("dns {dns}"), "{tables}");
                assert_eq!(ask(other), "other server", "{tables}: {other}");
            }
            capture(&["remove"]);
            for captured in ["198.18.0.1:80", "[fd00:198::1]:80"] {
                assert!(connect(captured).starts_with("site"), "{tables}: {captured}");
            }
        }
    });
}

/// What a kernel says that has no nf_tables.
const NO_NF_TABLES: &str = "
    int socket(int domain, int type, int protocol) {
        const int netlink = 16, netfilter = 12;
        if (domain == netlink && protocol == netfilter) { errno = EPROTONOSUPPORT; return -1; }
        return syscall(SYS_socket, domain, type, protocol);
    }";

/// What a kernel says that has ip6tables, but not what the rules are made of.
const NO_IP6TABLES: &str = "
    int setsockopt(int socket, int level, int name, const void *value, socklen_t length) {
        const int ipv6 = 41, replace = 64;
        if (level == ipv6 && name == replace) { errno = ENOENT; return -1; }
        return syscall(SYS_setsockopt, socket, level, name, value, length);
    }";

/// A library before the C library's, by which one program is told so: no kernel can be had that has none.
fn lacking(what: &str, folder: &Path) -> String {
    let head = "#define _GNU_SOURCE\n#include <errno.h>\n#include <sys/socket.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n";
    let (source, library) = (folder.join("lacking.c"), folder.join("lacking.so"));
    std::fs::write(&source, format!("{head}{what}\n")).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .output()
        .unwrap();
    said(&built);
    library.to_str().unwrap().to_string()
}

#[test]
fn without_nf_tables_the_rules_are_in_the_tables_of_iptables_and_it_says_so() {
    if !possible("without_nf_tables") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let library = lacking(NO_NF_TABLES, folder.path());
    let script = "
        LD_PRELOAD=$1 $0 capture apply 2>&1
        save | grep -c -- '-j EGRET_OUTPUT'
        LD_PRELOAD=$1 $0 capture apply --with nft 2>&1 || echo $?
        LD_PRELOAD=$1 $0 capture remove
        save | grep -c EGRET || true";
    let listed = alone(script, &[&library]);
    let lines: Vec<_> = listed.lines().collect();
    let [instead, two, forced, one, none] = lines[..] else {
        panic!("{listed}")
    };
    assert!(
        instead.contains("no nf_tables") && instead.ends_with("in the tables of iptables instead"),
        "{instead}"
    );
    assert!(
        forced.contains("nft_redir") && forced.contains("explicit proxy"),
        "{forced}"
    );
    assert_eq!([two, one, none], ["2", "1", "0"]);
}

#[test]
fn a_table_that_cannot_change_sets_the_others_back_unless_there_is_no_ipv6_at_all() {
    if !possible("a_table_that_cannot_change") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let library = lacking(NO_IP6TABLES, folder.path());
    let script = "
        ip link set lo up
        LD_PRELOAD=$1 $0 capture apply --with iptables --exclude-ports 21
        save | grep -c -- '--dport 21 '
        ip link add one type veth peer name other
        ip addr add fd00::5/64 dev one nodad
        ip link set one up
        $0 capture apply --with iptables --exclude-ports 22
        LD_PRELOAD=$1 $0 capture apply --with iptables --exclude-ports 23 2>&1 || echo $?
        save | grep -e '--dport'";
    let listed = alone(script, &[&library]);
    let lines: Vec<_> = listed.lines().collect();
    let [ipv4_alone, refused, one, ipv4, ipv6] = lines[..] else {
        panic!("{listed}")
    };
    assert_eq!([ipv4_alone, one], ["1", "1"]);
    assert!(
        refused.contains("IPv6") && refused.contains("ip6table_nat"),
        "{refused}"
    );
    assert!(ipv4.contains("--dport 22 ") && ipv4 == ipv6, "{listed}");
}

#[test]
fn a_sandbox_works_without_nf_tables_and_nothing_leaves_it() {
    let Some(trial) = Trial::new("a_sandbox_works_without_nf_tables", "REGISTRY_ONLY") else {
        return;
    };
    if !possible("a_sandbox_works_without_nf_tables") {
        return;
    }
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: httpbin, namespace: default}\nspec:\n  \
                 hosts: [httpbin.org]\n  ports: [{number: 80, name: http, protocol: HTTP}]\n  resolution: DNS\n";
    trial.write("entry.yaml", entry);
    let library = lacking(NO_NF_TABLES, trial.folder.path());
    let script = "
        code() { curl -s -o /dev/null -w '%{http_code}\\n' $@; }
        code http://httpbin.org/
        code -H Host:other.example http://httpbin.org/
        bash -c 'echo >/dev/udp/203.0.113.1/9' || echo kept";
    let mut command = trial.command(&["sh", "-c", script]);
    let output = command.env("LD_PRELOAD", library).output().unwrap();
    let said = said(&output);
    assert_eq!(
        said.split_whitespace().collect::<Vec<_>>(),
        ["200", "502", "kept"],
        "{output:?}"
    );
}
