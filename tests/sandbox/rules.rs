//! Interception rules that are put in force without `nft`, as `nft` lists them.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use crate::trial::{REQUIRED, binary};

/// Runs a script as root of a network namespace of its own; `None` where none can be had.
fn alone(name: &str, script: &str, arguments: &[&str]) -> Option<Output> {
    let inside = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--", "sh", "-c", script]);
        command.arg(binary()).args(arguments).stdin(Stdio::null());
        command.output().unwrap()
    };
    let probe = inside("PATH=$PATH:/usr/sbin:/sbin nft list ruleset");
    if probe.status.success() {
        return Some(inside(&format!("PATH=$PATH:/usr/sbin:/sbin\n{script}")));
    }
    let reason = String::from_utf8_lossy(&probe.stderr).trim().to_string();
    assert!(std::env::var_os(REQUIRED).is_none(), "{name}: {reason}");
    // Not through the test's captured output: a skipped test must be seen.
    let _ = writeln!(std::io::stderr(), "skipped {name}: no network namespace ({reason})");
    None
}

pub const RULES: [&[&str]; 5] = [
    &[],
    &["--port", "15901", "--uid", "1339,1337"],
    &["--include-ranges", ""],
    &[
        "--include-ranges=10.0.0.0/8,192.168.4.0/22,fd00:1::/32,203.0.113.7",
        "--exclude-ranges=10.1.0.0/16,10.2.3.128/25,2001:db8::/33,fd00:1::5",
        "--exclude-ports=22,3306",
        "--include-ports=8080,65535",
        "--uid=4294967294",
    ],
    &["--dns-port=15953", "--dns-servers=10.96.0.10,fd00:96::a"],
];

#[test]
fn rules_put_in_force_are_those_that_nft_makes_of_the_plan() {
    let script = "
        set -e
        $0 capture apply $@
        nft list ruleset
        $0 capture remove
        echo removed
        nft list ruleset
        echo by nft
        $0 capture plan $@ | nft -f -
        nft list ruleset";
    for rules in RULES {
        let Some(output) = alone("rules_put_in_force", &script.replace("$@", "\"$@\""), rules) else {
            return;
        };
        assert!(output.status.success(), "{output:?}");
        let listed = String::from_utf8(output.stdout).unwrap();
        let (own, rest) = listed.split_once("removed\n").unwrap();
        let (left, nft) = rest.split_once("by nft\n").unwrap();
        assert_eq!((own, left), (nft, ""), "{rules:?}");
        assert!(
            own.contains("type nat hook output priority -110; policy accept;"),
            "{own}"
        );
    }
}

#[test]
fn applying_again_replaces_and_leaves_the_tables_of_others() {
    let script = "
        set -e
        nft add table inet other
        $0 capture remove
        $0 capture apply --exclude-ports 22
        $0 capture apply --exclude-ports 23
        nft list ruleset";
    let Some(output) = alone("applying_again", script, &[]) else {
        return;
    };
    assert!(output.status.success(), "{output:?}");
    let listed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(listed.matches("tcp dport").collect::<Vec<_>>().len(), 1, "{listed}");
    assert!(
        listed.contains("tcp dport 23 return") && listed.contains("table inet other"),
        "{listed}"
    );
}

/// A sidecar, and rules that are held for it. Then something ends, and the rules are looked for.
const HELD: &str = "
        set -e
        ip link set lo up
        mkdir -p policy
        $0 run --policy policy --outbound 127.0.0.1:15901 --admin 127.0.0.1:15900 2>/dev/null & sidecar=$!
        $0 capture hold --port 15901 --sidecar 127.0.0.1:15900 & holder=$!
        until nft list ruleset | grep -q 'redirect to :15901'; do sleep 0.05; done
        echo held
        END
        wait $holder || true
        nft list ruleset
        kill -KILL $sidecar 2>/dev/null || true";

#[test]
fn rules_that_are_held_go_with_the_sidecar_or_with_who_holds_them_however_they_end() {
    for end in [
        "kill -TERM $sidecar",
        "kill -KILL $sidecar",
        "kill -TERM $holder",
        "kill -KILL $holder",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("cd {}\n{}", folder.path().display(), HELD.replace("END", end));
        let Some(output) = alone("rules_that_are_held", &script, &[]) else {
            return;
        };
        assert!(output.status.success(), "{end}: {output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "held\n", "{end}");
    }
}

#[test]
fn nothing_is_redirected_before_the_sidecar_is_ready_nor_where_none_comes() {
    let script = "
        set -e
        ip link set lo up
        mkdir policy
        $0 capture apply --port 15901 --sidecar 127.0.0.1:15900 & rules=$!
        sleep 0.3
        nft list ruleset
        kill -TERM $rules
        wait $rules || echo ended $?
        $0 capture apply --port 15901 --sidecar 127.0.0.1:15900 & rules=$!
        $0 run --policy policy --outbound 127.0.0.1:15901 --admin 127.0.0.1:15900 2>/dev/null & sidecar=$!
        wait $rules
        nft list ruleset | grep -o 'redirect to :15901'
        kill $sidecar";
    let folder = tempfile::tempdir().unwrap();
    let script = format!("cd {}\n{script}", folder.path().display());
    let Some(output) = alone("nothing_is_redirected", &script, &[]) else {
        return;
    };
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "ended 1\nredirect to :15901\n"
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("told to end before the sidecar at 127.0.0.1:15900 was ready"),
        "{said}"
    );
}

#[test]
fn rules_are_not_held_where_others_are_in_force_or_nobody_listens() {
    let script = "
        mkdir policy; ip link set lo up
        $0 capture apply
        $0 run --policy policy --outbound 127.0.0.1:15901 --admin 127.0.0.1:15900 2>/dev/null & sidecar=$!
        $0 capture hold --port 15901 --sidecar 127.0.0.1:15900
        echo $?
        kill $sidecar
        nft list ruleset | grep redirect";
    let folder = tempfile::tempdir().unwrap();
    let script = format!("cd {}\n{script}", folder.path().display());
    let Some(output) = alone("rules_are_not_held", &script, &[]) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("another sidecar"), "{output:?}");
    let left = String::from_utf8(output.stdout).unwrap();
    assert!(left.starts_with('1') && left.contains("redirect to :15001"), "{left}");
}

#[test]
fn a_thousand_ranges_are_one_transaction() {
    let script = "
        set -e
        ranges=$(seq -f 10.%g.0.0/24 -s , 0 255),$(seq -f 11.%g.0.0/24 -s , 0 255),$(seq -f 12.%g.0.0/24 -s , 0 255)
        ranges=$ranges,$(seq -f fd00:%g::/32 -s , 1 2 599)
        $0 capture apply --exclude-ranges $ranges
        nft list ruleset | grep -c daddr";
    let Some(output) = alone("a_thousand_ranges", script, &[]) else {
        return;
    };
    assert!(output.status.success(), "{output:?}");
    // With the two of loopback, and the one of link-local addresses.
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        (3 * 256 + 300 + 3).to_string()
    );
}

#[test]
fn without_the_right_to_set_rules_the_reason_and_the_way_out_are_said() {
    let own = Command::new("id").arg("-u").output().unwrap();
    let mut command = match String::from_utf8_lossy(&own.stdout).trim() {
        "0" => {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--bounding-set=-all",
                "--",
            ]);
            command.arg(binary());
            command
        }
        _ => Command::new(binary()),
    };
    let refused = command.args(["capture", "apply"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("NET_ADMIN") && said.contains("explicit proxy"), "{said}");
}
