//! Interception rules in the legacy tables of iptables, put there without iptables, as iptables lists them.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use nix::unistd::Uid;

use crate::{
    rules::RULES,
    trial::{REQUIRED, binary},
};

/// Rules that name users are only taken where the users are: a namespace in which root alone is mapped has no others.
pub fn unshare(script: &str) -> Command {
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
pub fn possible(name: &str) -> bool {
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
pub fn alone(script: &str, arguments: &[&str]) -> String {
    let output = unshare(script).arg(binary()).args(arguments).output().unwrap();
    said(&output)
}

pub fn said(output: &Output) -> String {
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
