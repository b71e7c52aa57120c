//! Runs a test again inside a network namespace of its own, with interception rules as istio-init writes them.

use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Set inside.
const INSIDE: &str = "EGRET_TEST_INSIDE";

/// Set where a skipped test is a failure.
const REQUIRED: &str = "EGRET_REQUIRE_NAMESPACES";

/// The workload's address, and the range of the external sites. What the sidecar itself dials is mapped to loopback, so
/// that no rule catches it again.
const SETUP: &str = "
set -e
ip link set lo up
ip addr add 10.1.2.3/32 dev lo
ip addr add fd00::3/128 dev lo nodad
ip route add 198.18.0.0/15 dev lo src 10.1.2.3
ip -6 route add local fd00:198::/64 dev lo src fd00::3
nft -f - <<'RULES'
table inet capture {
  chain output {
    type nat hook output priority -100;
    ip daddr 198.18.0.0/15 meta l4proto tcp redirect to :15001
    ip6 daddr fd00:198::/64 meta l4proto tcp redirect to :15001
  }
}
RULES
";

/// Runs `body` as the test `name` (its path in this binary) in a namespace, where one can be had.
pub fn inside(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        body();
        return;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--kill-child", "--", "sh", "-c"]);
        command
    };
    let probe = unshare().arg(SETUP).stdin(Stdio::null()).output();
    let reason = match probe {
        Ok(output) if output.status.success() => {
            let script = format!("{SETUP}\nexec \"$@\"");
            let status = unshare()
                .args([&script, "sh"])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture", "--test-threads=1"])
                .env(INSIDE, "1")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&status.stdout);
            assert!(
                status.status.success() && said.contains("1 passed"),
                "{name} inside its namespace:\n{said}{}",
                String::from_utf8_lossy(&status.stderr)
            );
            return;
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_string(),
        Err(error) => format!("unshare: {error}"),
    };
    assert!(
        std::env::var_os(REQUIRED).is_none(),
        "{name} needs a network namespace: {reason}"
    );
    // Not through the test's captured output: a skipped test must be seen.
    let _ = writeln!(std::io::stderr(), "skipped {name}: no network namespace ({reason})");
}
