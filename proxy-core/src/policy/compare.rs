//! What another policy would make of a connection or request that the one in force has decided: decided by it from the very
//! same facts, sent nowhere. So its verdict, its own answers and where it would send to are certain; what a site would have
//! answered to what was never sent to it is not, and is not guessed.

use serde::{Deserialize, Serialize};

use super::{Action, Decision, Endpoints, Explanation, Facts, Snapshot, Verdict, decide, explain};

/// Whether the first bytes of a connection were there to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstBytes {
    /// They were read.
    Read,
    /// The policy in force asks nothing of them: nobody waited for them.
    Unread,
}

/// The same facts under two policies.
#[derive(Debug, Clone)]
pub struct Compared {
    in_force: Explanation,
    other: Explanation,
    other_hash: String,
    reach: Reach,
    first_bytes: FirstBytes,
}

/// How two policies reach the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// At the same endpoints, in the same way.
    Alike,
    /// At the same endpoints; what is done when something fails there is not the same.
    OtherwiseOnFailure,
    /// At others, with other TLS, or only one of them at all.
    Otherwise,
}

/// What happened to it under the policy in force.
#[derive(Debug, Clone, Copy)]
pub struct Happened<'h> {
    /// HTTP status; 0 for byte streams.
    pub status: u16,
    /// Response flags; empty or `-` for none.
    pub flags: &'h str,
    /// From the first byte to the last.
    pub duration_ms: u64,
    /// Until the upstream's response head.
    pub upstream_ms: Option<u64>,
    /// A call of gRPC, whose own answers have status 200.
    pub grpc: bool,
}

/// What another policy would have made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// Hash of that policy.
    pub policy_hash: String,
    /// Its verdict; `None` where it depends on what nobody read.
    pub verdict: Option<Verdict>,
    /// Cluster name.
    pub cluster: Option<String>,
    /// Route name.
    pub route: Option<String>,
    /// HTTP status, 0 for byte streams; `None` where it is not known.
    pub status: Option<u16>,
    /// Response flags, `-` for none; `None` where they are not known.
    pub flags: Option<String>,
    /// Whether it would have been different.
    pub likeness: Likeness,
    /// Why that policy decides so.
    pub reason: String,
    /// Why the policy in force does.
    pub reason_in_force: String,
    /// What is different beside the verdict and the answer, or why that is not known.
    pub note: Option<String>,
}

/// Whether a request would be different under another policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likeness {
    /// The caller and the site would notice nothing.
    Same,
    /// It would.
    Different,
    /// It depends on what is not known.
    Unknown,
}

/// Likeness, status and flags, and what is to be said of them.
struct Outcome {
    likeness: Likeness,
    answer: Option<(u16, String)>,
    note: Option<String>,
}

impl Compared {
    /// Decides `facts` by both.
    pub fn of(in_force: &Snapshot, other: &Snapshot, facts: &Facts<'_>, first_bytes: FirstBytes) -> Self {
        let reach = reach(&decide(in_force, facts, &mut ()), &decide(other, facts, &mut ()));
        let needs = other.sniff_needs(facts.destination);
        Self {
            in_force: explain(in_force, facts),
            other: explain(other, facts),
            other_hash: other.hash().to_string(),
            reach,
            first_bytes: match needs.tls || needs.http {
                true => first_bytes,
                // It asks nothing of them either.
                false => FirstBytes::Read,
            },
        }
    }

    /// What would have come of it, now that it is known what has.
    pub fn conclude(&self, happened: &Happened<'_>) -> Other {
        let is_known = self.first_bytes == FirstBytes::Read || self.other.verdict == Verdict::Bypassed;
        let Outcome { likeness, answer, note } = match is_known {
            true => self.outcome(happened),
            false => unknown("it decides by the first bytes, for which nobody waited"),
        };
        let (status, flags) = answer.unzip();
        Other {
            policy_hash: self.other_hash.clone(),
            verdict: is_known.then_some(self.other.verdict),
            cluster: self.other.cluster.clone().filter(|_| is_known),
            route: self.other.route.clone().filter(|_| is_known),
            status,
            flags,
            likeness,
            reason: match is_known {
                true => self.other.reason.clone(),
                false => "not known".into(),
            },
            reason_in_force: self.in_force.reason.clone(),
            note,
        }
    }

    fn outcome(&self, happened: &Happened<'_>) -> Outcome {
        let (before, after) = (&self.in_force, &self.other);
        if let Some(outcome) = self.of_fault(happened) {
            return outcome;
        }
        if let Some(response) = &after.response {
            if before.verdict == after.verdict && before.response == after.response {
                return self.as_happened(happened, None);
            }
            let status = if happened.grpc { 200 } else { response.status };
            return different(Some((status, response.flags.clone())), None);
        }
        let both_bypass = before.verdict == Verdict::Bypassed && after.verdict == Verdict::Bypassed;
        if both_bypass {
            return self.as_happened(happened, None);
        }
        match self.reach {
            Reach::Otherwise => different(None, Some(self.not_sent())),
            reach => self.same_site(happened, reach),
        }
    }

