//! Where a cluster's flows come from, as a person is told it.

use proxy_core::{
    model::{Object, Telemetry},
    policy::{self, Logged},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{View, workload_name};
use crate::{
    change::{REMOVE_AFTER, own_name},
    cluster::{LogState, MAX_PODS},
    dto::{AccessLogView, Edit, FollowView, FollowedWorkload, Health, LogSource, SwitchedOn},
    fault::Fault,
};

/// Workloads without an access log that are named.
const NAMED: usize = 20;

/// Pods that are followed and access logs that are on; `None` for a folder, which has neither.
pub fn log_source(view: &View) -> Option<LogSource> {
    let cluster = view.origin.cluster()?;
    Some(LogSource {
        follow: follow(cluster.logs()),
        access_log: access_log(view, cluster.unread_access_logs()),
    })
}

fn follow(state: LogState) -> FollowView {
    let workloads = state
        .workloads
        .into_iter()
        .map(|(name, (pods, followed))| FollowedWorkload { name, pods, followed });
    let failing_because = state.faults.first_key_value();
    FollowView {
        failing: state.faults.len(),
        failing_because: failing_because.map(|(pod, fault)| format!("{pod}: {}", fault.message)),
        gaps: state.gaps,
        pods: state.pods,
        followed: state.followed,
        bound: MAX_PODS,
        workloads: workloads.collect(),
        chosen: state.chosen.into_iter().collect(),
        unread: state.unread,
        unread_because: state.unread_because.map(|because| because.to_string()),
        fault: state.fault,
    }
}

/// Whose access logs are on; `unread` says why Telemetry cannot be read, where it cannot.
pub fn access_log(view: &View, unread: Option<Fault>) -> AccessLogView {
    let workloads = view.workloads();
    let mut off = workloads
        .iter()
        .filter_map(|workload| match policy::logged(view.world(), workload) {
            Logged::Nothing(because) => Some((workload_name(workload), because)),
            Logged::All | Logged::Some(_) => None,
        });
    let first = off.next();
    let because = first.as_ref().map(|(_, because)| because.clone());
    let names: Vec<String> = first.into_iter().chain(off).map(|(name, _)| name).collect();
    AccessLogView {
        workloads: workloads.len(),
        off: names.len(),
        first_off: names.into_iter().take(NAMED).collect(),
        because,
        twice: twice(view, &workloads),
        unknown: unread,
        switched_on: switched_on(view),
        removal: None,
    }
}

/// Who writes about each flow twice, in a sentence for a person.
fn twice(view: &View, workloads: &[policy::Workload]) -> Option<String> {
    let mut found = workloads
        .iter()
        .filter_map(|workload| Some((workload_name(workload), policy::logged_twice(view.world(), workload)?)));
    let (first, filter) = found.next()?;
    let whose = match found.count() {
        0 => first,
        1 => format!("{first} and 1 more workload"),
        more => format!("{first} and {more} more workloads"),
    };
    Some(format!(
        "The sidecars of {whose} write about flows twice, as EnvoyFilter {}/{} adds a log to the mesh's own: such flows \
         are counted twice.",
        filter.meta.namespace, filter.meta.name
    ))
}

/// Why no sidecar of the cluster writes an access log; `None` where one does, and for a folder.
pub fn all_off(view: &View) -> Option<String> {
    view.origin.cluster()?;
    let state = access_log(view, None);
    state.because.filter(|_| state.off == state.workloads)
}

/// How access logs stand, where that is worth a line.
pub fn health(state: &AccessLogView) -> Option<(Health, String)> {
    if let Some(fault) = &state.unknown {
        return Some((Health::Warn, format!("not known: {}", fault.message)));
    }
    if let (Some(twice), 0) = (&state.twice, state.off) {
        return Some((Health::Warn, twice.clone()));
    }
    let because = state.because.as_deref()?;
    let (off, all) = (state.off, state.workloads);
    Some(if off == all {
        (Health::Bad, format!("off: {because}"))
    } else {
        (Health::Warn, format!("off for {off} of {all} workloads: {because}"))
    })
}

/// The access logs that Egret switched on, those that end first before the others.
pub fn switched_on(view: &View) -> Vec<SwitchedOn> {
    let own = view.world().telemetries.iter();
    let mut all: Vec<SwitchedOn> = own.filter_map(|object| one(view, object)).collect();
    all.sort_by(|a, b| (a.until.is_none(), &a.until, &a.scope).cmp(&(b.until.is_none(), &b.until, &b.scope)));
    all
}

/// The edits that take away what is due.
pub fn due(view: &View) -> Vec<Edit> {
    let due = switched_on(view).into_iter().filter(|log| log.overdue);
    due.map(|log| Edit::AccessLog {
        scope: log.scope,
        on: false,
        until: None,
    })
    .collect()
}

fn one(view: &View, object: &Object<Telemetry>) -> Option<SwitchedOn> {
    let (namespace, name) = (&*object.meta.namespace, &*object.meta.name);
    let mesh = view.world().mesh_configs.first();
    let root = mesh.map_or("istio-system", |mesh| mesh.spec.root_namespace.as_str());
    let workload = name.strip_prefix(&format!("{}-", own_name(None)));
    let scope = match workload {
        None if name != own_name(None) => return None,
        None if namespace == root => "mesh".to_string(),
        None => format!("namespace {namespace}"),
        Some(workload) => format!("workload {namespace}/{workload}"),
    };
    let until = object.meta.annotations.get(REMOVE_AFTER).cloned();
    // Others can write the annotation too: what is no time is never due.
    let time = until
        .as_deref()
        .and_then(|until| OffsetDateTime::parse(until, &Rfc3339).ok());
    Some(SwitchedOn {
        scope,
        object: (&object.reference("Telemetry", 0)).into(),
        overdue: time.is_some_and(|time| time <= OffsetDateTime::now_utc()),
        until,
    })
}
