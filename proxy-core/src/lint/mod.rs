//! Findings over a World: what Istio refuses or warns of, and traps it does not warn of. Pure.
//!
//! Level error means that Istio would reject the object; nothing else does.

mod service_entry;
mod traps;
mod virtual_service;

use std::sync::Arc;

use serde::Serialize;

use crate::model::{Object, Place, World};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Istio rejects the object.
    Error,
    /// It is accepted and does something else than it seems to.
    Warning,
    /// Worth knowing.
    Info,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Istio's code (`IST0106`), or one of ours (`EGR01`).
    pub code: &'static str,
    /// Level.
    pub level: Level,
    /// The object; `None` for a file that cannot be read.
    pub object: Option<FindingObject>,
    /// Field path.
    pub field: String,
    /// File.
    pub file: Arc<str>,
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: Option<String>,
}

/// The object of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingObject {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// All findings, by file and line.
pub fn check(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in &world.service_entries {
        service_entry::check(entry, &mut findings);
    }
    for service in &world.virtual_services {
        virtual_service::check(service, world, &mut findings);
    }
    traps::check(world, &mut findings);
    findings.sort_by(|a, b| (&a.file, a.line, a.code).cmp(&(&b.file, b.line, b.code)));
    findings
}

/// Where findings about one object are collected.
struct About<'a, T> {
    kind: &'static str,
    object: &'a Object<T>,
    findings: &'a mut Vec<Finding>,
}

impl<T> About<'_, T> {
    fn add(
        &mut self,
        code: &'static str,
        level: Level,
        (field, line): (&str, u32),
        message: String,
        fix: Option<String>,
    ) {
        let Place {
            file,
            line: start,
            column,
        } = &self.object.place;
        let (line, column) = if line == 0 { (*start, *column) } else { (line, 1) };
        self.findings.push(Finding {
            code,
            level,
            object: Some(FindingObject {
                kind: self.kind.into(),
                namespace: self.object.meta.namespace.to_string(),
                name: self.object.meta.name.to_string(),
            }),
            field: field.to_string(),
            file: file.clone(),
            line,
            column,
            message,
            fix,
        });
    }

    /// Istio's validation refuses the object.
    fn refuse(&mut self, at: (&str, u32), message: impl Into<String>) {
        self.add("IST0106", Level::Error, at, message.into(), None);
    }
}

#[cfg(test)]
mod tests;
