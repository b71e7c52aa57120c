//! What a person sees before Apply, and what stands in its way.

use proxy_core::{lint, model::World};

use super::{Proposal, access_log, conflict::conflicts, diff::file_diff, impact, refusal::Refused, set::Set};
use crate::{
    dto::{Conflict, Edit, Finding, Impact, ImpactCounts, ImpactRow, Level, Mode, Review, StagedEdit},
    fault::{Fault, Result},
    session::{self, View},
    traffic::Traffic,
};

/// Diffs, impact, findings, conflicts and warnings of the edits in `set`.
pub fn review(view: &View, traffic: &Traffic, set: &Set) -> Result<Review> {
    let edits = set.edits.as_slice();
    let mut proposal = Proposal::of(view, &set.base, &set.plain())?;
    let conflicts = conflicts(view, &proposal.files)?;
    let obstacle = blocked(edits, &proposal, &conflicts);
    let mut blocked_because = obstacle.clone().or_else(|| view.store.locked());
    let mut warnings = warnings(edits);
    // What may not be done at all is told before what is only switched off.
    let missing = match obstacle {
        None => view.store.missing(&proposal.files)?,
        Some(_) => None,
    };
    if let Some(missing) = &missing {
        blocked_because = Some(format!("Applying {}.", missing.reason));
    }
    // Also for who may not write here: the owner's own way may be open.
    let owners = match obstacle {
        None => view.store.owners(&proposal.files),
        Some(_) => Vec::new(),
    };
    let mut refused = set.refused.clone();
    refused.retain(|refused| refused.holds(&proposal.files));
    if blocked_because.is_none() {
        match view.store.prepare(proposal.files.clone(), &proposal.restored) {
            Ok(prepared) => {
                // What was refused is shown in the text that was staged.
                if refused.is_empty() {
                    proposal.files = prepared.files;
                }
                warnings.extend(prepared.warnings);
            }
            Err(fault) => {
                refused = Refused::of(&fault, &proposal.files);
                blocked_because = Some(refusal(&fault));
            }
        }
    }
    let diffs = proposal.files.iter();
    Ok(Review {
        edits: edits.to_vec(),
        diffs: diffs.map(|edit| file_diff(&*view.store, edit)).collect(),
        impact: impact(view, &proposal.world, traffic),
        findings: findings(&proposal, &refused),
        conflicts,
        owners,
        warnings,
        changes_mode: changes_mode(view.world(), &proposal.world),
        applicable: blocked_because.is_none(),
        role: missing.map(|missing| missing.role),
        blocked_because,
    })
}

/// Whether a scope has another mode afterwards, however the edits bring that about.
fn changes_mode(before: &World, after: &World) -> bool {
    let scopes = |world| session::modes(world).into_iter().map(|scope| (scope.scope, scope.mode));
    !scopes(before).eq(scopes(after))
}

/// Why a place takes no change set, in a sentence; what it has against fields are findings of their own.
fn refusal(fault: &Fault) -> String {
    match &*fault.causes {
        [] => fault.told(),
        [cause] => match cause.field.as_str() {
            "" => format!("{} is refused: {}", cause.file, cause.message),
            field => format!("{} is refused: {field}: {}", cause.file, cause.message),
        },
        causes => format!(
            "The API server refuses this for {} reasons, each shown at its line.",
            causes.len()
        ),
    }
}

/// Findings in the files that change.
fn findings(proposal: &Proposal, refused: &[Refused]) -> Vec<Finding> {
    let edit = |file: &str| proposal.files.iter().find(|edit| edit.file == file);
    let known = proposal.errors.iter().map(lint::Finding::from);
    let known = known.chain(refused.iter().map(Refused::finding));
    let all = session::findings(&proposal.world, known, |file| edit(file)?.after.clone());
    all.into_iter()
        .filter(|finding| edit(&finding.file).is_some())
        .collect()
}

fn warnings(edits: &[StagedEdit]) -> Vec<String> {
    let mut warnings = Vec::new();
    let registry_only = |edit: &Edit| {
        matches!(
            edit,
            Edit::Mode {
                mode: Mode::RegistryOnly,
                ..
            }
        )
    };
    if edits.iter().any(|staged| registry_only(&staged.edit)) {
        warnings.push(
            "REGISTRY_ONLY is no firewall: a process that avoids the sidecar, or an excluded range, still gets out."
                .to_string(),
        );
    }
    if edits.iter().any(|staged| matches!(staged.edit, Edit::Ranges { .. })) {
        warnings.push("In a cluster, running pods keep their old ranges until they are restarted.".to_string());
    }
    let templates = edits.iter().filter_map(|staged| match &staged.edit {
        Edit::Capture { namespace, name, .. } => Some(format!("{namespace}/{name}")),
        _ => None,
    });
    warnings.extend(templates.map(|workload| {
        format!("In a cluster, this changes the pod template of {workload}: Kubernetes rolls all of its pods at once.")
    }));
    warnings
}

/// Why Apply would refuse, `None` when it would not.
pub fn blocked(edits: &[StagedEdit], proposal: &Proposal, conflicts: &[Conflict]) -> Option<String> {
    if edits.is_empty() {
        return Some("Nothing is staged.".into());
    }
    if let Some(conflict) = conflicts.first() {
        return Some(format!(
            "{} has changed since; choose which version to keep.",
            conflict.file
        ));
    }
    if let Some(reason) = edits.iter().find_map(|staged| access_log::overdue(&staged.edit)) {
        return Some(reason);
    }
    if let Some(error) = proposal.errors.first() {
        return Some(error.to_string());
    }
    if let Some(finding) = findings(proposal, &[])
        .into_iter()
        .find(|finding| finding.level == Level::Error)
    {
        let Finding {
            file,
            line,
            field,
            message,
            ..
        } = finding;
        return Some(format!("Istio would refuse {file}:{line}: {field}: {message}"));
    }
    proposal
        .files
        .is_empty()
        .then(|| "The files say this already; there is nothing to write.".into())
}

/// As the journal keeps it.
pub fn counts(impact: &Impact) -> ImpactCounts {
    let flows = |rows: &[ImpactRow]| u32::try_from(rows.iter().map(|row| row.flows).sum::<u64>()).unwrap_or(u32::MAX);
    ImpactCounts {
        newly_blocked: flows(&impact.newly_blocked),
        newly_allowed: flows(&impact.newly_allowed),
    }
}
