//! The sandbox as a workload of the open source, with the policy as it is or as the staged changes would make it.

use std::{
    sync::{Arc, PoisonError, mpsc},
    thread,
    time::Instant,
};

use proxy_core::policy::{Snapshot, compile};

use super::App;
use crate::{
    dto::SandboxState,
    fault::{Fault, Result},
    sidecar::{Enforced, StagedFolder},
};

impl App {
    /// Starts the sandbox as the workload called `namespace/name`; `staged` has it enforce the staged changes too.
    pub fn start_sandbox(&self, workload: &str, staged: bool) -> Result<SandboxState> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        self.launch_sandbox(workload, staged)
    }

    /// The same for who holds `deciding`.
    pub(super) fn launch_sandbox(&self, workload: &str, staged: bool) -> Result<SandboxState> {
        let view = self.view();
        let known = view.workload(workload).ok_or_else(|| {
            Fault::new("workload", format!("There is no workload {workload:?}."))
                .hint("Add its Deployment, StatefulSet, DaemonSet or Pod.")
        })?;
        let folder = match staged {
            false => None,
            true => {
                let path = self.shared.mirrors.next();
                let unable = |error| Fault::file("create", &path, &error);
                let folder = StagedFolder::new(path.clone()).map_err(unable)?;
                folder.keep(&view.folder, &self.changes.files(&view)?).map_err(unable)?;
                Some(folder)
            }
        };
        let state = self.sidecar.start(
            known,
            Enforced {
                folder: &view.folder,
                version: view.world().version,
                cluster: view.origin.cluster(),
                staged: folder,
            },
        )?;
        // What was staged while it started.
        self.keep_staged_up();
        // A window that closed meanwhile leaves nothing that runs.
        Ok(if self.is_open() { state } else { self.sidecar.stop() })
    }

    /// The policy that the sandbox enforces.
    pub(super) fn sandbox_snapshot(&self) -> Arc<Snapshot> {
        let (view, state) = (self.view(), self.sidecar.state());
        let proposed = self.changes.proposed(&view).filter(|_| state.staged);
        match (proposed, view.workload(&state.workload)) {
            (Some(world), Some(workload)) => Arc::new(compile(&world, &workload)),
            _ => view.snapshot(&state.workload),
        }
    }

    /// Keeps the sandbox's policy up with what is staged, whenever `turn_rx` hears that it, or the source, has changed; and
    /// lets the deployment know, which waits for the cluster on a thread of its own.
    pub(super) fn follow_staged(self: &Arc<Self>, turn_rx: mpsc::Receiver<()>) -> Result<()> {
        let app = Arc::downgrade(self);
        let follow = move || {
            while turn_rx.recv().is_ok() {
                // One pass for all that came together.
                while turn_rx.try_recv().is_ok() {}
                let Some(app) = app.upgrade() else { return };
                app.deployment.source_changed();
                app.keep_staged_up();
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
        let kept = self.sidecar.keep_staged(|folder| {
            let files = self.changes.files(&view)?;
            folder
                .keep(&view.folder, &files)
                .map_err(|error| Fault::file("write", folder.path(), &error))
        });
        if kept {
            self.sidecar.expect_policy(before, Some(since));
        }
    }
}
