//! How well each source of facts does, and the next step worth taking.

use std::sync::Arc;

use super::{View, log_source, policy::modes, release::release};
use crate::{
    cluster::{Cluster, LogState, MAX_PODS},
    dto::{DataSource, Health, Mode, NextAction, NextStep, Phase, SandboxState, StagedEdit, VerdictCounts, Way},
};

/// Where flows come from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watching {
    /// The sandbox's own sidecar.
    Sandbox,
    /// The logs of the cluster's sidecars.
    Pods,
    /// Nowhere.
    Nothing,
}

/// Where flows come from now; the sandbox first, since it is what a person has just started.
pub fn watching(view: &View, sandbox: &SandboxState) -> Watching {
    let follows = |cluster: &Arc<Cluster>| cluster.logs().followed > 0;
    match sandbox.state {
        Phase::Running => Watching::Sandbox,
        _ if view.origin.cluster().is_some_and(follows) => Watching::Pods,
        _ => Watching::Nothing,
    }
}

/// One line a source of facts.
pub fn health(view: &View, sandbox: &SandboxState, kept: u64, dropped: u64, recovered: &[String]) -> Vec<DataSource> {
    let reading = &view.reading;
    let errors = reading.errors.len();
    let folder = if errors == 0 {
        let (files, objects) = (reading.files, reading.objects);
        let said = match view.origin.cluster() {
            Some(_) => format!("{objects} objects, watched"),
            None => format!("{files} files, {objects} objects, watched"),
        };
        (Health::Good, said)
    } else {
        (
            Health::Bad,
            format!("{errors} errors; the last good version of each file is in force"),
        )
    };
    let sidecar = match sandbox.state {
        Phase::Running if sandbox.way == Way::Proxy => (
            Health::Warn,
            "running as an explicit proxy: only what uses it is seen".to_string(),
        ),
        Phase::Running => (
            Health::Good,
            format!("running for {}, everything captured", sandbox.workload),
        ),
        Phase::Starting => (Health::Warn, sandbox.step.clone().unwrap_or_else(|| "starting".into())),
        Phase::Failed => {
            let why = sandbox.fault.as_ref().map_or("failed", |fault| fault.message.as_str());
            (Health::Bad, why.to_string())
        }
        Phase::Stopped => (Health::Off, "not started".to_string()),
    };
    let flows = match (watching(view, sandbox), kept, dropped) {
        (Watching::Nothing, 0, _) => (Health::Off, "nothing seen: no sidecar runs".to_string()),
        (Watching::Nothing, kept, 0) => (Health::Off, format!("{kept} flows from before; no sidecar runs")),
        (_, 0, _) => (Health::Warn, "no request came yet".to_string()),
        (_, kept, 0) => (Health::Good, format!("{kept} flows, none dropped")),
        (_, kept, dropped) => (Health::Warn, format!("{kept} flows kept, {dropped} dropped")),
    };
    let logs = view
        .origin
        .cluster()
        .map(|cluster| ("Sidecar logs", pod_logs(&cluster.logs())));
    let access_log = view
        .origin
        .cluster()
        .and_then(|cluster| log_source::health(&log_source::access_log(view, cluster.unread_access_logs())))
        .map(|health| ("Access logs", health));
    let source = if logs.is_some() { "Cluster" } else { "Policy folder" };
    let folder = match view.origin.cluster().and_then(|cluster| cluster.lost()) {
        Some((kinds, fault, since)) => (
            Health::Bad,
            format!(
                "{} not read for {} s: {}; the last state stays",
                kinds.join(", "),
                since.as_secs(),
                fault.message
            ),
        ),
        None => folder,
    };
    let unseen = view
        .origin
        .cluster()
        .map(|cluster| cluster.unseen())
        .unwrap_or_default();
    let visible = (!unseen.is_empty()).then(|| ("Visible", (Health::Warn, unseen.join(" "))));
    // ALLOW_ANY holds where nothing is written; here nobody knows what is.
    let unknown = view.origin.cluster().filter(|_| view.world().mesh_configs.is_empty());
    let mesh_config = unknown.map(|cluster| {
        let said = format!(
            "no ConfigMap istio can be read in {}: the outbound mode is not known, ALLOW_ANY is assumed",
            cluster.homes().join(", ")
        );
        ("Mesh config", (Health::Bad, said))
    });
    // Said until the app ends: a change that was cut short is worth a second look.
    let journal = (!recovered.is_empty()).then(|| ("Journal", (Health::Warn, recovered.join(" "))));
    let istio = release(view);
    let istio = match istio.chosen {
        true => (
            Health::Warn,
            format!(
                "decided as {}, chosen here; {} by {}",
                istio.version, istio.found, istio.from
            ),
        ),
        false => (Health::Good, format!("decided as {}: {}", istio.version, istio.from)),
    };
    [
        (source, folder),
        ("Istio", istio),
        ("Sidecar", sidecar),
        ("Flows", flows),
    ]
    .into_iter()
    .chain(logs)
    .chain(access_log)
    .chain(visible)
    .chain(mesh_config)
    .chain(journal)
    .map(|(name, (state, detail))| DataSource {
        name: name.into(),
        state,
        detail,
    })
    .collect()
}

