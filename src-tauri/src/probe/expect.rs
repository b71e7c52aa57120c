//! What the engine expects of a request, beside what came of it. The verdict is the engine's; here it is only put into the
//! words of a client, and a difference is given its likely reason.

use std::net::SocketAddr;

use proxy_core::policy::{Explanation, Snapshot, Verdict, explain};

use super::{
    came::Came,
    target::{Scheme, Target},
};
use crate::{
    dto::{Expectation, Level, ProbeFinding},
    traffic::Row,
};

/// What happened.
pub struct Seen<'a> {
    pub came: Came,
    /// The flow that it made, where one was recorded.
    pub flow: Option<&'a Row>,
    /// False where no sidecar stands beside the client.
    pub sidecar: bool,
    /// Seconds after which the client gave up.
    pub limit: &'a str,
}

/// What should come of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It goes past the sidecar.
    Past,
    /// It reaches the site; the sidecar waits this many milliseconds for the answer.
    Through(Option<u64>),
    /// The sidecar answers itself.
    Answer(u16),
    /// The sidecar cuts the connection.
    Cut,
}

impl Expected {
    fn of(explanation: &Explanation) -> Self {
        match (&explanation.response, explanation.verdict) {
            (_, Verdict::Bypassed) => Self::Past,
            (Some(response), _) if response.status == 0 => Self::Cut,
            (Some(response), _) => Self::Answer(response.status),
            (None, _) => Self::Through(explanation.timeout_ms),
        }
    }

    fn words(self, scheme: Scheme) -> String {
        match (self, scheme) {
            (Self::Past, _) => "reaches the site, past the sidecar".into(),
            (Self::Through(None), _) => "reaches the site".into(),
            (Self::Through(Some(limit)), _) => format!("reaches the site; 504 after {} s", limit as f64 / 1000.0),
            (Self::Answer(status), _) => format!("{status} from the sidecar"),
            (Self::Cut, Scheme::Https) => "cut in the TLS handshake: curl exits with 35".into(),
            (Self::Cut, Scheme::Http) => "cut without an answer: curl exits with 52 or 56".into(),
            (Self::Cut, Scheme::Tcp) => "cut at once".into(),
        }
    }
}

/// What `snapshot` says of `method` to `target` at `destination`, and where `seen` is otherwise.
pub fn expectation(
    snapshot: &Snapshot,
    target: &Target,
    method: &str,
    destination: Option<SocketAddr>,
    seen: &Seen<'_>,
) -> Expectation {
    let Some(destination) = destination else {
        // Nothing was connected to, and nothing was logged: there is no address that the engine could be asked about.
        return Expectation {
            verdict: None,
            outcome: "not known".into(),
            reason: format!(
                "No address of {} is known, and the policy may depend on it.",
                target.host
            ),
            finding: unreached(seen),
        };
    };
    let explanation = explain(snapshot, &target.facts(destination, method));
    let expected = Expected::of(&explanation);
    if !seen.sidecar {
        return Expectation {
            verdict: Some(Verdict::Bypassed.into()),
            outcome: Expected::Past.words(target.scheme),
            reason: format!(
                "There is no sidecar beside it, so no policy holds for it. With one: {}, {}.",
                explanation.verdict, explanation.reason
            ),
            finding: difference(Verdict::Bypassed, Expected::Past, snapshot.hash(), seen),
        };
    }
    Expectation {
        verdict: Some(explanation.verdict.into()),
        outcome: expected.words(target.scheme),
        finding: difference(explanation.verdict, expected, snapshot.hash(), seen),
        reason: explanation.reason,
    }
}

const UNTOLD: &str = "See what it printed. A wget may not speak HTTPS at all; curl tells more.";
const RESTART: &str = "Its pod may be older than the present bypass ranges: restart the workload, then send it again.";
const OUT_OF_STEP: &str = "The sidecar may not have the newest policy yet: send it again. If it stays so, restart the workload \
                           and see `istioctl proxy-status`.";

