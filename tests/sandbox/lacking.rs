//! Kernels that lack tables: what is done instead, and what is said.

use std::{path::Path, process::Command};

use crate::{
    legacy::{alone, possible, said},
    trial::Trial,
};

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
fn rules_that_are_held_without_nf_tables_go_unless_who_holds_them_is_killed_and_it_says_so() {
    if !possible("rules_that_are_held_without_nf_tables") {
        return;
    }
    for (end, left) in [
        ("kill -TERM $sidecar", "0"),
        ("kill -KILL $sidecar", "0"),
        ("kill -TERM $holder", "0"),
        ("kill -KILL $holder", "2"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let library = lacking(NO_NF_TABLES, folder.path());
        let script = "
            cd $2; mkdir policy; ip link set lo up
            rules() { save | grep -c -- '-j EGRET_OUTPUT' || true; }
            $0 run --policy policy --outbound 127.0.0.1:15901 --admin 127.0.0.1:15900 2>/dev/null & sidecar=$!
            LD_PRELOAD=$1 $0 capture hold --port 15901 --sidecar 127.0.0.1:15900 2>said & holder=$!
            until grep -q SIGKILL said; do sleep 0.05; done
            rules
            END
            wait $holder || true
            rules
            kill -KILL $sidecar 2>/dev/null || true
            $0 capture remove
            rules
            cat said";
        let script = script.replace("END", end);
        let listed = alone(&script, &[&library, folder.path().to_str().unwrap()]);
        let lines: Vec<_> = listed.lines().collect();
        assert_eq!(lines[..3], ["2", left, "0"], "{end}: {listed}");
        assert!(
            listed.contains("no nf_tables") && listed.contains("`egret-proxy capture remove` takes them away"),
            "{listed}"
        );
    }
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
