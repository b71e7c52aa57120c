//! Makes a world that shows a difference as small as it can be while the difference stays.

use serde_json::Value;

use crate::{
    judge::{Difference, Subject, judge},
    oracle::Oracle,
    world::{World, pointers},
};

/// The smallest world found, with its difference.
pub fn shrink(oracle: &mut Oracle, world: &World, difference: &Difference) -> (World, Difference) {
    let (mut world, mut difference) = (world.clone(), difference.clone());
    let rejected = judge(oracle, &world)
        .map(|judgement| judgement.rejected)
        .unwrap_or_default();
    match difference.subject {
        Subject::Call(index) => {
            world.calls = vec![world.calls[index].clone()];
            let mut taken = (0..).map(|index| !rejected.contains(&index));
            world.documents.retain(|_| taken.next().unwrap_or_default());
            difference.subject = Subject::Call(0);
        }
        Subject::Document(index) => {
            world.calls.clear();
            world.documents = vec![world.documents[index].clone()];
            difference.subject = Subject::Document(0);
        }
    }
    smallest(
        (world, difference),
        |world, difference| smaller(world, difference.subject),
        |candidate, difference| still(oracle, candidate, difference),
    )
}

/// Goes on to a smaller world as long as there is one that shows the same: `still` says what is found in a candidate.
pub fn smallest<Found>(
    (mut world, mut found): (World, Found),
    smaller: impl Fn(&World, &Found) -> Vec<World>,
    mut still: impl FnMut(&World, &Found) -> Option<Found>,
) -> (World, Found) {
    loop {
        let next = smaller(&world, &found)
            .into_iter()
            .find_map(|candidate| Some((still(&candidate, &found)?, candidate)));
        match next {
            Some(next) => (found, world) = next,
            None => return (world, found),
        }
    }
}

/// The same difference in `candidate`, where it is there.
fn still(oracle: &mut Oracle, candidate: &World, difference: &Difference) -> Option<Difference> {
    let judgement = judge(oracle, candidate).ok()?;
    if matches!(difference.subject, Subject::Call(_)) && !judgement.rejected.is_empty() {
        return None;
    }
    let taken = |value: &Value| value == "yes";
    judgement.differences.into_iter().find(|found| {
        found.field == difference.field
            && match difference.subject {
                Subject::Call(_) => matches!(found.subject, Subject::Call(_)),
                Subject::Document(_) => taken(&found.istio) == taken(&difference.istio),
            }
    })
}

/// Every world with one call that lacks an object, a line of the mesh config or a header.
pub fn with_less(world: &World) -> Vec<World> {
    let mut all = Vec::new();
    let mut offer = |change: &dyn Fn(&mut World)| {
        let mut candidate = world.clone();
        change(&mut candidate);
        all.push(candidate);
    };
    for index in 0..world.documents.len() {
        offer(&|world| {
            world.documents.remove(index);
        });
    }
    let lines: Vec<&str> = world.mesh.lines().collect();
    for index in 0..lines.len() {
        let mut left = lines.clone();
        left.remove(index);
        offer(&|world| world.mesh = left.iter().map(|line| format!("{line}\n")).collect());
    }
    for header in world.calls[0].headers.keys() {
        offer(&|world| {
            world.calls[0].headers.remove(header);
        });
    }
    all
}

/// Every world that is one step smaller.
fn smaller(world: &World, subject: Subject) -> Vec<World> {
    let mut all = match subject {
        Subject::Call(_) => with_less(world),
        Subject::Document(_) => Vec::new(),
    };
    let mut offer = |change: &dyn Fn(&mut World)| {
        let mut candidate = world.clone();
        change(&mut candidate);
        all.push(candidate);
    };
    if matches!(subject, Subject::Call(_)) && !world.labels.is_empty() {
        offer(&|world| world.labels.clear());
    }
    for (index, document) in world.documents.iter().enumerate() {
        let mut paths = Vec::new();
        pointers("", document, &mut paths);
        for path in paths.into_iter().filter(|path| may_go(path)) {
            offer(&|world| remove(&mut world.documents[index], &path));
        }
    }
    all
}

/// What stays: that it is an object with a name and an age, and a Service's address, which no Service in a cluster lacks.
const KEPT: [&str; 7] = [
    "/metadata/creationTimestamp",
    "/apiVersion",
    "/kind",
    "/metadata",
    "/metadata/name",
    "/metadata/namespace",
    "/spec",
];
/// And what begins like this.
const KEPT_BELOW: &str = "/spec/clusterIP";

/// True where a smaller object lacks the field at `path`.
pub fn may_go(path: &str) -> bool {
    !KEPT.contains(&path) && !path.starts_with(KEPT_BELOW)
}

/// Takes the field at `path` away.
pub fn remove(document: &mut Value, path: &str) {
    let (parent, key) = path.rsplit_once('/').unwrap_or_default();
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            if let Ok(index) = key.parse::<usize>() {
                items.remove(index);
            }
        }
        _ => {}
    }
}