    /// A fault that is injected for some requests or all: chance is drawn when a request is made.
    fn of_fault(&self, happened: &Happened<'_>) -> Option<Outcome> {
        if self.in_force.fault == self.other.fault {
            return None;
        }
        if let Some(fault) = &self.other.fault {
            return Some(match (fault.abort_status, fault.abort_percent) {
                (Some(status), Some(100.0)) => {
                    let status = if happened.grpc { 200 } else { status };
                    different(Some((status, "FI".into())), Some("a fault is injected".into()))
                }
                _ => unknown("it injects faults by chance, or delays"),
            });
        }
        let injected = matches!(happened.flags, "FI" | "DI");
        injected.then(|| {
            different(
                None,
                Some("no fault would be injected; what the site answers is not known".into()),
            )
        })
    }

    /// Both send it to the same endpoints.
    fn same_site(&self, happened: &Happened<'_>, reach: Reach) -> Outcome {
        let (before, after) = (&self.in_force, &self.other);
        if before.rewrite != after.rewrite || before.request_headers != after.request_headers {
            return different(
                None,
                Some(
                    "it would be sent with another path, Host or other headers: what the site answers is not known"
                        .into(),
                ),
            );
        }
        if let Some(outcome) = self.of_time(happened) {
            return outcome;
        }
        let failed = !matches!(happened.flags, "" | "-") || happened.status >= 500;
        let tries_otherwise = reach == Reach::OtherwiseOnFailure || before.retries != after.retries;
        if failed && tries_otherwise {
            return unknown("it would try again, or wait, in another way");
        }
        if before.response_headers != after.response_headers || before.cors != after.cors {
            return self.as_happened(happened, Some("its response would have other headers"));
        }
        if before.mirrors != after.mirrors {
            return self.as_happened(happened, Some("copies of it would go elsewhere"));
        }
        self.as_happened(happened, None)
    }

    /// What another timeout would have come to.
    fn of_time(&self, happened: &Happened<'_>) -> Option<Outcome> {
        let (before, after) = (self.in_force.timeout_ms, self.other.timeout_ms);
        if before == after {
            return None;
        }
        let text = |limit: Option<u64>| limit.map_or("without a limit".into(), |limit| format!("for {limit} ms"));
        if happened.flags == "UT" {
            let longer = after.is_none_or(|after| before.is_some_and(|before| after > before));
            return longer.then(|| unknown(&format!("it would have waited {}", text(after))));
        }
        let limit = after.filter(|limit| happened.duration_ms >= *limit)?;
        let note = |took| Some(format!("the answer took {took} ms, and it waits for {limit} ms"));
        let timed_out = |status| Some((status, "UT".to_string()));
        Some(match happened.upstream_ms.filter(|head| *head < limit) {
            // The head was there in time, the rest was not.
            Some(_) => different(timed_out(happened.status), note(happened.duration_ms)),
            None => {
                let status = if happened.grpc { 200 } else { 504 };
                different(
                    timed_out(status),
                    note(happened.upstream_ms.unwrap_or(happened.duration_ms)),
                )
            }
        })
    }

    /// The answer is the one that came; `noticed` is what is different all the same.
    fn as_happened(&self, happened: &Happened<'_>, noticed: Option<&str>) -> Outcome {
        let flags = if happened.flags.is_empty() { "-" } else { happened.flags };
        let is_same = self.in_force.verdict == self.other.verdict && noticed.is_none();
        Outcome {
            likeness: if is_same { Likeness::Same } else { Likeness::Different },
            answer: Some((happened.status, flags.to_string())),
            note: noticed.map(str::to_string),
        }
    }

    fn not_sent(&self) -> String {
        let to = match (&self.other.cluster, &self.other.upstream) {
            (Some(cluster), Some(_)) => format!("to {cluster}"),
            _ => "past the sidecar".into(),
        };
        format!("it would go {to}, where nothing was sent: the answer is not known")
    }
}

fn different(answer: Option<(u16, String)>, note: Option<String>) -> Outcome {
    Outcome {
        likeness: Likeness::Different,
        answer,
        note,
    }
}

fn unknown(why: &str) -> Outcome {
    Outcome {
        likeness: Likeness::Unknown,
        answer: None,
        note: Some(why.into()),
    }
}

fn reach(before: &Decision<'_>, after: &Decision<'_>) -> Reach {
    // Past the sidecar it goes to its own address, as it does through a cluster that adds nothing on the way.
    let straight = |decision: &Decision<'_>| match decision.action {
        Action::Bypass => true,
        Action::Forward(forward) => {
            let cluster = forward.cluster;
            cluster.endpoints == Endpoints::OriginalDst(None) && cluster.settings.tls.is_none()
        }
        Action::Reply(_) | Action::Cut { .. } => false,
    };
    match (&before.action, &after.action) {
        (Action::Forward(own), Action::Forward(theirs)) => {
            let (own, theirs) = (own.cluster, theirs.cluster);
            let named = matches!(own.endpoints, Endpoints::Host(_));
            if own.endpoints != theirs.endpoints
                || named && own.host != theirs.host
                || own.settings.tls != theirs.settings.tls
                || own.settings.http != theirs.settings.http
            {
                Reach::Otherwise
            } else if own.settings == theirs.settings {
                Reach::Alike
            } else {
                Reach::OtherwiseOnFailure
            }
        }
        _ if straight(before) && straight(after) => Reach::OtherwiseOnFailure,
        _ => Reach::Otherwise,
    }
}
