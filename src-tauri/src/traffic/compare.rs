//! A flow under another policy, as the windows show it. What it would have been is the engine's word; what was sent through
//! both is compared by what came of it.

use proxy_core::policy::{Likeness as Decided, Other};

use super::Row;
use crate::dto::{Likeness, OtherWay, SentBeside};

/// What the other policy would have made of it.
pub fn other_way(other: &Other) -> OtherWay {
    OtherWay {
        verdict: other.verdict.map(Into::into),
        status: other.status,
        flags: other.flags.clone(),
        cluster: other.cluster.clone(),
        likeness: match other.likeness {
            Decided::Same => Likeness::Same,
            Decided::Different => Likeness::Different,
            Decided::Unknown => Likeness::Unknown,
        },
        reason: other.reason.clone(),
        reason_in_force: other.reason_in_force.clone(),
        note: other.note.clone(),
        sent: false,
    }
}

/// The same where it was sent under the other policy too: its answer is known.
pub fn sent_otherwise(row: &Row, decided: &Other, sent: &SentBeside) -> OtherWay {
    let decided = other_way(decided);
    let status = sent.status.unwrap_or(0);
    let answers_alike = row.record.status == status;
    let verdicts_alike = sent.verdict == Some(row.record.verdict.into());
    // What no answer shows, such as other headers that a site was sent, the engine knows.
    let is_same = answers_alike && verdicts_alike && decided.likeness != Likeness::Different;
    OtherWay {
        verdict: sent.verdict.or(decided.verdict),
        status: Some(status),
        flags: decided.flags.clone().filter(|_| decided.status == Some(status)),
        likeness: if is_same { Likeness::Same } else { Likeness::Different },
        note: decided.note.clone().filter(|_| decided.status.is_some()),
        sent: true,
        ..decided
    }
}
