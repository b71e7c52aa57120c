//! The sandbox as a workload of the open source, with the policy as it is, as the staged changes would make it, or as it was
//! when it was pinned.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, mpsc},
    thread,
    time::Instant,
};

use proxy_core::policy::{Snapshot, Workload, compile};

use super::App;
use crate::{
    cluster::{Environment, Wanted, environment_in},
    dto::{Phase, PolicyChoice, SandboxState, Takes},
    fault::{Fault, Result},
    session::View,
    sidecar::{Enforced, PolicyFolder},
};

/// What may have to be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The source, or what is staged, is another.
    Policy,
    /// The sandbox may have ended.
    Sandbox,
}

impl App {
    /// Starts the sandbox as the workload called `namespace/name`, to enforce the policy `choice`; its commands get of the
    /// workload what `takes` says.
    pub fn start_sandbox(&self, workload: &str, choice: PolicyChoice, takes: Takes) -> Result<SandboxState> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        self.launch_sandbox(workload, choice, takes)
    }

    /// The same for who holds `deciding`.
    pub(super) fn launch_sandbox(&self, workload: &str, choice: PolicyChoice, takes: Takes) -> Result<SandboxState> {
        let view = self.view();
        let known = self.named_workload(&view, workload)?;
        let own = match choice {
            PolicyChoice::Source => None,
            PolicyChoice::Staged => {
                let folder = self.private_folder(PolicyFolder::new)?;
                self.fill(&folder, &view, choice)?;
                Some(Arc::new(folder))
            }
            PolicyChoice::Pinned => Some(self.comparing.pin()?.folder.clone()),
        };
        let taken = taken(&view, &known, takes)?;
        let state = self.sidecar.start(
            known,
            Enforced {
                folder: &view.folder,
                version: view.world().version,
                cluster: view.origin.cluster(),
                choice,
                own,
                slot: Some(self.private_folder(PolicyFolder::new)?),
                takes,
                taken,
            },
        )?;
        // What was staged while it started.
        self.keep_staged_up();
        // A window that closed meanwhile leaves nothing that runs.
        Ok(if self.is_open() { state } else { self.stop_sandbox() })
    }

    /// Stops the sandbox, and what is compared in it.
    pub fn stop_sandbox(&self) -> SandboxState {
        self.comparing.end();
        self.sidecar.stop()
    }

    pub(super) fn named_workload(&self, view: &View, workload: &str) -> Result<Workload> {
        view.workload(workload).ok_or_else(|| {
            Fault::new("workload", format!("There is no workload {workload:?}."))
                .hint("Add its Deployment, StatefulSet, DaemonSet or Pod.")
        })
    }

    /// A private folder that no other has.
    pub(super) fn private_folder(
        &self,
        make: impl FnOnce(PathBuf) -> std::io::Result<PolicyFolder>,
    ) -> Result<PolicyFolder> {
        let path = self.shared.mirrors.next();
        make(path.clone()).map_err(|error| Fault::file("create", &path, &error))
    }

    /// The policy that the sandbox enforces.
    pub(super) fn sandbox_snapshot(&self) -> Arc<Snapshot> {
        let state = self.sidecar.state();
        self.snapshot_of(state.policy, &state.workload)
    }

    /// The policy `choice` as the workload called `name` has it.
    pub(super) fn snapshot_of(&self, choice: PolicyChoice, name: &str) -> Arc<Snapshot> {
        let view = self.view();
        let own = view.workload(name);
        let compiled = match choice {
            PolicyChoice::Source => None,
            PolicyChoice::Staged => self
                .changes
                .proposed(&view)
                .zip(own)
                .map(|(world, workload)| compile(&world, &workload)),
            PolicyChoice::Pinned => self
                .pinned_world()
                .zip(own)
                .map(|(pin, workload)| compile(pin.world(), &workload)),
        };
        compiled.map_or_else(|| view.snapshot(name), Arc::new)
    }

    /// Keeps the sandbox's policy, and the one that is compared with, up with what is staged and with the source, whenever
    /// `turn_rx` hears that one has changed, and lets the deployment know, which waits for the cluster on a thread of its own; and ends the
    /// comparison with the sandbox.
    pub(super) fn follow_staged(self: &Arc<Self>, turn_rx: mpsc::Receiver<Turn>) -> Result<()> {
        let app = Arc::downgrade(self);
        let follow = move || {
            while let Ok(first) = turn_rx.recv() {
                // One pass for all that came together.
                let mut changed = first == Turn::Policy;
                while let Ok(turn) = turn_rx.try_recv() {
                    changed |= turn == Turn::Policy;
                }
                let Some(app) = app.upgrade() else { return };
                if !matches!(app.sidecar.state().state, Phase::Running) {
                    app.comparing.end();
                }
                if changed {
                    app.deployment.source_changed();
                    app.keep_staged_up();
                    app.keep_compared_up();
                }
            }
        };
        let thread = thread::Builder::new().name("staged-policy".into()).spawn(follow);
        thread
            .map(drop)
            .map_err(|error| Fault::new("thread", error.to_string()))
    }

    fn keep_staged_up(&self) {
        let view = self.view();
        let (before, since) = (self.sidecar.policy_hash(), Instant::now());
        let kept = self
            .sidecar
            .keep_staged(|folder| self.fill(folder, &view, PolicyChoice::Staged));
        if kept {
            self.sidecar.expect_policy(before, Some(since));
        }
    }
}

/// The variables of the workload's container, from the cluster or as the folder has them.
fn taken(view: &View, workload: &Workload, takes: Takes) -> Result<Environment> {
    if takes == Takes::Nothing {
        return Ok(Environment::default());
    }
    let named = workload.name.parse();
    let wanted = Wanted {
        namespace: workload.namespace.to_string(),
        workload: named.map_err(|error| Fault::input(format!("{}: {error}", workload.name)))?,
        secrets: takes == Takes::Secrets,
    };
    match view.origin.cluster() {
        Some(cluster) => cluster.environment(&wanted),
        None => environment_in(&view.folder, &wanted),
    }
}
