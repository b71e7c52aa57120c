//! What is done to a cluster beside the change sets, and written down in the journal: restarts and probes.

use std::collections::BTreeSet;

use super::App;
use crate::{
    cluster::{Feature, RestartStep, StepState},
    fault::Result,
};

impl App {
    /// Restarts `workloads`, each kind, namespace and name, one after the other.
    pub fn restart(&self, workloads: Vec<(String, String, String)>) -> Result<()> {
        let cluster = self.cluster()?;
        let namespaces: BTreeSet<&String> = workloads.iter().map(|(_, namespace, _)| namespace).collect();
        for namespace in namespaces {
            cluster.require(Feature::RestartWorkloads, namespace)?;
        }
        let title = match workloads.as_slice() {
            [(_, namespace, name)] => format!("Restart {namespace}/{name}"),
            several => format!("Restart {} workloads", several.len()),
        };
        let begun = workloads
            .iter()
            .map(|(kind, namespace, name)| format!("{kind} {namespace}/{name}: begun, and nothing known of its end"))
            .collect::<Vec<_>>();
        let (told_tx, told_rx) = std::sync::mpsc::sync_channel(1);
        let changes = self.changes.clone();
        cluster.begin_restart(workloads, move |steps| {
            // Without a note of its beginning there is none to complete.
            let Ok(id) = told_rx.recv() else { return };
            let lines: Vec<String> = steps.iter().map(outcome).collect();
            // A journal that cannot be written says so at the next change; the restart is over in any case.
            let _ = changes.note_again(id, &lines.join("\n"));
        })?;
        let id = self.changes.note(&title, &begun.join("\n"))?;
        // The receiver is gone when the connection was closed meanwhile.
        let _ = told_tx.send(id);
        Ok(())
    }

    /// Adds a container with curl to a pod of `workload`. Gives the pod's name.
    pub fn add_container(&self, workload: &str) -> Result<String> {
        let image = self.shared.settings.probe_image();
        let pod = self.bringing.container(&*self.cluster()?, workload, &image);
        self.noted(&format!("Container for test requests in {workload}"), pod, |pod| {
            format!("An ephemeral container of {image} in pod {pod}; it goes with the pod.")
        })
    }

    /// Deploys a probe to `namespace`. Gives the workload to send from.
    pub fn deploy_probe(&self, namespace: &str) -> Result<String> {
        let image = self.shared.settings.probe_image();
        let probe = self.bringing.deployment(&*self.cluster()?, namespace, &image);
        self.noted(&format!("Probe deployed to {namespace}"), probe, |probe| {
            format!("Deployment {probe} of {image}; it stays until it is removed.")
        })
    }

    /// Takes the probe out of `namespace`.
    pub fn remove_probe(&self, namespace: &str) -> Result<()> {
        let removed = self.bringing.remove(&*self.cluster()?, namespace);
        self.noted(&format!("Probe removed from {namespace}"), removed, |()| {
            "Its Deployment and its pod are gone.".to_string()
        })
    }

    /// Writes down what was done, or why it was not: what was begun may have left something behind.
    fn noted<T>(&self, title: &str, done: Result<T>, what: impl FnOnce(&T) -> String) -> Result<T> {
        match &done {
            Ok(value) => self.changes.note(title, &what(value))?,
            // Refused before anything was tried.
            Err(fault) if ["forbidden", "input", "busy", "read-only"].contains(&fault.code.as_str()) => return done,
            Err(fault) => self.changes.note(title, &format!("Failed: {}", fault.told()))?,
        };
        done
    }
}

fn outcome(step: &RestartStep) -> String {
    let what = match &step.state {
        StepState::Done => "all pods are new".to_string(),
        StepState::Failed(fault) => format!("failed: {}", fault.told()),
        StepState::Waiting | StepState::Rolling(..) | StepState::Left => "not begun".to_string(),
    };
    format!("{} {}/{}: {what}", step.kind, step.namespace, step.name)
}