/// How the logs of the mesh's own sidecars are followed.
fn pod_logs(logs: &LogState) -> (Health, String) {
    if let Some(fault) = &logs.fault {
        return (Health::Bad, fault.message.clone());
    }
    let unread = match logs.unread {
        0 => String::new(),
        unread => {
            let because = logs.unread_because.as_deref().unwrap_or_default();
            format!("; {unread} lines cannot be read. {because}")
        }
    };
    let gaps = match logs.gaps {
        0 => String::new(),
        1 => "; lines may be missing in one place".into(),
        gaps => format!("; lines may be missing in {gaps} places"),
    };
    let unread = format!("{gaps}{unread}");
    if let Some((pod, fault)) = logs.faults.first_key_value() {
        let (failing, followed) = (logs.faults.len(), logs.followed);
        let which = format!(
            "the logs of {failing} of {followed} pods cannot be read. {pod}: {}",
            fault.message
        );
        return (Health::Warn, format!("{which}{unread}"));
    }
    match (logs.pods, logs.followed) {
        (0, _) => (Health::Warn, "no pod has a running sidecar".into()),
        (pods, followed) if followed < pods && !logs.chosen.is_empty() => (
            Health::Good,
            format!("{followed} of {pods} pods followed, as chosen{unread}"),
        ),
        (pods, followed) if followed < pods => (
            Health::Warn,
            format!("{followed} of {pods} pods followed: at most {MAX_PODS} are{unread}"),
        ),
        (pods, _) => (
            if logs.unread + logs.gaps > 0 {
                Health::Warn
            } else {
                Health::Good
            },
            match pods {
                1 => format!("1 pod followed{unread}"),
                pods => format!("{pods} pods followed{unread}"),
            },
        ),
    }
}

/// The one thing worth doing now, the most urgent first.
pub fn next_step(
    view: &View,
    sandbox: &SandboxState,
    staged: &[StagedEdit],
    flows: &VerdictCounts,
    unregistered: Option<String>,
) -> NextStep {
    let step = |text: &str, why: String, action, argument| NextStep {
        text: text.into(),
        why,
        action,
        argument,
    };
    let mode = modes(view.world()).first().map_or(Mode::AllowAny, |scope| scope.mode);
    if let Some(error) = view.state().errors.into_iter().next() {
        let file = error.at.map(|place| format!("{}:{}", place.file, place.line));
        return step("Mend the file", error.message, NextAction::FixFile, file);
    }
    if !staged.is_empty() {
        let wait = match staged.len() {
            1 => "A staged edit waits".to_string(),
            edits => format!("{edits} staged edits wait"),
        };
        let why = format!("{wait}; nothing is written before Apply.");
        return step("Review the changes", why, NextAction::Review, None);
    }
    if watching(view, sandbox) == Watching::Nothing && sandbox.state != Phase::Starting {
        let workload = view.workload_rows().into_iter().next().map(|workload| workload.name);
        let why = "No sidecar runs, so no traffic can be seen.".to_string();
        return step("Start the sandbox", why, NextAction::StartSandbox, workload);
    }
    if let Some(because) = log_source::all_off(view).filter(|_| flows.total() == 0) {
        return step("Switch access logging on", because, NextAction::OpenLog, None);
    }
    if flows.total() == 0 {
        let why = "Nothing has gone out yet. Send a request from the Sandbox and watch it arrive.".to_string();
        return step("Open the live log", why, NextAction::OpenLog, None);
    }
    if mode == Mode::RegistryOnly && flows.blocked > 0 {
        let why = format!("{} flows were blocked. Allow what must stay.", flows.blocked);
        return step(
            "Allow what is needed",
            why,
            NextAction::Allow,
            Some("verdict:blocked".into()),
        );
    }
    if let Some(name) = unregistered.filter(|_| flows.passthrough > 0) {
        let why = format!(
            "{} flows went to destinations that no policy names, such as {name}.",
            flows.passthrough
        );
        return step("Try REGISTRY_ONLY on them", why, NextAction::SwitchMode, None);
    }
    step(
        "Watch the live log",
        "Every flow so far is named by a policy.".into(),
        NextAction::OpenLog,
        None,
    )
}