/// How `seen` is otherwise than expected, with the likely reason; `None` where it is not.
fn difference(verdict: Verdict, expected: Expected, policy: &str, seen: &Seen<'_>) -> Option<ProbeFinding> {
    if let Some(row) = seen.flow.filter(|row| row.record.verdict != verdict) {
        let record = &row.record;
        let other = !record.policy_hash.is_empty() && record.policy_hash != policy;
        let hint = match (verdict, record.verdict) {
            _ if other => "It was decided by an earlier policy, which the sidecar still had: send it again.",
            (Verdict::Bypassed, _) | (_, Verdict::Bypassed) => RESTART,
            _ => OUT_OF_STEP,
        };
        let message = format!("Expected {verdict}, but the sidecar made it {}.", record.verdict);
        return Some(finding(Level::Warning, message, hint));
    }
    match (expected, seen.came) {
        (_, Came::Unresolved | Came::Refused | Came::TimedOut) => unreached(seen),
        (Expected::Answer(status), Came::Answered(other)) if status == other => None,
        (Expected::Cut, Came::Cut) => None,
        (Expected::Cut, Came::Failed) => Some(finding(
            Level::Info,
            "It failed, as expected, but the client does not tell whether it was cut.",
            UNTOLD,
        )),
        (Expected::Answer(_) | Expected::Cut, came) => Some(finding(
            Level::Warning,
            format!("Expected that the sidecar refuses it, but {}.", came.words()),
            match seen.flow {
                None => {
                    "The sidecar logged nothing of it. Either its pod is older than the present bypass ranges and it went \
                         past: restart the workload. Or the access log is off."
                }
                Some(_) => OUT_OF_STEP,
            },
        )),
        (Expected::Through(Some(_)), Came::Answered(504)) => None,
        (Expected::Past | Expected::Through(_), Came::Answered(status @ 502..=504)) => Some(server_error(status, seen)),
        (Expected::Past | Expected::Through(_), Came::Answered(_) | Came::Reached) => None,
        (Expected::Past | Expected::Through(_), Came::Failed) => Some(finding(
            Level::Warning,
            "Expected that it reaches the site, but the client failed.",
            UNTOLD,
        )),
        (Expected::Past | Expected::Through(_), came @ Came::Cut) => Some(finding(
            Level::Warning,
            format!("Expected that it reaches the site, but {}.", came.words()),
            match (seen.flow, expected) {
                (Some(row), _) => flag_hint(&row.record.flags),
                (None, Expected::Past) => "The site, or a firewall on the way, ends it: the sidecar has no part in it.",
                (None, _) => OUT_OF_STEP,
            },
        )),
    }
}

/// A request that did not come to anybody.
fn unreached(seen: &Seen<'_>) -> Option<ProbeFinding> {
    let (message, hint) = match seen.came {
        Came::Unresolved => (
            "The name was not resolved.".to_string(),
            "No policy was asked: the DNS that the client uses does not know the name. Is it spelt right, and does the \
             cluster's DNS forward it?",
        ),
        Came::Refused if seen.sidecar && seen.flow.is_none() => (
            "Nobody took the connection.".to_string(),
            "A connection that is captured is always taken by the sidecar: either it goes past, and the site refuses it, or \
             the sidecar is not ready.",
        ),
        Came::Refused => (
            "Nobody took the connection.".to_string(),
            "The site has nothing on that port, or a firewall refuses it.",
        ),
        Came::TimedOut => (
            format!("No answer came within {} s.", seen.limit),
            "The policy does not refuse so: the site, or a firewall on the way, keeps silent.",
        ),
        _ => return None,
    };
    Some(finding(Level::Warning, message, hint))
}

/// 502, 503 or 504 where the policy lets through: by the sidecar's own word either the site's answer or its own.
fn server_error(status: u16, seen: &Seen<'_>) -> ProbeFinding {
    match seen.flow {
        Some(row) if row.record.flags == "-" => finding(
            Level::Info,
            format!("{status} is the site's own answer."),
            "The policy let it through, and the sidecar passed the answer on.",
        ),
        Some(row) => finding(
            Level::Warning,
            format!(
                "The policy lets it through, but the sidecar got no answer ({}).",
                row.record.flags
            ),
            flag_hint(&row.record.flags),
        ),
        None => finding(
            Level::Info,
            format!("{status} came from the site, or from a proxy on the way."),
            "The sidecar logged nothing of it, so that it cannot be told whose answer it is.",
        ),
    }
}

/// Envoy's response flags, as far as they say where to look.
fn flag_hint(flags: &str) -> &'static str {
    let has = |flag: &str| flags.split(',').any(|own| own == flag);
    if has("UF") || has("URX") {
        "The sidecar cannot connect to the site: a firewall, the wrong port, or TLS that one side does not speak."
    } else if has("UT") || has("SI") {
        "The site took too long: see Timeouts."
    } else if has("UH") || has("NC") || has("NR") {
        OUT_OF_STEP
    } else if has("DF") {
        "The sidecar cannot resolve the name."
    } else {
        "The site, or a firewall on the way, ends it."
    }
}

fn finding(level: Level, message: impl Into<String>, hint: impl Into<String>) -> ProbeFinding {
    ProbeFinding {
        level,
        message: message.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
#[path = "expect_tests.rs"]
mod tests;
