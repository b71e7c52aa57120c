//! Findings of the checks for the windows: found by `lint`, put at the lines of the text they are about.

use proxy_core::{lint, model::World, yaml};

use super::View;
use crate::{
    change::offer,
    dto::{Finding, Level, ObjectRef},
};

/// What the checks find in a World, after `known` faults of its documents; `text` gives a file as it is meant.
pub fn findings(
    world: &World,
    known: impl Iterator<Item = lint::Finding>,
    text: impl Fn(&str) -> Option<Vec<u8>>,
) -> Vec<Finding> {
    located(world, known, text).into_iter().map(shown).collect()
}

fn located(
    world: &World,
    known: impl Iterator<Item = lint::Finding>,
    text: impl Fn(&str) -> Option<Vec<u8>>,
) -> Vec<lint::Finding> {
    let mut found: Vec<lint::Finding> = known.chain(lint::check(world)).collect();
    lint::locate(&mut found, |file| yaml::read(&text(file)?).ok());
    found
}

/// Findings of the folder as it is, each with the change that mends it.
pub fn findings_of(view: &View) -> Vec<Finding> {
    let known = view.reading.errors.iter().map(lint::Finding::from);
    let found = located(view.world(), known, |file| std::fs::read(view.folder.join(file)).ok());
    let offered = |finding: lint::Finding| Finding {
        offer: offer(view, &finding),
        ..shown(finding)
    };
    found.into_iter().map(offered).collect()
}

fn shown(finding: lint::Finding) -> Finding {
    let file = finding.file.to_string();
    Finding {
        code: finding.code.into(),
        level: match finding.level {
            lint::Level::Error => Level::Error,
            lint::Level::Warning => Level::Warning,
            lint::Level::Info => Level::Info,
        },
        object: finding.object.map(|object| ObjectRef {
            kind: object.kind,
            namespace: object.namespace,
            name: object.name,
            file: file.clone(),
            line: finding.line,
        }),
        field: finding.field,
        file,
        line: finding.line,
        column: finding.column,
        message: finding.message,
        fix: finding.fix,
        offer: None,
    }
}
