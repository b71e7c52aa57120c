//! Puts a world in force on both sides, makes its calls on both, and tells where what is seen differs.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use egret_tests::mesh::Mesh;
use serde_json::Value;

use super::{
    pair::Pair,
    sender::{Seen, Sending},
    side::Side,
    sighting::{Row, Sightings, differences},
    wait,
};
use crate::world::{Call, World};

/// A call to a port that no world declares: each sidecar writes a row about it. What ended before it is written by then.
const LAST: (&str, u16) = ("198.19.0.10", 27017);

/// One flush of Envoy's log and some more, for rows of streams whose other half was still open.
const LATE: Duration = Duration::from_millis(1500);

/// How often a call is made that differs, before it counts: a busy machine delays, and back-offs are drawn.
const TRIES: usize = 3;

/// A call whose sightings differ.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The call's number in its world.
    pub call: usize,
    /// The field.
    pub field: String,
    /// On Istio's side.
    pub istio: Value,
    /// On ours.
    pub egret: Value,
}

impl Difference {
    /// How it is listed and counted: the field, with both values where these are words or numbers.
    pub fn kind(&self) -> String {
        let word = |value: &Value| match value {
            Value::String(text) => text.trim_matches('"').to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null => "nothing".into(),
            _ => String::new(),
        };
        let (istio, egret) = (word(&self.istio), word(&self.egret));
        if istio.is_empty() || egret.is_empty() || self.field == "timeout" {
            format!("live {}", self.field)
        } else {
            format!("live {}: {istio}, not {egret}", self.field)
        }
    }
}

/// What came of one world.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Calls that were seen the same on both sides.
    pub agreed: usize,
    /// Of these, calls that differed when they were first made.
    pub unsteady: usize,
    /// Differences.
    pub differences: Vec<Difference>,
    /// The objects that the API server took.
    pub taken: Vec<Value>,
}

/// Compares both sides on `world`. None where Envoy refuses its configuration.
pub fn judge(mesh: &Mesh, pair: &mut Pair, world: &World) -> Result<Option<Judgement>, String> {
    let Some((number, taken)) = pair.enforce(world)? else {
        return Ok(None);
    };
    let mut judgement = Judgement {
        taken,
        ..Judgement::default()
    };
    let mut open: Vec<usize> = (0..world.calls.len()).collect();
    for round in 0..TRIES {
        let found = compare(mesh, pair, &format!("{number}.{round}"), &world.calls, &open)?;
        let still: Vec<usize> = open
            .iter()
            .copied()
            .filter(|index| found.iter().any(|difference| difference.call == *index))
            .collect();
        judgement.agreed += open.len() - still.len();
        judgement.unsteady += if round > 0 { open.len() - still.len() } else { 0 };
        judgement.differences = found;
        open = still;
        if open.is_empty() {
            break;
        }
    }
    Ok(Some(judgement))
}

fn compare(
    mesh: &Mesh,
    pair: &mut Pair,
    round: &str,
    planned: &[Call],
    wanted: &[usize],
) -> Result<Vec<Difference>, String> {
    let (istio, egret) = (&mut pair.istio, &mut pair.egret);
    // Both at once: a world's time is that of its slowest calls.
    let (left, right) = thread::scope(|scope| {
        let other = scope.spawn(|| calls(egret, round, planned, wanted));
        let left = calls(istio, round, planned, wanted);
        let right = other.join().map_err(|_| "a caller panicked".to_string());
        Ok::<_, String>((left?, right??))
    })?;
    let records = records(mesh, round)?;
    let mut found = Vec::new();
    for ((index, mut left), mut right) in wanted.iter().zip(left).zip(right) {
        let name = name(round, *index);
        let at_sites = |side: &Side| -> Vec<Value> {
            let own = |record: &&Value| record["call"] == name.as_str() && record["peer"] == side.address.as_str();
            records.iter().filter(own).cloned().collect()
        };
        left.sites = at_sites(istio);
        right.sites = at_sites(egret);
        let call = &planned[*index];
        let fields = (left.fields(&istio.address, call), right.fields(&egret.address, call));
        let differing = differences(&left, &right, fields);
        found.extend(differing.into_iter().map(|(field, istio, egret)| Difference {
            call: *index,
            field,
            istio,
            egret,
        }));
    }
    Ok(found)
}

/// Makes the calls one after the other, and finds the rows about each.
fn calls(side: &mut Side, round: &str, planned: &[Call], wanted: &[usize]) -> Result<Vec<Sightings>, String> {
    side.forget();
    let mut seen = Vec::new();
    for index in wanted {
        let (name, mut call) = (name(round, *index), planned[*index].clone());
        if call.headers.contains_key("x-forwarded-for") {
            call.headers.insert("x-request-id".into(), name.clone());
        }
        let made = side.call(Sending {
            name: name.clone(),
            call,
        })?;
        seen.push((name, made));
    }
    let call = Call {
        address: LAST.0.into(),
        port: LAST.1,
        protocol: "tcp".into(),
        ..Call::default()
    };
    let name = format!("{round}.last");
    let last = side.call(Sending {
        name: name.clone(),
        call,
    })?;
    let rows = |side: &Side| -> Vec<Row> { side.rows().iter().filter_map(|line| Row::parse(line)).collect() };
    let of = |rows: &[Row], name: &str, seen: &Seen| -> Vec<Row> {
        let own = rows.iter().filter(|row| row.is_about(name, seen.port));
        own.cloned().collect()
    };
    wait(&format!("the row of {last:?}"), || {
        match of(&rows(side), &name, &last).is_empty() {
            true => Err(format!("{:?}", side.rows())),
            false => Ok(()),
        }
    })?;
    let until = Instant::now() + LATE;
    let found = loop {
        let rows = rows(side);
        if seen.iter().all(|(name, seen)| !of(&rows, name, seen).is_empty()) || Instant::now() > until {
            break rows;
        }
        thread::sleep(Duration::from_millis(50));
    };
    let sightings = seen.into_iter().map(|(name, seen)| Sightings {
        rows: of(&found, &name, &seen),
        sites: Vec::new(),
        seen,
    });
    Ok(sightings.collect())
}

/// What the sites wrote down about the calls of a round.
fn records(mesh: &Mesh, round: &str) -> Result<Vec<Value>, String> {
    let path = mesh.certificates().join("../log/sites.log");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let ours = format!("\"call\": \"{round}.");
    let lines = text.lines().filter(|line| line.contains(&ours));
    Ok(lines.filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn name(round: &str, index: usize) -> String {
    format!("{round}.{index}")
}
