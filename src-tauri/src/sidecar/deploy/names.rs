//! What Egret's own objects in a cluster are called and marked with, so that they are found again, whoever made them.

use serde_json::{Value, json};

use super::options::{Options, Target};
use crate::{
    cluster::{MADE_BY, MODE, PLACE, SESSION, WORKLOAD},
    dto::{DeployMode, DeployPlace},
};

/// Of a copy: the workload's name.
pub const COPY_OF: &str = "egret.dev/copy-of";
/// Longest name of a Deployment whose pods' names still hold all of it, and longest value of a label.
const MAX_NAME: usize = 52;

/// The ConfigMap that holds the policy of the session `id`; a copy is its dependent, so that it goes with it.
pub fn config_map(id: &str) -> String {
    format!("egret-session-{id}")
}

/// The Deployment of the copy.
pub fn copy(target: &Target, id: &str) -> String {
    let end = format!("-egret-{id}");
    format!("{}{end}", cut(&target.name, MAX_NAME - end.len()))
}

/// What a workload's own name begins with, fit to be the beginning of a name or a label's value.
pub fn cut(name: &str, longest: usize) -> &str {
    // Names are ASCII: they were checked.
    name.get(..longest).unwrap_or(name).trim_end_matches(['-', '.'])
}

/// The labels of everything that a session makes.
pub fn labels(id: &str) -> Value {
    json!({MADE_BY.0: MADE_BY.1, "app.kubernetes.io/part-of": "egret", SESSION: id})
}

/// What a session's ConfigMap says of it.
pub fn annotations(options: &Options) -> Value {
    let Target { kind, .. } = &options.target;
    json!({
        WORKLOAD: format!("{kind} {}", options.target.workload()),
        PLACE: match options.place { DeployPlace::Copy => "copy", DeployPlace::Workload => "workload",
            DeployPlace::Pod => "pod" },
        MODE: match options.mode { DeployMode::Observe => "observe", DeployMode::Enforce => "enforce" },
    })
}
