//! Why a flow went as it did: the engine decides the recorded facts again, watched, and every step is shown with the
//! lines of the file behind it. No verdict is derived here.

use std::{fs, path::Path};

use proxy_core::{
    model::{ObjectRef as Named, World},
    policy::{Claims, Facts, HttpClaims, HttpVersion, Snapshot, Step as Seen, explain_in},
    record::FlowRecord,
};

use super::{Row, sentence};
use crate::{
    dto::{ExcerptLine, Step, Verdict, Why},
    fault::{Fault, Result},
};

/// Lines shown before and after the one that decided.
const AROUND: usize = 2;
/// Largest file that excerpts are taken from.
const MAX_FILE: u64 = 8 << 20;

/// What the engine knew of a recorded flow; `None` when the record says too little to decide it again.
pub fn facts(record: &FlowRecord) -> Option<Facts<'_>> {
    if record.destination.ip().is_unspecified() || record.destination.port() == 0 {
        return None;
    }
    let claims = match record.protocol.as_str() {
        "http" | "http2" => Claims::Http(HttpClaims {
            version: if record.protocol == "http2" {
                HttpVersion::H2c
            } else {
                HttpVersion::Http11
            },
            method: record.method.as_deref()?,
            authority: record.host.as_deref(),
            path: record.path.as_deref()?,
            headers: &(),
        }),
        "tls" => Claims::Tls {
            sni: record.sni.as_deref(),
        },
        "tcp" => Claims::Tcp,
        _ => return None,
    };
    Some(Facts {
        destination: record.destination,
        claims,
        draw: 0,
    })
}

/// The trace of `row` under `snapshot` of `world`, with excerpts of the files below `folder`.
pub fn why(row: &Row, world: &World, snapshot: &Snapshot, folder: &Path) -> Result<Why> {
    let facts = facts(&row.record).ok_or_else(|| {
        Fault::new(
            "undecidable",
            format!("Flow {} says too little to be decided again.", row.id),
        )
        .hint("Its record has no method, path or destination: the access log's format does not say them.")
    })?;
    let explained = explain_in(world, snapshot, &facts);
    let verdict = Verdict::from(explained.verdict);
    let recorded = Verdict::from(row.record.verdict);
    let now = snapshot.hash();
    let decided_by = match row.record.policy_hash.as_str() {
        "" => format!("policy {now}; the relay that carried it knows no policy"),
        hash if hash == now => format!("policy {hash}, still in force"),
        hash if verdict == recorded => format!("policy {hash}; it has changed since, {now} decides the same"),
        hash => format!(
            "policy {hash}; it has changed since, {now} decides otherwise: {}",
            word(verdict)
        ),
    };
    // What happened was decided by another policy than what is said next.
    let since = match row.record.policy_hash.as_str() {
        hash if hash.is_empty() || hash == now => "",
        _ => "As the policy is now: ",
    };
    Ok(Why {
        verdict,
        sentence: format!("{} {since}{}", sentence(row), capitalised(&explained.reason)),
        steps: explained.trace.iter().map(|step| shown(step, folder)).collect(),
        otherwise: explained.otherwise,
        decided_by: format!(
            "{decided_by}; as Istio {}{}",
            snapshot.version(),
            if world.version.is_some() { ", chosen here" } else { "" }
        ),
    })
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase).into_iter().flatten();
    format!("{}.", first.chain(characters).collect::<String>().trim_end_matches('.'))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Registered => "Registered",
        Verdict::Passthrough => "Passthrough",
        Verdict::Blocked => "Blocked",
        Verdict::Bypassed => "Bypassed",
    }
}

fn shown(step: &Seen, folder: &Path) -> Step {
    Step {
        step: step.step.to_string(),
        outcome: step.outcome.clone(),
        object: step.object.as_ref().map(Into::into),
        excerpt: step
            .object
            .as_ref()
            .map(|object| excerpt(object, folder))
            .unwrap_or_default(),
    }
}

/// The lines around the one that `object` points at; none when the file cannot be read any more.
fn excerpt(object: &Named, folder: &Path) -> Vec<ExcerptLine> {
    let path = folder.join(&*object.file);
    if fs::metadata(&path).map_or(true, |metadata| metadata.len() > MAX_FILE) {
        return Vec::new();
    }
    let Ok(text) = fs::read_to_string(&path) else {
        return Vec::new();
    };
    let line = object.line as usize;
    text.lines()
        .enumerate()
        .map(|(index, text)| (index + 1, text))
        .filter(|(number, _)| number.abs_diff(line) <= AROUND)
        .map(|(number, text)| ExcerptLine {
            line: number as u32,
            text: text.to_string(),
            lit: number == line,
        })
        .collect()
}
